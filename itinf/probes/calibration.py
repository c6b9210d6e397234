"""Calibration: means of updates and gradients, and channel scales of segments, from a fixed subset of clusters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..errors import ItinfError
from ..lenses.transfer.temperature import BETAS, best_betas
from ..networks.states import segments
from ..networks.trace import Trace
from ..results.calibrated import PARTS
from .gradients import Key


@dataclass
class Calibration:
    """The means that the ``centred`` form subtracts, and the scales that the ``gauge-fixed`` form divides by.

    Attributes:
        means: key of an update or gradient -> (C, S), mean over units; gradients are those of the
            normalised losses.
        scales: segment -> (C,) float64, standard deviation of each channel over units, positions and
            all states of the segment; a channel with exactly 0 is left out. Empty unless the
            gauge is ``"channel-scale"``.
        without: key of an update -> (PARTS, C, S), its mean without each part of the clusters; empty unless asked for.
        units: number of units measured.
        losses: (name of a lens, state) -> losses of what it reads there at each of ``BETAS``, summed over units.
    """

    means: dict[Key, Tensor] = field(default_factory=dict)
    scales: dict[int, Tensor] = field(default_factory=dict)
    without: dict[Key, Tensor] = field(default_factory=dict)
    units: int = 0
    losses: dict[tuple[str, int], Tensor] = field(default_factory=dict)

    def add_losses(self, lens: str, state: int, losses: Tensor) -> None:
        """Adds losses (len(BETAS), 1) of a lens at a state."""
        known = self.losses.get((lens, state))
        self.losses[lens, state] = losses if known is None else known + losses

    def confidence(self, lens: str, state: int) -> float:
        """About the β under which labels are likeliest; 1 where no losses were added.

        Away from 1 it costs (log β)² / 2 nats, next to nothing beside the losses of many units; it keeps β finite where the few
        units of a calibration are all right.
        """
        losses = self.losses.get((lens, state))
        if losses is None:
            return 1.0
        away = torch.tensor(BETAS, dtype=losses.dtype).clamp_min(BETAS[1] / 2).log().square() / 2
        return float(best_betas(losses + away.unsqueeze(1))[0])


def calibrate(
    traces: Iterable[tuple[Trace, dict[Key, Tensor]]],
    apart: bool = False,
    looks: Sequence[Callable[[Trace, Calibration], None]] = (),
) -> Calibration:
    """Means and scales from traces of the calibration clusters.

    Args:
        traces: for each batch its trace, and its updates and gradients by key.
        apart: whether means of updates without each part of the clusters are needed, too.
        looks: called with every trace and the calibration, for what probes take themselves.

    Raises:
        ItinfError: no unit has a target.
    """
    sums: dict[Key, Tensor] = {}
    spread: dict[int, ChannelVariance] = {}
    counts, left_out, clusters = torch.zeros(PARTS, dtype=torch.float64), dict[Key, Tensor](), 0
    made = Calibration()
    for trace, vectors in traces:
        network = trace.network
        for look in looks:
            look(trace, made)
        known = trace.known
        part = torch.eye(PARTS, dtype=torch.float64)[(clusters + torch.arange(len(trace))) % PARTS]  # (N, PARTS)
        counts, clusters = counts + part.T @ known.sum(1).cpu().double(), clusters + len(trace)
        for key, vector in vectors.items():
            canonical = network.canonical(vector)  # (N, P, C, S)
            if not bool(known.all()):
                canonical = canonical * known[:, :, None, None]
            total = canonical.sum((0, 1), dtype=torch.float64)
            sums[key] = sums[key] + total if key in sums else total
            if apart and key[0] == "vector" and not key[-1]:  # of whole blocks
                each = torch.einsum("np,ncs->pcs", part.to(total), canonical.sum(1, dtype=torch.float64))
                left_out[key] = left_out[key] + each if key in left_out else each
        if network.gauge == "channel-scale":
            for state, segment in zip(trace.states, segments(trace), strict=True):
                values = network.canonical(state)
                values = values if bool(known.all()) else values[known].unsqueeze(1)
                spread.setdefault(segment, ChannelVariance()).add(values)
    units = int(counts.sum())
    if units == 0:
        raise ItinfError(
            "No unit of the calibration clusters has a target, but means need one; give more calibration clusters."
        )
    return replace(
        made,
        means={key: total / units for key, total in sums.items()},
        scales={segment: moments.deviation() for segment, moments in spread.items()},
        without={key: _without(sums[key], parts, counts) for key, parts in left_out.items()},
        units=units,
    )


def _without(total: Tensor, parts: Tensor, counts: Tensor) -> Tensor:
    """(PARTS, C, S): the mean without each part; the whole mean where a part holds all units."""
    left = (counts.sum() - counts).to(total)[:, None, None]
    return torch.where(left > 0, (total - parts) / left.clamp_min(1), total / counts.sum().to(total))


class ChannelVariance:
    """Variance of every channel, merged pairwise (Chan et al. 1983); exactly 0 for a constant channel."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = self.square = torch.zeros(())

    def add(self, values: Tensor) -> None:
        """Adds values (N, P, C, S)."""
        square, mean = torch.var_mean(values.double(), dim=(0, 1, 3), correction=0)
        count = values.numel() // values.shape[2]
        if self.count == 0:
            self.count, self.mean, self.square = count, mean, square * count
            return
        gap, total = mean - self.mean, self.count + count
        self.square = self.square + square * count + gap**2 * (self.count * count / total)
        self.mean = self.mean + gap * (count / total)
        self.count = total

    def deviation(self) -> Tensor:
        return (self.square / self.count).sqrt()

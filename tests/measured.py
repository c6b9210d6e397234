"""One batch measured without a study: every row's plain value, and the numbers of every unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from itinf import Batch, Network, trace
from itinf.data.clusters import groups
from itinf.lenses.lens import Lens, translators_at
from itinf.networks.trace import SiteId, Target, Trace, updates
from itinf.probes import Alignment, Probe
from itinf.probes.batch import ProbeBatch
from itinf.probes.block import BlockProducts
from itinf.probes.calibration import Calibration, calibrate
from itinf.probes.gradients import GradientName, Key
from itinf.probes.prediction_space import Step, prediction_steps
from itinf.probes.readouts import Readout, read
from itinf.probes.steps import block_steps
from itinf.results.estimators import Median
from itinf.results.recorder import Recorder
from itinf.results.row import Row
from itinf.statistics.bootstrap import Sums
from itinf.statistics.nulls import neighbours, same_target

GRADIENTS: tuple[GradientName, ...] = ("input", "output", "readout")


@dataclass(frozen=True)
class Measured:
    """What probes make of a batch.

    Attributes:
        values: row -> plain estimate; medians are absent.
        units: row of a median -> (N, P) the values it is the median of; NaN where there is none.
        blocks: what the probes saw.
    """

    values: dict[Row, float]
    units: dict[Row, Tensor]
    blocks: list[BlockProducts]


def view(
    network: Network,
    seen: Trace,
    calibration: Calibration | None = None,
    size: int = 32,
    targets: Sequence[Target] = ("label",),
    readouts: dict[SiteId, Readout] | None = None,
) -> ProbeBatch:
    """A trace as probes see it; by default calibrated on itself."""
    readouts = read(seen, targets) if readouts is None else readouts
    members = groups(len(seen), size)
    p = seen.targets.shape[1]
    labels = seen.targets.numpy()
    same = [same_target(labels[m], seen.keys[m]) for m in members]
    partners = {
        "same-target": torch.cat(
            [torch.from_numpy(s + (s >= 0) * m.start * p) for s, m in zip(same, members, strict=True)]
        ),
        "pairing": torch.from_numpy(neighbours(labels.shape, size)),
    }
    empty = ProbeBatch(seen, readouts, Calibration(), members, partners, 0)
    if calibration is None:
        calibration = calibrate([(seen, vectors(empty, targets))])
    return ProbeBatch(seen, readouts, calibration, members, partners, 0)


def vectors(batch: ProbeBatch, targets: Sequence[Target] = ("label",)) -> dict[Key, Tensor]:
    """Every update and gradient direction by key, in the state's layout."""
    found: dict[Key, Tensor] = {}
    for block in range(len(batch.network.blocks)):
        each = BlockProducts(batch, block, GRADIENTS, targets)
        found |= {each.update_key(k): v for k, v in updates(batch.trace, block).items()}
        found |= {g.key: g.direction for g in each.gradients.values()}
    return found


def measure(
    batch: ProbeBatch, probes: Sequence[Probe] = (Alignment(),), targets: Sequence[Target] = ("label",)
) -> Measured:
    """Runs probes over a view."""
    record = Recorder()
    record.count("n|known", batch.trace.known)
    blocks = [BlockProducts(batch, b, GRADIENTS, targets) for b in range(len(batch.network.blocks))]
    for probe in probes:
        probe.measure_batch(batch, record)
        for block in blocks:
            probe.measure_block(block, record)
    units = {
        row: torch.where(known, values, torch.nan)
        for row, entry in record.entries.items()
        if isinstance(entry, Median)
        for values, known in [record.values[entry.histogram]]
    }
    sums = Sums(0, 1)
    sums.add(batch.trace.keys, record.take())
    sums.flush()
    values = {row: float(e.estimate(sums)[0]) for row, e in record.entries.items() if e.replicated}
    return Measured(values, units, blocks)


def alignment(network: Network, batch: Batch) -> Measured:
    """The alignment probe on a batch that calibrates itself."""
    return measure(view(network, trace(network, batch)))


def steps(
    trace: Trace,
    targets: Sequence[Target] = ("label",),
    nulls: dict[str, np.ndarray] | None = None,
    shuffled: bool = True,
    seed: int = 0,
    lens: Lens | None = None,
) -> dict[tuple[int, Target, str], Step]:
    """(block, target, null) -> step, of every block whose two states can be read."""
    through = translators_at(trace, lens)
    partners = {name: torch.as_tensor(rows) for name, rows in (nulls or {}).items()}
    found = prediction_steps(trace, through, {"": block_steps(trace, through)}, targets, partners, shuffled, seed)
    return {(block, target, null): step for (_, block, target, null), step in found.items()}

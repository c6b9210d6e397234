"""The transfer matrix: scores of every cell, summed over clusters, plainly and per bootstrap replicate."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from ...data.dataset import Batch
from ...errors import ItinfError
from ...networks.network import Network
from ...networks.states import Site
from ...networks.trace import Target
from ...results.reasons import BEYOND_WINDOW, NO_PAIR, NO_UNIT, ONE_HALF_EMPTY, Reason
from ...statistics.bootstrap import Array, Sums
from ..lens import Lens
from .cells import Cell
from .counterfactual import traced
from .logits import cell_logits
from .scores import BINS, GROUPS, TARGETS, TEMPERED, ClusterScores, priors_of
from .temperature import LARGEST_UNIT, crosswise


class TransferMatrix:
    """Sums of scores of every cell, plainly and per replicate; merges over clusters.

    The clusters are parted into two halves by their keys, which choose temperatures for each other, see ``crosswise``.

    Args:
        network: the network.
        lens: gives sites and priors.
        cells: the cells; every state has one on the diagonal.
        windows: (targets, cells), see ``windows``.
        seed, replicates: of the bootstrap.

    Attributes:
        sites, cells, windows: the states, the cells and the units of their windows of β.
        scored_in_full: the cells that have more scores than losses.
        halves: for each half of the clusters, columns of each cell, and of the units themselves.
        marginals: (1 + cells scored in full, groups of clusters, classes) sums of the network's final
            distribution and of those that the lenses read.
    """

    def __init__(
        self, network: Network, lens: Lens, cells: Sequence[Cell], windows: Tensor, seed: int, replicates: int
    ) -> None:
        self.sites: list[Site] = lens.sites
        self.cells, self.windows = list(cells), windows.to(network.device)
        self.priors = priors_of(lens, network.device)
        self.scored_in_full = [cell for cell in cells if cell.scored_in_full]
        self.halves = [Sums(seed, replicates) for _ in range(2)]
        self._tempered: dict[tuple[str, Target], tuple[Array, bool]] = {}
        self._place = {cell: place for place, cell in enumerate(self.cells)}
        shape = 1 + len(self.scored_in_full), GROUPS, len(lens.log_prior)
        self.marginals = torch.zeros(shape, dtype=torch.float64, device=network.device)

    def empty(self) -> TransferMatrix:
        """The same cells and temperatures without clusters: the share of one process."""
        other = copy.copy(self)
        other.halves = [Sums(sums.seed, sums.count) for sums in self.halves]
        other.marginals, other._tempered = torch.zeros_like(self.marginals), {}
        return other

    def add(
        self,
        network: Network,
        batch: Batch,
        told: Callable[[int], None] | None = None,
        at_once: int | None = None,
    ) -> None:
        """Scores a batch of whole clusters.

        Args:
            network: the network; ``batch``: the clusters. Units find the partners of counterfactual states among them.
            told: called with how often a cell has read a unit, again and again.
            at_once: clusters in one forward pass; None for all.
        """
        batch_trace = traced(network, batch, at_once)
        scores = ClusterScores(self.cells, self.sites, self.windows, self.priors, batch_trace, self.marginals)
        for state_logits in cell_logits(batch_trace, self.sites, self.cells, scores.units.index, scores.partners):
            scores.add(state_logits)
            if told is not None:
                told(len(state_logits.cells) * len(state_logits.final))
        columns, second = scores.columns(), half_of(batch.keys)
        for half, sums in enumerate(self.halves):
            mine = second == half
            sums.add(batch.keys[mine], {name: values[mine] for name, values in columns.items()})
        self._tempered.clear()

    @property
    def units(self) -> int:
        """Units with a target so far."""
        return round(float(self.column("n")[0])) if self.clusters else 0

    def units_of(self, cell: Cell) -> int:
        """Units that a cell counts."""
        return round(float(self.column(cell.of_counted("n"))[0])) if self.clusters else 0

    @property
    def clusters(self) -> int:
        """Clusters so far."""
        return sum(sums.size for sums in self.halves)

    def column(self, name: str) -> Array:
        """Sum of a column over clusters, (1 + B,): plainly, then per replicate."""
        first, second = (sums.column(name) for sums in self.halves)
        return first + second

    def mean(self, cell: Cell, what: str) -> Array:
        """Mean over units of a column of a cell, (1 + B,)."""
        return self.per_unit(self.column(f"{cell.name}|{what}"))

    def per_unit(self, total: Array) -> Array:
        """A sum over the number of units, (1 + B,); NaN in a replicate without clusters."""
        return ratio(total, self.column("n"))

    def readable(self, cell: Cell, target: Target = "label", raw: bool = False) -> Array:
        """What the cell tells beyond the prior, nats per unit, (1 + B,).

        Args:
            cell: the cell.
            target: for "model" the prior is the mean final distribution.
            raw: at its own confidence; else at its best temperature, see ``crosswise``; NaN in a replicate in which a
                half has no clusters.
        """
        if raw:
            loss = self.column(f"{cell.name}|{'loss' if target == 'label' else 'to_final'}")
        else:
            loss, _ = self._at_best(cell, target)
        return ratio(self.column(cell.of_counted(f"prior|{target}")) - loss, self.column(cell.of_counted("n")))

    def why_unreadable(self, cell: Cell, target: Target) -> Reason | None:
        """Why there is no ``readable`` at the best temperature, or none that is right; None where there is one."""
        if not all(sums.size and sums.column(cell.of_counted("n"))[0] > 0 for sums in self.halves):
            return ONE_HALF_EMPTY if self.units_of(cell) else NO_PAIR if cell.among and self.units else NO_UNIT
        return BEYOND_WINDOW if self._beyond_window(cell, target) else None

    def _beyond_window(self, cell: Cell, target: Target) -> bool:
        """Whether a half's best temperature lies beyond the window at which the cell was read, and it matters.

        A cell that tells nothing has a flat loss, and noise alone may choose the end of its window; then what is
        readable is not above zero by two of its errors, there as anywhere.
        """
        unit = float(self.windows[TARGETS.index(target), self._place[cell]])
        if not self._at_best(cell, target)[1] or unit >= LARGEST_UNIT:
            return False
        readable = self.readable(cell, target)
        return bool(readable[0] > 2 * np.nanstd(readable[1:]))

    def _at_best(self, cell: Cell, target: Target) -> tuple[Array, bool]:
        """``crosswise`` of a cell; kept until clusters are added."""
        key = cell.name, target
        if key not in self._tempered:
            names = [cell.of_counted(f"prior|{target}"), *(f"{cell.name}|{what}" for what in TEMPERED[target])]
            total, at_end = crosswise(np.stack([_columns(sums, names) for sums in self.halves]))
            for sums in self.halves:
                total = np.where(sums.column(cell.of_counted("n")) > 0, total, np.nan)
            self._tempered[key] = total, at_end
        return self._tempered[key]

    def calibration_error(self, cell: Cell) -> Array:
        """Expected calibration error of the top-1 over equal-width bins of confidence, (1 + B,)."""
        total = np.zeros(1 + self.halves[0].count)
        for k in range(BINS):
            total += np.abs(self.column(f"{cell.name}|right{k}") - self.column(f"{cell.name}|confidence{k}"))
        return self.per_unit(total)

    def marginal_bias(self, cell: Cell) -> tuple[float, float]:
        """KL(mean final ‖ mean of the cell), nats, and half its 95 % interval: a jackknife over groups of clusters."""
        final, mean = self.marginals[0], self.marginals[1 + self.scored_in_full.index(cell)]
        groups = (final.sum(1) > 0).nonzero()[:, 0].tolist()
        bias = _kl(final.sum(0), mean.sum(0))
        if len(groups) < 2:
            return bias, np.nan
        without = np.array([_kl(final.sum(0) - final[g], mean.sum(0) - mean[g]) for g in groups])
        error = np.sqrt((len(without) - 1) / len(without) * np.square(without - without.mean()).sum())
        return bias, float(stats.t.ppf(0.975, len(without) - 1) * error)

    def merge(self, other: TransferMatrix) -> None:
        """Adds another's clusters.

        Raises:
            ItinfError: other temperatures; ValueError: clusters in both, or other cells.
        """
        if not torch.equal(self.windows, other.windows):
            raise ItinfError("These matrices were read at different temperatures. Choose windows once, for both.")
        for mine, theirs in zip(self.halves, other.halves, strict=True):
            mine.merge(theirs)
        self.marginals += other.marginals
        self._tempered.clear()


def half_of(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """(N,) the half, 0 or 1, to which clusters belong: a bit of their keys that no other division uses."""
    return keys >> np.uint64(32) & np.uint64(1)


def _columns(sums: Sums, names: Sequence[str]) -> Array:
    """(len(names), 1 + B) several columns at once."""
    chosen = [sums.index[name] for name in names]
    return np.vstack([sums.plain[chosen], sums.replicates[:, chosen]]).T


def ratio(above: Array, below: Array) -> Array:
    """A ratio of estimates (1 + B,); NaN in replicates where both vanish."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(above / below)


def _kl(final: Tensor, mean: Tensor) -> float:
    p, q = ((x / x.sum()).clamp_min(torch.finfo(torch.float64).tiny) for x in (final, mean))
    return float((p * (p.log() - q.log())).sum())

"""The transfer matrix: scores of every cell, summed over clusters, plainly and per bootstrap replicate."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from ...data.dataset import Batch
from ...errors import ItinfError
from ...networks.network import Network
from ...networks.states import Site
from ...networks.trace import Target, trace
from ...statistics.bootstrap import Array, Sums
from ...statistics.processes import summed
from ..lens import Lens
from .cells import Cell
from .logits import cell_logits
from .scores import BINS, GROUPS, TARGETS, ClusterScores, KnownUnits
from .temperature import BETAS, best_betas, tempered_losses


def temperatures(network: Network, lens: Lens, cells: Sequence[Cell], batches: Iterable[Batch]) -> Tensor:
    """The β with the smallest loss on these units, for every cell and target. Do not score the same units afterwards.

    Returns:
        (targets, cells) float64.
    """
    total = torch.zeros(len(TARGETS), len(BETAS), len(cells), dtype=torch.float64, device=network.device)
    priors = [prior.to(network.device) for prior in (lens.log_prior, lens.mean_final)]
    for batch in batches:
        batch_trace = trace(network, batch, gradients=False)
        known = KnownUnits(batch_trace)
        for state_logits in cell_logits(batch_trace, lens.sites, cells, known.index):
            at_target, at_prior = known.logits(state_logits), known.log_priors(state_logits, priors)
            for depth, rows in state_logits.pieces():
                z = state_logits.logits[depth, rows]
                for row, prior in enumerate(priors):
                    losses = tempered_losses(z, prior, at_target[row][depth, rows], at_prior[row][rows])
                    total[row][:, state_logits.cells[depth]] += losses.sum(2)
    return torch.stack([best_betas(losses) for losses in summed(total)]).cpu()


class TransferMatrix:
    """Sums of scores of every cell, plainly and per replicate; merges over clusters.

    Args:
        network: the network.
        lens: gives sites and priors.
        cells: the cells; every state has one on the diagonal.
        betas: (targets, cells), see ``temperatures``.
        seed, replicates: of the bootstrap.

    Attributes:
        sites, cells, betas: the states, the cells and their temperatures.
        scored_in_full: the cells that have more scores than losses.
        sums: columns of each cell, and of the units themselves.
        marginals: (1 + cells scored in full, groups of clusters, classes) sums of the network's final
            distribution and of those that the lenses read.
    """

    def __init__(
        self, network: Network, lens: Lens, cells: Sequence[Cell], betas: Tensor, seed: int, replicates: int
    ) -> None:
        self.sites: list[Site] = lens.sites
        self.cells, self.betas = list(cells), betas.to(network.device)
        self.priors = [prior.to(network.device) for prior in (lens.log_prior, lens.mean_final)]
        self.scored_in_full = [cell for cell in cells if cell.scored_in_full]
        self.sums = Sums(seed, replicates)
        shape = 1 + len(self.scored_in_full), GROUPS, len(lens.log_prior)
        self.marginals = torch.zeros(shape, dtype=torch.float64, device=network.device)

    def empty(self) -> TransferMatrix:
        """The same cells and temperatures without clusters: the share of one process."""
        other = copy.copy(self)
        other.sums, other.marginals = Sums(self.sums.seed, self.sums.count), torch.zeros_like(self.marginals)
        return other

    def add(self, network: Network, batch: Batch) -> None:
        """Scores a batch of whole clusters."""
        batch_trace = trace(network, batch, gradients=False)
        scores = ClusterScores(self.cells, self.sites, self.betas, self.priors, batch_trace, self.marginals)
        for state_logits in cell_logits(batch_trace, self.sites, self.cells, scores.units.index):
            scores.add(state_logits)
        self.sums.add(batch.keys, scores.columns())

    @property
    def units(self) -> int:
        """Units with a target so far."""
        return round(float(self.column("n")[0])) if self.clusters else 0

    @property
    def clusters(self) -> int:
        """Clusters so far."""
        return self.sums.size

    def column(self, name: str) -> Array:
        """Sum of a column over clusters, (1 + B,): plainly, then per replicate."""
        return self.sums.column(name)

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
            raw: at its own confidence; else at its best temperature, chosen on other clusters.
        """
        what = ("loss" if target == "label" else "to_final") if raw else f"tempered {target}"
        return self.per_unit(self.column(f"prior|{target}") - self.column(f"{cell.name}|{what}"))

    def calibration_error(self, cell: Cell) -> Array:
        """Expected calibration error of the top-1 over equal-width bins of confidence, (1 + B,)."""
        total = np.zeros(1 + self.sums.count)
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
        if not torch.equal(self.betas, other.betas):
            raise ItinfError("These matrices were read at different temperatures. Choose temperatures once, for both.")
        self.sums.merge(other.sums)
        self.marginals += other.marginals


def ratio(above: Array, below: Array) -> Array:
    """A ratio of estimates (1 + B,); NaN in replicates where both vanish."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(above / below)


def _kl(final: Tensor, mean: Tensor) -> float:
    p, q = ((x / x.sum()).clamp_min(torch.finfo(torch.float64).tiny) for x in (final, mean))
    return float((p * (p.log() - q.log())).sum())

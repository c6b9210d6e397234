"""Lenses judged and transferred: every read streamed into sums, as far as the asked precision needs."""

from __future__ import annotations

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
from ..lens import Lens
from .cells import Cell
from .logits import cell_logits
from .scores import BINS, GROUPS, TARGETS, ClusterScores, KnownUnits
from .temperature import BETAS, best_betas, tempered_losses


def temperatures(network: Network, lens: Lens, reads: Sequence[Cell], batches: Iterable[Batch]) -> Tensor:
    """One β for every read and target: the one that errs least on these units, which ``Grid`` is then not given.

    Returns:
        (targets, reads) float64.
    """
    total = torch.zeros(len(TARGETS), len(BETAS), len(reads), dtype=torch.float64, device=network.device)
    priors = [prior.to(network.device) for prior in (lens.log_prior, lens.mean_final)]
    for batch in batches:
        seen = trace(network, batch, gradients=False)
        known = KnownUnits(seen)
        for said in cell_logits(seen, lens.sites, reads, known.index):
            at_target, at_prior = known.logits(said), known.log_priors(said, priors)
            for some, units in said.slabs():
                z = said.logits[some, units]
                for row, prior in enumerate(priors):
                    losses = tempered_losses(z, prior, at_target[row][some, units], at_prior[row][units])
                    total[row][:, said.reads[some]] += losses.sum(2)
    return torch.stack([best_betas(losses) for losses in total]).cpu()


class TransferMatrix:
    """Sums of what every read says, plainly and per replicate; merges over clusters.

    Args:
        network: the network.
        lens: its places and priors are used.
        reads: what is read where; each state has a read of its own.
        betas: (targets, reads), see ``temperatures``.
        seed, replicates: of the bootstrap.

    Attributes:
        places, reads, betas: what is read where, and how confident.
        judged: the reads that are judged in full.
        sums: columns per read, and of the units themselves.
        marginals: (1 + judged reads, groups of clusters, classes) sums of the final and the read distributions.
    """

    def __init__(
        self, network: Network, lens: Lens, reads: Sequence[Cell], betas: Tensor, seed: int, replicates: int
    ) -> None:
        self.sites: list[Site] = lens.sites
        self.reads, self.betas = list(reads), betas.to(network.device)
        self.priors = [prior.to(network.device) for prior in (lens.log_prior, lens.mean_final)]
        self.scored_in_full = [read for read in reads if read.scored_in_full]
        self.sums = Sums(seed, replicates)
        shape = 1 + len(self.scored_in_full), GROUPS, len(lens.log_prior)
        self.marginals = torch.zeros(shape, dtype=torch.float64, device=network.device)

    def add(self, network: Network, batch: Batch) -> None:
        """Reads a batch of whole clusters."""
        seen = trace(network, batch, gradients=False)
        found = ClusterScores(self.reads, self.sites, self.betas, self.priors, seen, self.marginals)
        for said in cell_logits(seen, self.sites, self.reads, found.units.index):
            found.take(said)
        self.sums.add(batch.keys, found.columns())

    @property
    def units(self) -> int:
        return round(float(self.column("n")[0])) if self.clusters else 0

    @property
    def clusters(self) -> int:
        return self.sums.size

    def column(self, name: str) -> Array:
        return self.sums.column(name)

    def mean(self, read: Cell, what: str) -> Array:
        """Mean over units of a column of a read, (1 + B,)."""
        return self.per_unit(self.column(f"{read.name}|{what}"))

    def per_unit(self, total: Array) -> Array:
        """A sum over the number of units, (1 + B,); NaN in a replicate without clusters."""
        return ratio(total, self.column("n"))

    def readable(self, read: Cell, target: Target = "label", raw: bool = False) -> Array:
        """What the reading tells beyond the prior, nats per unit, (1 + B,).

        Args:
            read: the reading.
            target: for "model" the prior is the mean final distribution.
            raw: as confident as it is; else at its best temperature, chosen on other clusters.
        """
        what = ("loss" if target == "label" else "to_final") if raw else f"tempered {target}"
        return self.per_unit(self.column(f"prior|{target}") - self.column(f"{read.name}|{what}"))

    def calibration_error(self, read: Cell) -> Array:
        """Expected calibration error of the top-1 over equal-width bins of confidence, (1 + B,)."""
        total = np.zeros(1 + self.sums.count)
        for k in range(BINS):
            total += np.abs(self.column(f"{read.name}|right{k}") - self.column(f"{read.name}|sure{k}"))
        return self.per_unit(total)

    def marginal_bias(self, read: Cell) -> tuple[float, float]:
        """KL(mean final ‖ mean reading), nats, and half its 95 % interval: a jackknife over groups of clusters."""
        final, mean = self.marginals[0], self.marginals[1 + self.scored_in_full.index(read)]
        there = (final.sum(1) > 0).nonzero()[:, 0].tolist()
        bias = _kl(final.sum(0), mean.sum(0))
        if len(there) < 2:
            return bias, np.nan
        left = np.array([_kl(final.sum(0) - final[g], mean.sum(0) - mean[g]) for g in there])
        error = np.sqrt((len(left) - 1) / len(left) * np.square(left - left.mean()).sum())
        return bias, float(stats.t.ppf(0.975, len(left) - 1) * error)

    def merge(self, other: TransferMatrix) -> None:
        """Adds another's clusters.

        Raises:
            ItinfError: other temperatures; ValueError: clusters in both, or other reads.
        """
        if not torch.equal(self.betas, other.betas):
            raise ItinfError("These grids were read at different temperatures. Choose them once, for both.")
        self.sums.merge(other.sums)
        self.marginals += other.marginals


def ratio(above: Array, below: Array) -> Array:
    """A ratio of estimates (1 + B,); NaN in replicates where both vanish."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(above / below)


def _kl(final: Tensor, mean: Tensor) -> float:
    p, q = ((x / x.sum()).clamp_min(torch.finfo(torch.float64).tiny) for x in (final, mean))
    return float((p * (p.log() - q.log())).sum())

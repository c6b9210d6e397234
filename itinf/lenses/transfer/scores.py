"""What the reads of a batch say, judged unit by unit and summed cluster by cluster."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ...data.dataset import IGNORED
from ...networks.states import Site
from ...networks.trace import Target, Trace
from ...statistics.bootstrap import Array
from .cells import Cell
from .logits import CellLogits
from .temperature import exp_, mixing, tempered_total

TARGETS: tuple[Target, ...] = ("label", "model")
"""What is read is compared with: the labels, and the network's own final distribution."""
EVERY = ("loss", "to_final", "from_own", *(f"tempered {target}" for target in TARGETS))
"""Columns of every read."""
JUDGED, BINNED = ("entropy", "agrees", "right"), ("sure", "right")
"""More of them for reads that are judged; the last ones for each bin of confidence."""
BINS = 15
"""Of confidence, for the calibration error."""
GROUPS = 8
"""Of clusters, for the interval of the marginal bias."""


class KnownUnits:
    """The units of a batch that have a target.

    Attributes:
        index: (K,) their places among all; ``labels``: (K,); ``cluster``: (K,) their cluster's place in the batch.
    """

    def __init__(self, seen: Trace) -> None:
        labels = seen.targets.flatten()
        self.index = (labels != IGNORED).nonzero()[:, 0]
        self.labels = labels[self.index]
        self.cluster = self.index // seen.targets.shape[1]

    def logits(self, said: CellLogits, *others: Tensor) -> list[Tensor]:
        """Mean logits (M, R) under the label, the final distribution, and other distributions (R, classes)."""
        labels = self.labels[said.units][:, None].expand(*said.logits.shape[:2], 1)
        weights = torch.stack([said.goal, *others], 1)
        soft = torch.bmm(said.logits.transpose(0, 1), weights.mT)  # (R, M, 1 + others)
        return [said.logits.gather(2, labels)[..., 0], *soft.permute(2, 1, 0)]

    def log_priors(self, said: CellLogits, priors: Sequence[Tensor]) -> list[Tensor]:
        """For each target, the mean under it of its own log-prior, (R,)."""
        label, model = (prior.to(said.goal) for prior in priors)
        return [label[self.labels[said.units]], said.goal @ model]


class ClusterScores:
    """Sums over the units of each of N clusters of a batch.

    Args:
        reads, places: what is read where.
        betas: (targets, reads); ``priors``: (classes,) log-probabilities for each target.
        seen: the trace of the batch.
        marginals: (1 + judged reads, GROUPS, classes) float64, sums of the final and the read
            distributions, to be added to.
    """

    def __init__(
        self,
        reads: Sequence[Cell],
        places: Sequence[Site],
        betas: Tensor,
        priors: Sequence[Tensor],
        seen: Trace,
        marginals: Tensor,
    ) -> None:
        self.reads, self.sites, self.betas, self.priors = reads, places, betas, priors
        self.units, self.count, self.marginals = KnownUnits(seen), len(seen), marginals
        self.scored_in_full = [read for read in reads if read.scored_in_full]
        self.place = {read: k for k, read in enumerate(self.scored_in_full)}
        device = self.units.labels.device
        self.groups = torch.from_numpy((seen.keys % np.uint64(GROUPS)).astype(np.int64)).to(device)[self.units.cluster]
        self.agrees: dict[int, list[Tensor]] = {}

        def sums(kinds: int, rows: int) -> Tensor:
            return torch.zeros(kinds, rows * self.count, dtype=torch.float64, device=device)

        self.once, self.every = sums(1 + len(TARGETS), 1), sums(len(EVERY), len(reads))
        self.full, self.binned = (
            sums(len(JUDGED), len(self.scored_in_full)),
            sums(len(BINNED), len(self.scored_in_full) * BINS),
        )

    def take(self, said: CellLogits) -> None:
        """Judges what is said at one state of some units."""
        reads = [self.reads[number] for number in said.reads]
        full = [self.place[read] for read in reads if read.scored_in_full]
        (mine,) = (k for k, read in enumerate(reads) if read.diagonal)
        log = said.logits[mine].log_softmax(1)
        own = exp_(log.clone())
        *at_target, at_own = self.units.logits(said, own)
        at_prior, betas = self.units.log_priors(said, self.priors), self.betas[:, said.reads].to(own)
        total, tempered, entropy, sure, answer = self._totals(said, betas, full)
        # for a distribution the loss is KL: its own entropy is nothing that a reading could take away
        least = -(said.goal * said.final).sum(1)
        from_own = (total - at_own + (own * log).sum(1)).clamp_min_(0)
        from_own[mine] = 0
        label, model = (
            one - beta[:, None] * logit - (1 - beta[:, None]) * prior
            for one, beta, logit, prior in zip(tempered, betas, at_target, at_prior, strict=True)
        )
        losses = total - at_target[0], total - at_target[1] - least, from_own, label, model - least
        self._add(self.every, said, said.reads, *losses)
        agrees, right = answer == said.answer, answer == self.units.labels[said.units]
        self._add(self.full, said, full, entropy, agrees, right)
        self._add(self.binned, said, full, sure, right, bins=(sure * BINS).long().clamp_max(BINS - 1))
        self.agrees.setdefault(reads[mine].at, []).append(agrees[mine])
        if 0 in said.reads:  # once, beside one read only
            rows = torch.ones_like(least), -at_prior[0], -at_prior[1] - least
            self._add(self.once, said, [0], *(row[None] for row in rows))
            self._mark([-1], said.goal[None], said.units)

    def _totals(
        self, said: CellLogits, betas: Tensor, full: list[int]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """All that takes passes over the logits, which are spoilt; the distributions of reads judged in full are marked.

        Returns:
            log Σ exp of the logits (M, R), the same tempered (targets, M, R), and of the reads judged in
            full (J, R) entropy, confidence and top-1.
        """
        reads, units, _ = said.logits.shape
        mixes = [mixing(prior.to(betas), beta) for prior, beta in zip(self.priors, betas, strict=True)]
        total, tempered = betas.new_empty(reads, units), betas.new_empty(len(betas), reads, units)
        entropy, sure = (betas.new_empty(len(full), units) for _ in range(2))
        answer = torch.empty_like(entropy, dtype=torch.int64)
        room = torch.empty_like(said.logits[next(said.slabs())])
        for some, here in said.slabs():
            z = said.logits[some, here]
            p = room[: z.shape[0], : z.shape[1]]
            for (shift, scale), found in zip(mixes, tempered, strict=True):
                found[some, here] = tempered_total(z, shift[some], scale[some], p)
            top = z.amax(2, keepdim=True)
            size = exp_(torch.sub(z, top, out=p)).sum(2, keepdim=True)
            total[some, here] = (size.log() + top)[..., 0]
            if judged := full[some]:
                z, top, size, p = (x[: len(judged)] for x in (z, top, size, p))
                p.div_(size)
                self._mark(judged, p, slice(said.units.start + here.start, said.units.start + here.stop))
                sure[some, here], answer[some, here] = p.max(2)
                entropy[some, here] = size.log()[..., 0] - p.mul_(z.sub_(top)).sum(2)
        return total, tempered, entropy, sure, answer

    def _add(
        self, sums: Tensor, said: CellLogits, rows: Sequence[int], *values: Tensor, bins: Tensor | None = None
    ) -> None:
        """Adds values (len(rows), R) of each kind to the rows' clusters, in bins of each row if so."""
        row = torch.tensor(rows, device=sums.device)[:, None]
        row = row if bins is None else row * BINS + bins
        index = row * self.count + self.units.cluster[said.units]
        sums.index_add_(1, index.flatten(), torch.stack([v.double() for v in values]).flatten(1))

    def _mark(self, rows: Sequence[int], p: Tensor, units: slice) -> None:
        groups, which = self.groups[units].unique(return_inverse=True)
        member = torch.nn.functional.one_hot(which, len(groups)).T.to(p)
        for row, found in zip(rows, member @ p, strict=True):
            self.marginals[1 + row].index_add_(0, groups, found.double())

    def columns(self) -> dict[str, Array]:
        """Name -> (N,)."""
        names, judged = ["n", *(f"prior|{target}" for target in TARGETS)], [read.name for read in self.scored_in_full]
        names += [f"{read.name}|{what}" for what in EVERY for read in self.reads]
        names += [f"{name}|{what}" for what in JUDGED for name in judged]
        names += [f"{name}|{what}{k}" for what in BINNED for name in judged for k in range(BINS)]
        stacked = [sums.reshape(-1, self.count) for sums in (self.once, self.every, self.full, self.binned)]
        depth = torch.zeros(self.count, dtype=torch.float64, device=self.once.device)
        depth.index_add_(0, self.units.cluster, self._prediction_depth())
        found = torch.cat([*stacked, depth[None]]).cpu().numpy()
        return dict(zip([*names, "prediction depth"], found, strict=True))

    def _prediction_depth(self) -> Tensor:
        """(K,) relative depth from which the own lens's top-1 is the network's and stays so."""
        depth = torch.ones(len(self.units.index), dtype=torch.float64, device=self.once.device)
        stays = depth > 0
        for at in sorted(self.agrees, reverse=True):
            stays = stays & torch.cat(self.agrees[at])
            depth[stays] = self.sites[at].depth
        return depth

"""Scores of all cells of a batch, unit by unit, summed cluster by cluster."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ...networks.states import Site
from ...networks.trace import Target, Trace
from ...statistics.bootstrap import Array
from ..lens import Lens
from .cells import Cell
from .counterfactual import Partners
from .logits import CellLogits
from .temperature import POWERS, exp_, mixing, window_totals

TARGETS: tuple[Target, ...] = ("label", "model")
"""What lenses are compared with: the labels, and the network's own final distribution."""
TEMPERED = {target: tuple(f"{target} at {power}" for power in POWERS) for target in TARGETS}
"""Columns of the losses at the β of a cell's window, for each target."""
LOSSES = ("loss", "to_final", "from_own", *(name for names in TEMPERED.values() for name in names))
"""Columns of every cell."""
FULL, BINNED = ("entropy", "agrees", "right"), ("confidence", "right")
"""Further columns of cells scored in full; those of ``BINNED`` once for each bin of confidence."""
BINS = 15
"""Bins of confidence, for the calibration error."""
UNIFORM = 1e-7
"""Weight of the uniform distribution in the prior of the network's answers: powers are exact while none is rarer."""
GROUPS = 8
"""Groups of clusters, for the interval of the marginal bias."""


def priors_of(lens: Lens, device: torch.device) -> list[Tensor]:
    """Log-prior of each target, (classes,): that of the labels, and the mean final distribution with a little uniform."""
    mixed = lens.mean_final.exp() * (1 - UNIFORM) + UNIFORM / len(lens.mean_final)
    return [prior.to(device) for prior in (lens.log_prior, mixed.log())]


class KnownUnits:
    """The units of a batch that have a target.

    Args:
        trace: of the batch.
        every: leave out all but each ``every``-th position of a cluster.

    Attributes:
        index: (K,) their indices among all units.
        labels: (K,).
        cluster: (K,) index of their cluster in the batch.
    """

    def __init__(self, trace: Trace, every: int = 1) -> None:
        position = torch.arange(trace.targets.shape[1], device=trace.known.device)
        self.index = (trace.known.reshape(trace.targets.shape) & (position % every == 0)).flatten().nonzero()[:, 0]
        self.labels = trace.targets.flatten()[self.index]
        self.cluster = self.index // trace.targets.shape[1]

    def logits(self, state_logits: CellLogits, *others: Tensor) -> list[Tensor]:
        """Mean logits (M, R) under the label, the final distribution, and other distributions (R, classes)."""
        z = state_logits.logits
        labels = self.labels[state_logits.units][:, None].expand(*z.shape[:2], 1)
        weights = torch.stack([state_logits.goal, *others], 1)
        soft = torch.bmm(z.transpose(0, 1), weights.mT)  # (R, M, 1 + others)
        return [z.gather(2, labels)[..., 0], *soft.permute(2, 1, 0)]

    def log_priors(self, state_logits: CellLogits, priors: Sequence[Tensor]) -> list[Tensor]:
        """For each target, the mean under it of its own log-prior, (R,)."""
        label, model = (prior.to(state_logits.goal) for prior in priors)
        return [label[self.labels[state_logits.units]], state_logits.goal @ model]


class ClusterScores:
    """Sums of scores over the units of each of the N clusters of a batch.

    Args:
        cells, sites: the cells and the states they read.
        windows: (targets, cells) their units, see ``window_units``.
        priors: (classes,) log-probabilities for each target.
        trace: of the batch.
        marginals: (1 + cells scored in full, GROUPS, classes) float64; sums of the final distribution and
            of the cells' distributions are added to it.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        sites: Sequence[Site],
        windows: Tensor,
        priors: Sequence[Tensor],
        trace: Trace,
        marginals: Tensor,
    ) -> None:
        self.cells, self.sites, self.windows, self.priors = cells, sites, windows, priors
        self.units, self.count, self.marginals = KnownUnits(trace), len(trace), marginals
        self.partners = Partners.of(trace, cells)
        self.scored_in_full = [cell for cell in cells if cell.scored_in_full]
        self.full_row = {cell: row for row, cell in enumerate(self.scored_in_full)}
        device = self.units.labels.device
        groups = torch.from_numpy((trace.keys % np.uint64(GROUPS)).astype(np.int64)).to(device)
        self.groups = groups[self.units.cluster]
        self.agreement: dict[int, list[Tensor]] = {}

        def sums(columns: int, rows: int) -> Tensor:
            return torch.zeros(columns, rows * self.count, dtype=torch.float64, device=device)

        full = len(self.scored_in_full)
        self.shared, self.per_cell = sums(1 + len(TARGETS), 1 + len(self.partners.known)), sums(len(LOSSES), len(cells))
        self.in_full, self.by_confidence = sums(len(FULL), full), sums(len(BINNED), full * BINS)

    def add(self, state_logits: CellLogits) -> None:
        """Scores the cells of one state for some units."""
        cells = [self.cells[k] for k in state_logits.cells]
        full = [self.full_row[cell] for cell in cells if cell.scored_in_full]
        (diagonal,) = (row for row, cell in enumerate(cells) if cell.diagonal)
        own_log = state_logits.logits[diagonal].log_softmax(1)
        own_p = exp_(own_log.clone())
        *at_target, at_own = self.units.logits(state_logits, own_p)
        at_prior = self.units.log_priors(state_logits, self.priors)
        windows = self.windows[:, state_logits.cells].to(own_p)
        total, tempered, entropy, confidence, answer = self._totals(state_logits, windows, full)
        # the loss against a distribution is KL: cross-entropy without the target's own entropy
        target_entropy = -(state_logits.goal * state_logits.final).sum(1)
        from_own = (total - at_own + (own_p * own_log).sum(1)).clamp_min_(0)
        from_own[diagonal] = 0
        losses = total - at_target[0], total - at_target[1] - target_entropy, from_own
        betas = windows[:, None, :, None] * torch.tensor(POWERS).to(windows)[:, None, None]
        label, model = (
            log_total - beta * (logit - prior) - prior
            for log_total, beta, logit, prior in zip(tempered, betas, at_target, at_prior, strict=True)
        )
        values = [*losses, *label, *(model - target_entropy)]
        if (counted := self.partners.counted(cells, self.units.index[state_logits.units])) is not None:
            values = [value * counted for value in values]
        self._add(self.per_cell, state_logits, state_logits.cells, *values)
        agrees, right = answer == state_logits.answer, answer == self.units.labels[state_logits.units]
        self._add(self.in_full, state_logits, full, entropy, agrees, right)
        bins = (confidence * BINS).long().clamp_max(BINS - 1)
        self._add(self.by_confidence, state_logits, full, confidence, right, bins=bins)
        self.agreement.setdefault(cells[diagonal].at, []).append(agrees[diagonal])
        if 0 in state_logits.cells:  # what all cells share is added once, together with the first cell
            columns = torch.ones_like(target_entropy), -at_prior[0], -at_prior[1] - target_entropy
            known = [
                one[self.units.index[state_logits.units]].to(target_entropy) for one in self.partners.known.values()
            ]
            counted = torch.stack([torch.ones_like(target_entropy), *known])
            self._add(self.shared, state_logits, list(range(len(counted))), *(column * counted for column in columns))
            self._add_marginal([-1], state_logits.goal[None], state_logits.units)

    def _totals(
        self, state_logits: CellLogits, windows: Tensor, full: list[int]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Everything that takes passes over the logits, which it overwrites; also adds marginals of cells scored in full.

        Returns:
            log Σ exp of the logits (M, R), the same tempered (targets, POWERS, M, R), and of the J cells scored in
            full (J, R) entropy, confidence and top-1.
        """
        cells, units, classes = state_logits.logits.shape
        priors = [prior.to(windows) for prior in self.priors]
        mixes = [(prior.exp(), *mixing(prior, unit)) for prior, unit in zip(priors, windows, strict=True)]
        total, tempered = windows.new_empty(cells, units), windows.new_empty(len(priors), len(POWERS), cells, units)
        entropy, confidence = (windows.new_empty(len(full), units) for _ in range(2))
        answer = torch.empty_like(entropy, dtype=torch.int64)
        depth, rows = next(state_logits.pieces())
        memory = windows.new_empty(2, (depth.stop - depth.start) * (rows.stop - rows.start) * classes)
        start = state_logits.units.start
        for depth, rows in state_logits.pieces():
            z = state_logits.logits[depth, rows]
            buffers = memory[:, : z.numel()].view(2, *z.shape)
            p = buffers[0]
            for (share, shift, scale), log_totals in zip(mixes, tempered, strict=True):
                log_totals[:, depth, rows] = window_totals(z, share, shift[depth], scale[depth], buffers)
            top = z.amax(2, keepdim=True)
            size = exp_(torch.sub(z, top, out=p)).sum(2, keepdim=True)
            total[depth, rows] = (size.log() + top)[..., 0]
            if full_rows := full[depth]:
                z, top, size, p = (x[: len(full_rows)] for x in (z, top, size, p))
                p.div_(size)
                self._add_marginal(full_rows, p, slice(start + rows.start, start + rows.stop))
                confidence[depth, rows], answer[depth, rows] = p.max(2)
                entropy[depth, rows] = size.log()[..., 0] - p.mul_(z.sub_(top)).sum(2)
        return total, tempered, entropy, confidence, answer

    def _add(
        self,
        sums: Tensor,
        state_logits: CellLogits,
        rows: Sequence[int],
        *values: Tensor,
        bins: Tensor | None = None,
    ) -> None:
        """Adds values (len(rows), R) of each column to the rows' clusters; with ``bins``, to one bin of each row."""
        row = torch.tensor(rows, device=sums.device)[:, None]
        row = row if bins is None else row * BINS + bins
        index = row * self.count + self.units.cluster[state_logits.units]
        sums.index_add_(1, index.flatten(), torch.stack([v.double() for v in values]).flatten(1))

    def _add_marginal(self, rows: Sequence[int], p: Tensor, units: slice) -> None:
        """Adds distributions p (len(rows), R, classes) to the rows' marginals; row −1 is the final distribution's."""
        groups, which = self.groups[units].unique(return_inverse=True)
        member = torch.nn.functional.one_hot(which, len(groups)).T.to(p)
        for row, by_group in zip(rows, member @ p, strict=True):
            self.marginals[1 + row].index_add_(0, groups, by_group.double())

    def columns(self) -> dict[str, Array]:
        """Name -> (N,)."""
        full = [cell.name for cell in self.scored_in_full]
        among = ["", *(f"|{null}" for null in self.partners.known)]
        names = [f"{name}{of}" for name in ("n", *(f"prior|{target}" for target in TARGETS)) for of in among]
        names += [f"{cell.name}|{what}" for what in LOSSES for cell in self.cells]
        names += [f"{name}|{what}" for what in FULL for name in full]
        names += [f"{name}|{what}{k}" for what in BINNED for name in full for k in range(BINS)]
        sums = (self.shared, self.per_cell, self.in_full, self.by_confidence)
        depth = torch.zeros(self.count, dtype=torch.float64, device=self.shared.device)
        depth.index_add_(0, self.units.cluster, self._prediction_depth())
        values = torch.cat([*(x.reshape(-1, self.count) for x in sums), depth[None]]).cpu().numpy()
        return dict(zip([*names, "prediction depth"], values, strict=True))

    def _prediction_depth(self) -> Tensor:
        """(K,) relative depth from which on the top-1 of the state's own lens is that of the network."""
        depth = torch.ones(len(self.units.index), dtype=torch.float64, device=self.shared.device)
        stays = depth > 0
        for at in sorted(self.agreement, reverse=True):
            stays = stays & torch.cat(self.agreement[at])
            depth[stays] = self.sites[at].depth
        return depth

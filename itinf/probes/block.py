"""The dot products of one block of a batch: every update with every gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..networks.states import segments
from ..networks.trace import SiteId, Target, UpdateName, updates
from ..results.reasons import NO_BRANCH, NO_GAUGE, NO_MEAN, NO_SKIPS, SHAPE_CHANGES, Reason
from ..results.row import Row
from .batch import Combination, ProbeBatch, gradient_of
from .dot_products import partner_products, row_products, square_norms, squares, stacked_products
from .forms import Form, centred, gauge_fixed, within_groups
from .gradients import Gradient, GradientName, Key, base


class BlockProducts:
    """Updates, gradients and dot products of one block of a batch.

    Attributes:
        batch: the batch; ``number``: number of the block, from 0.
        updates: (update, part) -> (N, P, C, S).
        gradients: combination -> gradient; ``directions[gradient.key]`` is its direction, (N, P, C, S).
        absent: combination -> why it has no gradient.
    """

    def __init__(
        self, batch: ProbeBatch, number: int, gradients: Sequence[GradientName], targets: Sequence[Target]
    ) -> None:
        self.batch, self.number = batch, number
        network, trace = batch.network, batch.trace
        self.updates = {k: _wide(network.canonical(v)) for k, v in updates(trace, number).items()}
        self.gradients: dict[Combination, Gradient] = {}
        self.absent: dict[Combination, Reason] = {}
        for update, part in self.updates:
            for which in gradients:
                for target in targets:
                    for lens in ("", *(batch.lensed if which == "readout" else ())):
                        combination = Combination(update, part, which, target, lens)
                        taken = gradient_of(trace, batch.readouts_of(lens), number, combination)
                        if isinstance(taken, Reason):
                            self.absent[combination] = taken
                        else:
                            self.gradients[combination] = taken
        self.directions = {g.key: _wide(network.canonical(g.direction)) for g in self.gradients.values()}
        self.update_squares = {k: self._squares(v) for k, v in self.updates.items()}
        self.gradient_squares = {k: self._squares(v) for k, v in self.directions.items()}
        self._base_norms: dict[SiteId, Tensor] = {}
        self._forms: dict[tuple[str, Combination], Form | Reason] = {}
        self._multiply()

    def _multiply(self) -> None:
        means = self.batch.calibration.means
        u_keys, g_keys = list(self.updates), list(self.directions)
        self._u_means = [u for u in u_keys if self.update_key(u) in means]
        self._g_means = [g for g in g_keys if g in means]
        mu = [means[self.update_key(u)].to(self.updates[u]) for u in self._u_means]
        mg = [means[g].to(self.directions[g]) for g in self._g_means]
        self.products: list[Tensor] = []
        for members in self.batch.groups if g_keys else []:
            left = [self.updates[u][members] for u in u_keys], [*mu, *mg]
            right = [self.directions[g][members] for g in g_keys], [*mg, *mu]
            self.products.append(stacked_products(left, right))

    def update_key(self, update: tuple[UpdateName, str]) -> Key:
        """The key of the mean of an update in the calibration."""
        return ("vector", self.number, *update)

    def row(self, measure: str, combination: Combination | None = None, **columns: Any) -> Row:
        """A row about this block, with the update, gradient, target and lens of a combination if one is given."""
        named = {} if combination is None else vars(combination)
        return self.batch.row(measure, self.number, **named | columns)

    def own_products(self, combination: Combination) -> Tensor:
        """(N, P) float64: raw dot product of each unit's update with the unit's own gradient."""
        tables = [self.raw(combination, group) for group in range(len(self.batch.groups))]
        return torch.cat([table.diagonal(dim1=1, dim2=2).T for table in tables])

    def raw(self, combination: Combination, group: int) -> Tensor:
        """(P, n, n) float64: raw dot products of every update of a group with every gradient, sign unchanged."""
        n = self._size(group)
        i = list(self.updates).index((combination.update, combination.part)) * n
        j = list(self.directions).index(self.gradients[combination].key) * n
        return self.products[group][:, i : i + n, j : j + n]

    def form(self, name: str, combination: Combination) -> Form | Reason:
        """A form of this combination, or the reason why it is undefined."""
        key = (name, combination)
        if key not in self._forms:
            self._forms[key] = self._form(name, combination)
        return self._forms[key]

    def _form(self, name: str, c: Combination) -> Form | Reason:
        u, g = (c.update, c.part), self.gradients[c].key
        u2, g2 = self.update_squares[u], self.gradient_squares[g]
        if name == "raw":
            return Form("raw", u2.sum(2), g2.sum(2))
        if name == "centred":
            means = self.batch.calibration.means
            if u not in self._u_means or g not in self._g_means:
                return NO_MEAN
            own = (self._with_mean("update", u, u), self._with_mean("gradient", g, g))
            cross = (self._with_mean("update", u, g), self._with_mean("gradient", g, u))
            return centred(u2.sum(2), g2.sum(2), own, cross, (means[self.update_key(u)], means[g]))
        gauge = self.batch.network.gauge
        if gauge is None:
            return NO_SKIPS if self.batch.network.skips is False else NO_GAUGE
        scale = self._scale() if gauge == "channel-scale" else None
        return gauge_fixed(
            gauge, self.updates[u], self.directions[g], (u2, g2), scale, self._left_out(u, g, scale), self.batch.groups
        )

    def _with_mean(self, side: str, vector: tuple[object, ...], mean: tuple[object, ...]) -> Tensor:
        """(N, P): dot products of updates (or gradients) with a mean update or gradient."""
        u_keys: list[object] = [*self.updates]
        g_keys: list[object] = [*self.directions]
        columns = []
        for group, table in enumerate(self.products):
            n = self._size(group)
            if side == "update":
                i = u_keys.index(vector) * n
                j = len(g_keys) * n + [*self._g_means, *self._u_means].index(mean)
                columns.append(table[:, i : i + n, j].T)
            else:
                i = len(u_keys) * n + [*self._u_means, *self._g_means].index(mean)
                j = g_keys.index(vector) * n
                columns.append(table[:, i, j : j + n].T)
        return torch.cat(columns)

    def _scale(self) -> Tensor:
        trace = self.batch.trace
        segment = segments(trace)[trace.after[self.number]]
        return self.batch.calibration.scales[segment]

    def _left_out(self, u: tuple[UpdateName, str], g: Key, scale: Tensor | None) -> tuple[Tensor, Tensor] | None:
        """Vectors (N, P, C, S) whose dot products the gauge-fixed form subtracts; None if simpler terms correct it."""
        update, direction = self.updates[u], self.directions[g]
        if scale is not None and bool((scale == 0).any()):
            dead = (scale == 0).nonzero().flatten()
            return update[:, :, dead], direction[:, :, dead]
        if self.batch.network.gauge == "orthogonal-layernorm" and update.shape[3] > 1:
            return update.mean(2, keepdim=True), direction.sum(2, keepdim=True)
        return None

    def partner_products(self, combination: Combination, partner: Tensor) -> Tensor:
        """(N·P,) float64: raw dot product of each update with the partner's gradient; 0 without a partner."""
        update = self.updates[combination.update, combination.part]
        direction = self.directions[self.gradients[combination].key]
        if update.shape[1] == 1:  # partners are in the same group, whose products are known already
            tables = [self.raw(combination, group) for group in range(len(self.batch.groups))]
            return within_groups(tables, partner, self.batch.groups)
        return partner_products(update, direction, partner)

    def clique_products(self, combination: Combination, group: int, rows: Tensor) -> Tensor:
        """(C, m, m) float64: raw dot products of each update with each gradient of the units of C cliques of a group.

        Args:
            combination: a combination.
            group: number of the group.
            rows: (C, m) row numbers; the products of −1 have no meaning.
        """
        rows = rows.clamp_min(0)
        update = self.updates[combination.update, combination.part]
        if update.shape[1] == 1:  # the products of the group are known already
            place = rows - self.batch.groups[group].start
            place = place.clamp_min(0)
            return self.raw(combination, group)[0][place.unsqueeze(2), place.unsqueeze(1)]
        return row_products(update, self.directions[self.gradients[combination].key], rows)

    def base_norm(self, part: str) -> Tensor:
        """(N, P) float64: norm of the state that the update, branch or part is added to."""
        network, trace = self.batch.network, self.batch.trace
        where = base(trace, self.number, part)
        if where not in self._base_norms:
            self._base_norms[where] = square_norms(_wide(network.canonical(trace.state(where)))).sqrt()
        return self._base_norms[where]

    def _squares(self, vector: Tensor) -> Tensor:
        """Sums of squares: (N, P, C) if the gauge scales channels, else (N, P, 1)."""
        channels = self.batch.network.gauge == "channel-scale"
        return squares(vector) if channels else square_norms(vector).unsqueeze(2)

    def correct_before(self, part: str, lens: str = "") -> dict[str, Tensor]:
        """Subset -> (N, P) bool: whether the readout is right at the state that the update or part is added to.

        The state before the block decides: a split by the state after it would select units by their outcome.
        Empty if the readout does not fit the state.
        """
        where = base(self.batch.trace, self.number, part)
        readouts = self.batch.readouts_of(lens)
        if where not in readouts:
            return {}
        right = readouts[where].answer == self.batch.trace.targets
        return {"right before": right, "wrong before": ~right}

    def _size(self, group: int) -> int:
        members = self.batch.groups[group]
        return members.stop - members.start


def requested(
    block: BlockProducts, gradients: Sequence[GradientName], targets: Sequence[Target], lens: str = ""
) -> tuple[list[Combination], dict[Combination, Reason]]:
    """The combinations that a probe asks for: those that exist, and the others with the reason.

    If no block of the network has a branch, branches are not reported as missing. The ``readout`` gradient is taken
    through the lens with the name ``lens``.
    """
    through = {g: lens if g == "readout" else "" for g in gradients}
    why: dict[UpdateName, Reason] = {"update": SHAPE_CHANGES}
    if any(described.branch is not None for described in block.batch.network.blocks):
        why["branch"] = NO_BRANCH
    missing = [u for u in why if (u, "") not in block.updates]
    absent = {Combination(u, "", g, t, through[g]): why[u] for u in missing for g in gradients for t in targets}

    def asked_for(c: Combination) -> bool:
        return c.gradient in through and c.lens == through[c.gradient] and c.target in targets

    absent |= {c: reason for c, reason in block.absent.items() if asked_for(c)}
    return [c for c in block.gradients if asked_for(c)], absent


def _wide(vectors: Tensor) -> Tensor:
    """The vectors in float32 or better: sums of products in half precision are too rough to report."""
    return vectors.float() if vectors.dtype in (torch.bfloat16, torch.float16) else vectors

"""The forms of a cosine: raw, centred, and gauge-fixed.

A form corrects dot products and norms by terms that belong to single vectors. So one matrix product serves all
forms, and vectors are never rewritten.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..networks.gauge import Gauge
from .dot_products import partner_products, row_products, stacked_products


@dataclass(frozen=True)
class Form:
    """One form of one update and one gradient.

    Attributes:
        name: "raw", "centred" or "gauge-fixed".
        update2, gradient2: (N, P) float64 squared norms in this form.
        left, right: (N, P) terms of update and gradient that correct a dot product d, or None.
        constant: if given, the corrected dot product is d − left_i − right_k + constant; if None, it is
            d − left_i · right_k.
        left_out: updates and gradients (N, P, C, S) whose dot products are to be subtracted, or None.
        less: for each group the (P, n, n) dot products of ``left_out``, or None.
    """

    name: str
    update2: Tensor
    gradient2: Tensor
    left: Tensor | None = None
    right: Tensor | None = None
    constant: Tensor | None = None
    left_out: tuple[Tensor, Tensor] | None = None
    less: list[Tensor] | None = None

    def pairs(self, raw: Tensor, group: int, members: slice) -> Tensor:
        """Dot products (P, n, n) of a group in this form, computed from the raw dot products."""
        if self.less is not None:
            return raw - self.less[group]
        if self.left is None or self.right is None:
            return raw
        return self._adjust(raw, self.left[members].T.unsqueeze(2), self.right[members].T.unsqueeze(1))

    def rows(self, raw: Tensor, partner: Tensor, groups: list[slice]) -> Tensor:
        """Dot products (N·P,) of each update with the partner's gradient, computed from the raw dot products."""
        if self.less is not None and self.left_out is not None:
            one_each = self.left_out[0].shape[1] == 1
            less = within_groups(self.less, partner, groups) if one_each else partner_products(*self.left_out, partner)
            return raw - less
        if self.left is None or self.right is None:
            return raw
        return self._adjust(raw, self.left.flatten(), self.right.flatten()[partner])

    def cliques(self, raw: Tensor, rows: Tensor) -> Tensor:
        """Dot products (C, m, m) of the units with row numbers (C, m) in this form, from the raw dot products."""
        rows = rows.clamp_min(0)
        if self.left_out is not None:
            return raw - row_products(*self.left_out, rows)
        if self.left is None or self.right is None:
            return raw
        return self._adjust(raw, self.left.flatten()[rows].unsqueeze(2), self.right.flatten()[rows].unsqueeze(1))

    def _adjust(self, raw: Tensor, left: Tensor, right: Tensor) -> Tensor:
        return raw - left * right if self.constant is None else raw - left - right + self.constant


def within_groups(tables: list[Tensor], partner: Tensor, groups: list[slice]) -> Tensor:
    """(N,): the entry of each unit and its partner in the table (1, n, n) of their group; 0 without a partner."""
    chosen = torch.zeros(len(partner), dtype=torch.float64, device=partner.device)
    for table, members in zip(tables, groups, strict=True):
        place = (partner[members] - members.start).clamp_min(0)
        chosen[members] = table[0].gather(1, place.unsqueeze(1)).squeeze(1)
    return chosen * (partner >= 0)


def centred(
    update2: Tensor,
    gradient2: Tensor,
    own: tuple[Tensor, Tensor],
    cross: tuple[Tensor, Tensor],
    means: tuple[Tensor, Tensor],
) -> Form:
    """The form in which the means over units are subtracted from update and gradient.

    Args:
        update2, gradient2: (N, P) raw squared norms.
        own: (N, P) dot products of the updates with the mean update, and of the gradients with the mean gradient.
        cross: (N, P) dot products of the updates with the mean gradient, and of the gradients with the mean update.
        means: the mean update and the mean gradient, (C, S).
    """
    update, gradient = (m.double().flatten() for m in means)
    return Form(
        "centred",
        (update2 - 2 * own[0] + update @ update).clamp_min(0),
        (gradient2 - 2 * own[1] + gradient @ gradient).clamp_min(0),
        cross[0],
        cross[1],
        update @ gradient,
    )


def gauge_fixed(
    gauge: Gauge,
    updates: Tensor,
    gradients: Tensor,
    squares: tuple[Tensor, Tensor],
    scale: Tensor | None,
    left_out: tuple[Tensor, Tensor] | None,
    groups: Sequence[slice] = (),
) -> Form:
    """The form that the gauge of the network cannot change.

    Args:
        gauge: the gauge of the network.
        updates, gradients: (N, P, C, S).
        squares: their sums of squares, (N, P, C) for ``"channel-scale"``, (N, P, C) or (N, P, 1) for other gauges.
        scale: (C,) standard deviation of each channel over the segment, for ``"channel-scale"``.
        left_out: the channels (N, P, c, S) of updates and gradients whose scale is exactly 0, or their parts along the
            all-ones vector if a unit has several positions; None for nothing.
        groups: slices of clusters; pairs are made within a group.
    """
    less = None if left_out is None else _products_of(left_out, groups)
    update, gradient = squares
    if gauge == "channel-scale":
        assert scale is not None
        alive = scale > 0
        weight = torch.where(alive, scale, 1.0).square()
        return Form(
            "gauge-fixed",
            ((update / weight) * alive).sum(2),
            (gradient * weight * alive).sum(2),
            left_out=left_out,
            less=less,
        )
    if gauge == "orthogonal":
        return Form("gauge-fixed", update.sum(2), gradient.sum(2))
    # LayerNorm cannot see the component along the all-ones vector
    mean = updates.mean(2).double()  # (N, P, S)
    update2 = (update.sum(2) - updates.shape[2] * mean.square().sum(2)).clamp_min(0)
    if updates.shape[3] > 1:
        return Form("gauge-fixed", update2, gradient.sum(2), left_out=left_out, less=less)
    return Form("gauge-fixed", update2, gradient.sum(2), mean.squeeze(2), gradients.squeeze(3).sum(2).double())


def _products_of(vectors: tuple[Tensor, Tensor], groups: Sequence[slice]) -> list[Tensor]:
    update, direction = vectors
    return [stacked_products(([update[m]], []), ([direction[m]], [])) for m in groups]

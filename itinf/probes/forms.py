"""The metric of a cosine: raw, centred, and fixed by the network's declared gauge.

Every form changes dot products and norms by terms that are known per vector, so one matrix product
serves all forms; no vector is ever rewritten.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..networks.gauge import Gauge


@dataclass(frozen=True)
class Form:
    """One form for one update and one gradient.

    Attributes:
        name: "raw", "centred" or "gauge-fixed".
        update2, gradient2: (N, P) float64 squared norms in this form.
        left, right: (N, P) terms of update and gradient that correct a dot product, or None.
        constant: with ``left`` and ``right`` added: d − left_i − right_k + constant; None where the
            correction is a product: d − left_i · right_k.
        less: per group (P, n, n) dot products to leave out, or None.
    """

    name: str
    update2: Tensor
    gradient2: Tensor
    left: Tensor | None = None
    right: Tensor | None = None
    constant: Tensor | None = None
    less: list[Tensor] | None = None

    def pairs(self, raw: Tensor, group: int, members: slice) -> Tensor:
        """Dot products (P, n, n) of a group in this form, from the raw ones."""
        if self.less is not None:
            return raw - self.less[group]
        if self.left is None or self.right is None:
            return raw
        return self._adjust(raw, self.left[members].T.unsqueeze(2), self.right[members].T.unsqueeze(1))

    def rows(self, raw: Tensor, partner: Tensor, groups: list[slice]) -> Tensor:
        """Dot products (N·P,) of each update with its partner's gradient, from the raw ones."""
        if self.less is not None:
            return raw - within_groups(self.less, partner, groups)
        if self.left is None or self.right is None:
            return raw
        return self._adjust(raw, self.left.flatten(), self.right.flatten()[partner])

    def _adjust(self, raw: Tensor, left: Tensor, right: Tensor) -> Tensor:
        return raw - left * right if self.constant is None else raw - left - right + self.constant


def within_groups(tables: list[Tensor], partner: Tensor, groups: list[slice]) -> Tensor:
    """Entries (N,) of per-group tables (1, n, n) at each unit's partner in the same group; 0 without one."""
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
    """Mean over units removed from both.

    Args:
        update2, gradient2: (N, P) raw squared norms.
        own: (N, P) dot products of update and gradient with their own means.
        cross: (N, P) dot products of update with the gradient's mean, and the other way round.
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
    less: list[Tensor] | None,
) -> Form:
    """The form that the network's own gauge cannot change.

    Args:
        gauge: which.
        updates, gradients: (N, P, C, S).
        squares: their (N, P, C) sums of squares per channel; (N, P, 1) will do but for ``"channel-scale"``.
        scale: (C,) standard deviation of each channel over the segment, for ``"channel-scale"``.
        less: per group, dot products to leave out: over channels whose scale is exactly 0, or along the
            all-ones vector where a unit has several positions; None where there are none.
    """
    update, gradient = squares
    if gauge == "channel-scale":
        assert scale is not None
        alive = scale > 0
        weight = torch.where(alive, scale, 1.0).square()
        return Form("gauge-fixed", ((update / weight) * alive).sum(2), (gradient * weight * alive).sum(2), less=less)
    if gauge == "orthogonal":
        return Form("gauge-fixed", update.sum(2), gradient.sum(2))
    # LayerNorm cannot see the component along the all-ones vector
    mean = updates.mean(2).double()  # (N, P, S)
    update2 = (update.sum(2) - updates.shape[2] * mean.square().sum(2)).clamp_min(0)
    if updates.shape[3] > 1:
        return Form("gauge-fixed", update2, gradient.sum(2), less=less)
    return Form("gauge-fixed", update2, gradient.sum(2), mean.squeeze(2), gradients.squeeze(3).sum(2).double())

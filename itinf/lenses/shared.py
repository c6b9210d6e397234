"""The shared lens: one translator for every depth, each depth standardised; and what leaving one depth out leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import torch
from torch import Tensor

from .affine import best
from .moments import Moments

AffineMap = tuple[Tensor, Tensor]
"""W (E, D) and b (E,), float64."""


@dataclass(frozen=True)
class Standard:
    """How the vectors of one depth are made comparable: (x − mean) / scale, without any label.

    Attributes:
        mean: (D,); ``scale``: root of the mean variance, 1 for vectors that are constant.
    """

    mean: Tensor
    scale: float

    @classmethod
    def of(cls, moments: Moments) -> Standard:
        variance = float(moments.covariance.diagonal().mean())
        return cls(moments.mean, variance**0.5 or 1.0)

    @property
    def map(self) -> AffineMap:
        eye = torch.eye(len(self.mean), dtype=torch.float64)
        return eye / self.scale, -self.mean / self.scale


def shared(
    fitted: Sequence[Moments],
    held_out: Sequence[Moments],
    leave_out: bool,
    rotations: Sequence[Tensor] | None = None,
) -> list[AffineMap]:
    """One map for all depths of a segment, written out for each: from its own vectors to those of the last state.

    Every depth weighs the same after its vectors are standardised by one mean and one scalar. The
    last state is one of the depths. Where the vectors fitted on do not vary, the map says nothing (0, not
    the identity, by which a network whose depths share nothing would read the last one without having seen it).

    Args:
        fitted: for each depth the moments of (h_j, h_L); the widths of the h_j agree.
        held_out: the same over other units, to choose the ridge.
        leave_out: the map for depth j is fitted on all depths but j.
        rotations: for each depth a (D, D) rotation that its vectors are turned by first: the null in
            which no code is common to two depths.

    Returns:
        for each depth W (E, D) and b (E,) on its raw vectors.
    """
    target = Standard(fitted[-1].y / fitted[-1].n, 1.0)
    first = [Standard.of(m) for m in fitted]
    if first[-1].mean.shape == target.mean.shape:
        target = Standard(target.mean, first[-1].scale)
    turns = [torch.eye(len(s.mean), dtype=torch.float64) for s in first] if rotations is None else list(rotations)
    maps = [(turn @ s.map[0], turn @ s.map[1]) for turn, s in zip(turns, first, strict=True)]
    pools = [[_equal(m, own, target) for m, own in zip(some, maps, strict=True)] for some in (fitted, held_out)]
    found: list[AffineMap] = []
    common: AffineMap | None = None
    for place, (matrix, bias) in enumerate(maps):
        if common is None or leave_out:
            some, others = (
                reduce(add, [m for k, m in enumerate(pool) if k != place or not leave_out]) for pool in pools
            )
            common = best(some, others, towards=0.0)
        weight, offset = common
        found.append((target.scale * weight @ matrix, target.scale * (weight @ bias + offset) + target.mean))
    return found


def _equal(moments: Moments, own: AffineMap, target: Standard) -> Moments:
    """Standardised on both sides, as if of one unit, or of none."""
    moved = moments.times(1 / max(moments.n, 1.0)).mapped(*own)
    shift, scale = target.mean, target.scale
    y = (moved.y - shift) / scale
    xy = (moved.xy - torch.outer(moved.x, shift)) / scale
    yy = (moved.yy - 2 * float(shift @ moved.y) + float(shift @ shift)) / scale**2
    return Moments(moved.n, moved.x, y, moved.xx, xy, yy)

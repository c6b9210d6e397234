"""The shared lens: one map for all states of a segment, fitted on all of them or on all but the one it reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import torch
from torch import Tensor

from ..networks.gauge import random_rotation
from .affine import AffineMap, best
from .fit_statistics import FitStatistics
from .moments import Moments


@dataclass(frozen=True)
class Standard:
    """Makes the vectors of different states comparable: (x − mean) / scale, without any label.

    Attributes:
        mean: (D,); ``scale``: root of the mean variance, 1 for vectors that are constant.
    """

    mean: Tensor
    scale: float

    @classmethod
    def of(cls, moments: Moments) -> Standard:
        """The mean and scale of x."""
        variance = float(moments.covariance.diagonal().mean())
        return cls(moments.mean, variance**0.5 or 1.0)

    @property
    def map(self) -> AffineMap:
        """W (D, D) and b (D,) that standardise."""
        eye = torch.eye(len(self.mean), dtype=torch.float64)
        return eye / self.scale, -self.mean / self.scale


def shared_maps(statistics: FitStatistics, leave_out: bool, rotated: int | None = None) -> list[AffineMap]:
    """For each site the map of its segment's shared lens.

    Args:
        statistics: of the network's states.
        leave_out: fit the map for a site on the segment's other sites. In a segment of one site none is
            left, and the map gives the mean.
        rotated: seed of an independent random rotation for every site: the null without a common code.
    """
    maps: list[AffineMap] = []
    sites = statistics.sites
    for segment in dict.fromkeys(site.segment for site in sites):
        members = [k for k, site in enumerate(sites) if site.segment == segment]
        fitted, held_out = ([moments[k] for k in members] for moments in (statistics.fitted, statistics.held_out))
        if leave_out and len(members) == 1:
            maps.append(_mean(fitted[0].y / fitted[0].n, sites[members[0]].width))
            continue
        rotations = None
        if rotated is not None:
            rotations = [random_rotation(sites[k].width, rotated * 10_000 + k) for k in members]
        maps += shared(fitted, held_out, leave_out, rotations)
    return maps


def shared(
    fitted: Sequence[Moments],
    held_out: Sequence[Moments],
    leave_out: bool,
    rotations: Sequence[Tensor] | None = None,
) -> list[AffineMap]:
    """One map for all states of a segment, written out for each: from its own vectors to those of the last state.

    Every state has the same weight after its vectors are standardised by one mean and one scalar. The last
    state is one of them. In directions in which the fitted vectors do not vary, the map is 0. It is not the
    identity there: with that, a network whose states share nothing would read the last state without being fitted on it.

    Args:
        fitted: for each state the moments of (h_j, h_L); the widths of the h_j agree.
        held_out: the same over other units, to choose the ridge.
        leave_out: the map for state j is fitted on all states but j.
        rotations: for each state a (D, D) rotation of its vectors: the null in which no two states
            share a code.

    Returns:
        for each state W (E, D) and b (E,) on its raw vectors.
    """
    target = Standard(fitted[-1].y / fitted[-1].n, 1.0)
    standards = [Standard.of(moments) for moments in fitted]
    if standards[-1].mean.shape == target.mean.shape:
        target = Standard(target.mean, standards[-1].scale)
    turns = [torch.eye(len(s.mean), dtype=torch.float64) for s in standards] if rotations is None else list(rotations)
    standardise = [(turn @ s.map[0], turn @ s.map[1]) for turn, s in zip(turns, standards, strict=True)]
    pools = [
        [_standardised(moments, affine_map, target) for moments, affine_map in zip(states, standardise, strict=True)]
        for states in (fitted, held_out)
    ]
    maps: list[AffineMap] = []
    common: AffineMap | None = None
    for j, (matrix, bias) in enumerate(standardise):
        if common is None or leave_out:
            sums = (reduce(add, [m for k, m in enumerate(pool) if k != j or not leave_out]) for pool in pools)
            all_fitted, all_held_out = sums
            common = best(all_fitted, all_held_out, target_scale=0.0)
        weight, offset = common
        maps.append((target.scale * weight @ matrix, target.scale * (weight @ bias + offset) + target.mean))
    return maps


def _standardised(moments: Moments, standardise: AffineMap, target: Standard) -> Moments:
    """Moments of the standardised x and y, with the weight of one unit, or of none."""
    x = moments.times(1 / max(moments.n, 1.0)).mapped(*standardise)
    mean, scale = target.mean, target.scale
    y = (x.y - mean) / scale
    xy = (x.xy - torch.outer(x.x, mean)) / scale
    yy = (x.yy - 2 * float(mean @ x.y) + float(mean @ mean)) / scale**2
    return Moments(x.n, x.x, y, x.xx, xy, yy, x.rounding)


def _mean(mean: Tensor, width: int) -> AffineMap:
    """The map that gives the mean, whatever the vector of this width."""
    return torch.zeros(len(mean), width, dtype=torch.float64), mean

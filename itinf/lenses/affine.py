"""The affine lens: least squares in closed form from streamed moments, its ridge chosen on held-out units."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache

import torch
from torch import Tensor

from ..errors import TooFewError
from ..networks.network import Network
from .fit_statistics import FitStatistics
from .moments import ROUNDING, Moments

AffineMap = tuple[Tensor, Tensor]
"""W (E, D) and b (E,), float64."""

RIDGES = (0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Candidates for the ridge, in units of each channel's own variance."""
FLOOR = 1e-3
"""Share of the mean variance that is added to every channel's ridge, so that constant channels have one, too."""


def affine_maps(network: Network, statistics: FitStatistics) -> list[AffineMap]:
    """For each site the least-squares map to the last state's vectors, ridge chosen on held-out clusters.

    Raises:
        TooFewError: too few units for a map (says how many it takes).
    """
    pairs = zip(statistics.sites, statistics.fitted, strict=True)
    for site, fitted in sorted(pairs, key=lambda pair: -pair[0].width):  # the widest needs most units: name it first
        require_units(fitted.n, site.width, f"{network.name}, state {site.name!r}")
    return [best(fitted, held_out) for fitted, held_out in zip(statistics.fitted, statistics.held_out, strict=True)]


def solve(moments: Moments, ridge: float, target_scale: float = 1.0) -> AffineMap:
    """Minimises Σ|y − W x − b|²/n + ridge · Σ_c d_c |W_c − T_c|², with d_c = σ_c² + FLOOR · mean σ².

    Args:
        moments: of x (D) and y (E).
        ridge: pulls W towards T. Directions in which x does not vary keep T even without a ridge.
        target_scale: T is the identity times this where D = E, else 0.

    Returns:
        W (E, D) and b (E,), float64.
    """
    return next(solutions(moments, (ridge,), target_scale))


def solutions(moments: Moments, ridges: Iterable[float], target_scale: float = 1.0) -> Iterator[AffineMap]:
    """``solve`` for one ridge after the other; all that are not 0 share one decomposition."""
    covariance, cross = moments.covariance, moments.cross_covariance
    square = cross.shape[0] == cross.shape[1]
    variance = covariance.diagonal()
    residual = cross - target_scale * covariance if square else cross  # (D, E): what T leaves to explain
    target = target_scale * torch.eye(len(variance), dtype=torch.float64) if square else 0.0

    @cache
    def decomposed(without_ridge: bool) -> tuple[Tensor, Tensor, Tensor]:
        # In these units the ridge is a multiple of the identity; without one, a diagonal of ones keeps
        # channels of very different size apart from singularity.
        weight = variance if without_ridge else variance + FLOOR * variance.mean()
        scale = torch.where(variance > 0, weight.rsqrt(), 0.0)  # channels that never vary keep T exactly
        values, axes = torch.linalg.eigh(covariance * torch.outer(scale, scale))
        return values, scale[:, None] * axes, axes.T @ (scale[:, None] * residual)

    for ridge in ridges:
        values, left, right = decomposed(ridge == 0)
        # a ridge keeps directions of full precision at bay; in 16 bits those that hold rounding error alone are many
        without = ridge == 0 or moments.rounding > ROUNDING
        kept = values > (moments.rounding * values.max() if without else -ridge)
        inverse = torch.where(kept, 1 / (values + ridge), 0.0)
        matrix = (left @ (inverse[:, None] * right)).T + target
        yield matrix, moments.y / moments.n - matrix @ moments.mean


def error(moments: Moments, matrix: Tensor, bias: Tensor) -> float:
    """Mean over units of |y − W x − b|², from the moments alone."""
    n = moments.n
    mapped = matrix @ moments.x
    square = (matrix @ moments.xx * matrix).sum() + 2 * bias @ mapped + n * bias @ bias
    product = (matrix * moments.xy.T).sum() + bias @ moments.y
    return float((moments.yy - 2 * product + square) / n)


def best(fitted: Moments, held_out: Moments, ridges: Sequence[float] = RIDGES, target_scale: float = 1.0) -> AffineMap:
    """``solve`` with the ridge that has the smallest error on held-out units; no ridge where none are held out."""
    if not held_out.n:
        return solve(fitted, 0.0, target_scale)
    return min(solutions(fitted, ridges, target_scale), key=lambda affine_map: error(held_out, *affine_map))


def require_units(units: float, width: int, what: str, advice: str = "Give more units.") -> None:
    """Raises TooFewError where there are too few units for as many coefficients."""
    needed = 2 * (width + 1)
    if units < needed:
        raise TooFewError(
            f"{what}: {units:,.0f} units cannot fit a translator of width {width}; it takes at least {needed:,}. {advice}"
        )

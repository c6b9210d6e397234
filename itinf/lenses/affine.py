"""The affine lens: least squares in closed form from streamed moments, its ridge chosen on held-out units."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache

import torch
from torch import Tensor

from ..errors import TooFewError
from .moments import ROUNDING, Moments

RIDGES = (0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Candidates for the ridge, in units of each channel's own variance."""
FLOOR = 1e-3
"""Share of the mean variance that every channel's ridge gets, so that dead channels have one too."""


def solve(moments: Moments, ridge: float, towards: float = 1.0) -> tuple[Tensor, Tensor]:
    """Minimises Σ|y − W x − b|²/n + ridge · Σ_c d_c |W_c − T_c|², with d_c = σ_c² + FLOOR · mean σ².

    Args:
        moments: of x (D) and y (E).
        ridge: pulls W towards T. Directions in which x does not vary keep T even without a ridge.
        towards: T is the identity times this where D = E, else 0.

    Returns:
        W (E, D) and b (E,), float64.
    """
    return next(solutions(moments, (ridge,), towards))


def solutions(moments: Moments, ridges: Iterable[float], towards: float = 1.0) -> Iterator[tuple[Tensor, Tensor]]:
    """``solve`` for one ridge after the other; all that are not 0 share one decomposition."""
    covariance, cross = moments.covariance, moments.cross_covariance
    square = cross.shape[0] == cross.shape[1]
    variance = covariance.diagonal()
    goal = cross - towards * covariance if square else cross  # (D, E): of what T leaves
    eye = towards * torch.eye(len(variance), dtype=torch.float64) if square else 0.0

    @cache
    def decomposed(bare: bool) -> tuple[Tensor, Tensor, Tensor]:
        # In these units the ridge is a multiple of the identity; without one, a diagonal of ones keeps
        # channels of very different size apart from singularity.
        weight = variance if bare else variance + FLOOR * variance.mean()
        size = torch.where(variance > 0, weight.rsqrt(), 0.0)  # channels that never vary keep T exactly
        values, axes = torch.linalg.eigh(covariance * torch.outer(size, size))
        return values, size[:, None] * axes, axes.T @ (size[:, None] * goal)

    for ridge in ridges:
        values, out, into = decomposed(ridge == 0)
        kept = values > (ROUNDING * values.max() if ridge == 0 else -ridge)
        inverse = torch.where(kept, 1 / (values + ridge), 0.0)
        matrix = (out @ (inverse[:, None] * into)).T + eye
        yield matrix, moments.y / moments.n - matrix @ moments.mean


def error(moments: Moments, matrix: Tensor, bias: Tensor) -> float:
    """Mean over units of |y − W x − b|², from the moments alone."""
    n = moments.n
    moved = matrix @ moments.x
    fit = (matrix @ moments.xx * matrix).sum() + 2 * bias @ moved + n * bias @ bias
    both = (matrix * moments.xy.T).sum() + bias @ moments.y
    return float((moments.yy - 2 * both + fit) / n)


def best(
    fitted: Moments, held_out: Moments, ridges: Sequence[float] = RIDGES, towards: float = 1.0
) -> tuple[Tensor, Tensor]:
    """``solve`` with the ridge whose map, fitted on some units, errs least on others; with none where there are no others."""
    if not held_out.n:
        return solve(fitted, 0.0, towards)
    return min(solutions(fitted, ridges, towards), key=lambda found: error(held_out, *found))


def require_units(moments: Moments, what: str) -> None:
    """Raises ItinfError where there are too few units for as many coefficients."""
    needed = 2 * (len(moments.x) + 1)
    if moments.n < needed:
        raise TooFewError(
            f"{what}: {moments.n:,.0f} units cannot fit a translator of width {len(moments.x)}; "
            f"it takes at least {needed:,}. Give more units."
        )

"""The affine lens: least squares in closed form from streamed moments, its ridge chosen on held-out units."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import ItinfError
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
    covariance, cross = moments.covariance, moments.cross_covariance
    square = cross.shape[0] == cross.shape[1]
    variance = covariance.diagonal()
    weight = variance + FLOOR * variance.mean()
    goal = cross - towards * covariance if square else cross  # (D, E): of what T leaves
    system = covariance + ridge * torch.diag(weight)
    # A diagonal of ones keeps channels of very different size apart from singularity.
    size = torch.where(system.diagonal() > 0, system.diagonal().rsqrt(), 1.0)
    inverse = torch.linalg.pinv(system * torch.outer(size, size), rtol=ROUNDING, hermitian=True)
    found = size[:, None] * (inverse @ (size[:, None] * goal))
    matrix = found.T + (towards * torch.eye(len(variance), dtype=torch.float64) if square else 0.0)
    return matrix, moments.y / moments.n - matrix @ moments.mean


def error(moments: Moments, matrix: Tensor, bias: Tensor) -> float:
    """Mean over units of |y − W x − b|², from the moments alone."""
    n = moments.n
    moved = matrix @ moments.x
    fit = (matrix @ moments.xx * matrix).sum() + 2 * bias @ moved + n * bias @ bias
    both = (matrix * moments.xy.T).sum() + bias @ moments.y
    return float((moments.yy - 2 * both + fit) / n)


def choose(fitted: Moments, held_out: Moments, ridges: Sequence[float] = RIDGES, towards: float = 1.0) -> float:
    """The ridge whose map, fitted on some units, errs least on others; 0 where there are no others."""
    if not held_out.n:
        return 0.0
    return min(ridges, key=lambda ridge: error(held_out, *solve(fitted, ridge, towards)))


def require_units(moments: Moments, what: str) -> None:
    """Raises ItinfError where there are too few units for as many coefficients."""
    needed = 2 * (len(moments.x) + 1)
    if moments.n < needed:
        raise ItinfError(
            f"{what}: {moments.n:,.0f} units cannot fit a translator of width {len(moments.x)}; "
            f"it takes at least {needed:,}. Give more units."
        )

"""Sums of squares and products of pairs of vectors: all that a least-squares fit needs, in float64, merged by addition."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

ROUNDING = 1e-12
"""A channel whose variance is below this share of its mean square counts as constant: below it lies rounding error."""


@dataclass
class Moments:
    """Sums over units of x (D), y (E) and their products.

    Attributes:
        n: number of units.
        x, y: (D,), (E,) Σx, Σy.
        xx, xy: (D, D), (D, E) Σxxᵀ, Σxyᵀ.
        yy: Σ|y|².
        rounding: share of a mean square, or of the largest variance, below which a variance is only rounding error of x.
    """

    n: float
    x: Tensor
    y: Tensor
    xx: Tensor
    xy: Tensor
    yy: float
    rounding: float = ROUNDING

    @classmethod
    def none(cls, width: int, target: int) -> Moments:
        """Moments of no units, to add to."""
        x, y, xx, xy = (
            torch.zeros(s, dtype=torch.float64) for s in ((width,), (target,), (width, width), (width, target))
        )
        return cls(0.0, x, y, xx, xy, 0.0)

    @classmethod
    def of(cls, x: Tensor, y: Tensor) -> Moments:
        """Moments of R units: x (R, D), y (R, E); those of 16 bits vary by their own rounding."""
        rounding = max(ROUNDING, torch.finfo(x.dtype).eps ** 2)
        x, y = x.double(), y.double()
        return cls(float(len(x)), x.sum(0), y.sum(0), x.T @ x, x.T @ y, float(y.square().sum()), rounding)

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.n + other.n,
            self.x + other.x,
            self.y + other.y,
            self.xx + other.xx,
            self.xy + other.xy,
            self.yy + other.yy,
            max(self.rounding, other.rounding),
        )

    def times(self, factor: float) -> Moments:
        """Every unit counted ``factor`` times."""
        x, y, xx, xy = (factor * s for s in (self.x, self.y, self.xx, self.xy))
        return Moments(self.n * factor, x, y, xx, xy, self.yy * factor, self.rounding)

    def mapped(self, matrix: Tensor, bias: Tensor) -> Moments:
        """The moments of (``matrix`` x + ``bias``, y): matrix (F, D), bias (F,)."""
        mapped = matrix @ self.x
        xx = matrix @ self.xx @ matrix.T
        xx = xx + torch.outer(mapped, bias) + torch.outer(bias, mapped) + self.n * torch.outer(bias, bias)
        xy = matrix @ self.xy + torch.outer(bias, self.y)
        return Moments(self.n, mapped + self.n * bias, self.y, xx, xy, self.yy, self.rounding)

    @property
    def mean(self) -> Tensor:
        """(D,) of x."""
        return self.x / self.n

    @property
    def _varies(self) -> Tensor:
        """(D,) bool: channels that are not constant."""
        square = self.xx.diagonal() / self.n
        return square - self.mean.square() > self.rounding * square

    @property
    def covariance(self) -> Tensor:
        """(D, D) of x, over n; exactly 0 for constant channels."""
        covariance = self.xx / self.n - torch.outer(self.mean, self.mean)
        return covariance * torch.outer(self._varies, self._varies)

    @property
    def cross_covariance(self) -> Tensor:
        """(D, E) of x with y, over n; exactly 0 for constant channels."""
        return (self.xy / self.n - torch.outer(self.mean, self.y / self.n)) * self._varies[:, None]

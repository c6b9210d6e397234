"""Estimators of means at the best temperature, which every replicate chooses anew."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..statistics.bootstrap import Array, Sums
from .estimators import Estimator


@dataclass(frozen=True)
class AtBest(Estimator):
    """Mean over units of a number that depends on a temperature β, where the loss is least.

    β is found near a fixed one, at which all columns were measured, by one Newton step; the number follows its slope there.

    Attributes:
        sum: the number at the fixed β; ``slope``: its derivative by β.
        first, second: the derivatives of the loss by β.
    """

    sum: str
    slope: str
    first: str
    second: str

    def estimate(self, sums: Sums) -> Array:
        moved = sums.column(self.sum) + sums.column(self.slope) * newton(sums, self.first, self.second)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(moved / sums.column(self.n))


@dataclass(frozen=True)
class AtBestBoth(AtBest):
    """The same for a number of two states with a temperature each; ``later_…`` are the columns of the later one."""

    later_slope: str
    later_first: str
    later_second: str

    def estimate(self, sums: Sums) -> Array:
        later = sums.column(self.later_slope) * newton(sums, self.later_first, self.later_second)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(super().estimate(sums) + later / sums.column(self.n))


def newton(sums: Sums, first: str, second: str) -> Array:
    """The step to the least loss; 0 where no temperature changes it."""
    slope, curvature = sums.column(first), sums.column(second)
    return np.where(curvature > 0, -slope / np.where(curvature > 0, curvature, 1.0), 0.0)

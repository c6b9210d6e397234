"""Estimators of means at the best temperature, which every replicate chooses anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..statistics.bootstrap import Array, Sums
from .estimators import Estimator
from .reasons import NO_BEST_TEMPERATURE, Reason

STEPS = 8
"""Steps towards the least loss, each of which takes the bend of its slope from the one before."""
FARTHEST = 1.0
"""Of log β; nothing measured so far away tells what is there."""


@dataclass(frozen=True)
class AtBest(Estimator):
    """Mean over units of a number that depends on a temperature β, where the loss is least.

    All columns were measured at a fixed β near the best one, and their derivatives are by log β, by which losses and numbers bend
    little. From there number and loss are followed, to the second and third order.

    Attributes:
        sum: the number; ``slope``, ``bend``: its first two derivatives.
        first, second, third: the derivatives of the loss.
    """

    undefined: ClassVar[Reason | None] = NO_BEST_TEMPERATURE
    sum: str
    slope: str
    bend: str
    first: str
    second: str
    third: str

    def estimate(self, sums: Sums) -> Array:
        return self._over_units(self._moved(sums, self._step(sums)), sums)

    def _step(self, sums: Sums) -> Array:
        return to_least(*(sums.column(name) for name in (self.first, self.second, self.third)))

    def _moved(self, sums: Sums, step: Array) -> Array:
        value, slope, bend = (sums.column(name) for name in (self.sum, self.slope, self.bend))
        return np.asarray(value + step * (slope + step * bend / 2))

    def _over_units(self, total: Array, sums: Sums) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(total / sums.column(self.n))


@dataclass(frozen=True)
class AtBestBoth(AtBest):
    """The same for a number of two states with a temperature each; ``later_…`` are the columns of the later one.

    Attributes:
        cross: its derivative by both.
    """

    later_slope: str
    later_bend: str
    later_first: str
    later_second: str
    later_third: str
    cross: str

    def estimate(self, sums: Sums) -> Array:
        step = self._step(sums)
        names = self.later_first, self.later_second, self.later_third, self.later_slope, self.later_bend, self.cross
        *loss, slope, bend, cross = (sums.column(name) for name in names)
        later = to_least(*loss)
        return self._over_units(self._moved(sums, step) + later * (slope + later * bend / 2 + step * cross), sums)


def to_least(first: Array, second: Array, third: Array) -> Array:
    """How far the least loss is; 0 where no temperature changes the loss, NaN where it is too far away to be known.

    A reading that is right of all units has no best temperature, and one that tells nothing of the label neither.
    """
    step = np.zeros_like(first)
    for _ in range(STEPS):
        curvature = second + third * step / 2
        step = np.where(curvature > 0, -first / np.where(curvature > 0, curvature, 1.0), np.sign(-first) * FARTHEST)
        step = step.clip(-FARTHEST, FARTHEST)
    return np.where(np.abs(step) < FARTHEST, step, np.nan)

"""Estimators of ratios of sums: with a simultaneous band, with partners, and the difference of the two."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..statistics.bootstrap import Array, Sums
from ..statistics.intervals import interval, mean_error
from .estimators import Estimator, Ratio
from .reasons import NOT_TAUGHT


@dataclass(frozen=True)
class BandRatio(Ratio):
    """Ratio of sums over units, with the columns that a simultaneous band needs."""

    above2: str
    below2: str
    cross: str

    def error(self, sums: Sums, clusters: int) -> Array | None:
        roles = {"sum": self.above, "n": self.below, "sum2": self.above2, "sumn": self.cross, "n2": self.below2}
        return np.abs(mean_error({role: sums.column(name) for role, name in roles.items()}, clusters))


@dataclass(frozen=True)
class GainRatio(Ratio):
    """Ratio of sums over units to a gain; without a value where nothing was gained."""

    def estimate(self, sums: Sums) -> Array:
        return np.where(sums.column(self.below) > 0, super().estimate(sums), np.nan)


@dataclass(frozen=True)
class TaughtRatio(Ratio):
    """Ratio of sums over units to what a true token teaches; without a value where that is not clearly above zero.

    Else the quotient would be of two numbers that are noise, and could be of any size. The total below, the plain total
    ``taught``, and ``held``, by how much what is taught is more probable than chance, have to be above zero, by the 95 %
    interval of each.
    """

    taught: str
    held: str
    missing = NOT_TAUGHT

    def estimate(self, sums: Sums) -> Array:
        clusters = self.counts(sums)[1]
        n = sums.column(self.n)
        means = [sums.column(name) / n for name in (self.taught, self.held, self.below)]
        clear = all(interval(mean, clusters)[0] > 0 for mean in means)
        return super().estimate(sums) if clear else np.full_like(n, np.nan)


@dataclass(frozen=True)
class Explained(Estimator):
    """The share of a variance that the best multiple of another vector explains: Σ⟨x, y⟩² / (Σ|x|² Σ|y|²)."""

    cross: str
    own: str
    last: str

    def estimate(self, sums: Sums) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            return sums.column(self.cross) ** 2 / (sums.column(self.own) * sums.column(self.last))


@dataclass(frozen=True)
class RootRatio(Ratio):
    """Square root of a ratio of sums; of a negative one, which chance can make, minus that of its size."""

    def estimate(self, sums: Sums) -> Array:
        return _root(super().estimate(sums))

    def limits(self, values: Array, sums: Sums, clusters: int) -> tuple[float, float]:
        """Those of the ratio, whose replicates lie evenly about it also near 0."""
        lo, hi = super().limits(values * np.abs(values), sums, clusters)
        return float(_root(lo)), float(_root(hi))


def _root(values: Array | float) -> Array:
    return np.sign(values) * np.sqrt(np.abs(values))


@dataclass(frozen=True)
class PartnerRatio(Estimator):
    """Ratio of sums over units of numbers with the partner's class or vector, and the observed ratio of the same units."""

    above: str
    below: str
    own_above: str
    own_below: str

    def estimate(self, sums: Sums) -> Array:
        return sums.pair_mean(self.above, self.below)

    def own_estimate(self, sums: Sums) -> Array | None:
        return sums.pair_mean(self.own_above, self.own_below)


@dataclass(frozen=True)
class PartnerExcess(PartnerRatio):
    """The ratio with the partner's class or vector minus the observed ratio of the same units."""

    def estimate(self, sums: Sums) -> Array:
        return super().estimate(sums) - sums.pair_mean(self.own_above, self.own_below)

    def own_estimate(self, sums: Sums) -> Array | None:
        return None

"""Estimators of ratios of sums: with a simultaneous band, with partners, and the difference of the two."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..statistics.bootstrap import Array, Sums
from ..statistics.intervals import interval, mean_error
from .estimators import Estimator, Ratio
from .reasons import NOT_ABOVE_ZERO, NOT_TAUGHT


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
class ClearRatio(Ratio):
    """Ratio of sums over units; without a value where what it is divided by is not above zero by its 95 % interval.

    Else the quotient would be of two numbers that are noise, and could be of any size. Of too few clusters for an interval
    the number itself has to be above zero.
    """

    undefined = NOT_ABOVE_ZERO

    def estimate(self, sums: Sums) -> Array:
        below = [sums.column(name) / sums.column(self.n) for name in self.above_zero]
        clusters = self.counts(sums)[1]
        clear = all(mean[0] > 0 and not interval(mean, clusters)[0] <= 0 for mean in below)
        return super().estimate(sums) if clear else np.full_like(sums.column(self.n), np.nan)

    @property
    def above_zero(self) -> tuple[str, ...]:
        """The columns whose means have to be above zero."""
        return (self.below,)


@dataclass(frozen=True)
class TaughtRatio(ClearRatio):
    """The same of what a true token teaches: the plain total ``taught``, and ``held``, by how much what is taught is more
    probable than chance, have to be above zero, too."""

    taught: str
    held: str
    undefined = NOT_TAUGHT

    @property
    def above_zero(self) -> tuple[str, ...]:
        return (self.taught, self.held, self.below)


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
class Correlation(Estimator):
    """Σ⟨x, y⟩ / √(Σ⟨x, x⟩ Σ⟨y, y⟩); no number where one of the squares is not above 0.

    Replicates are to first order: a unit far from all others owns most of a square, which replicates without it would
    take below 0.
    """

    cross: str
    own: str
    last: str

    def estimate(self, sums: Sums) -> Array:
        return _correlation(sums, self.cross, self.own, self.last)


@dataclass(frozen=True)
class PartnerCorrelation(Correlation):
    """The correlation with the partner's vector, and the observed one of the same units."""

    own_cross: str
    own_last: str

    def own_estimate(self, sums: Sums) -> Array | None:
        return _correlation(sums, self.own_cross, self.own, self.own_last)


def _correlation(sums: Sums, cross: str, own: str, last: str) -> Array:
    both, one, other = map(sums.column, (cross, own, last))
    with np.errstate(divide="ignore", invalid="ignore"):
        root = np.sqrt(np.where((one[0] > 0) & (other[0] > 0), one[0] * other[0], np.nan))
        return both / root - both[0] / root * (one / one[0] + other / other[0] - 2) / 2


@dataclass(frozen=True)
class Concentration(Estimator):
    """Σλ² / (Σλ)² of the eigenvalues λ of a covariance, from sums over units of |Cov|² and of the variance.

    Replicates are to first order, as those of ``Correlation``.
    """

    own: str
    spread: str

    def estimate(self, sums: Sums) -> Array:
        own, spread, units = map(sums.column, (self.own, self.spread, self.n))
        with np.errstate(divide="ignore", invalid="ignore"):
            change = own / own[0] + units / units[0] - 2 * spread / spread[0]
            return own[0] * units[0] / spread[0] ** 2 * (1 + change)


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

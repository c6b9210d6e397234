"""Estimators of ratios of sums: with a simultaneous band, with partners, and the difference of the two."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..statistics.bootstrap import Array, Sums
from ..statistics.intervals import mean_error
from .estimators import Estimator, Ratio


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

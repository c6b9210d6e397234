"""Estimators of means over units that depend on a calibrated mean, whose error they contain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from ..statistics.bootstrap import Array, Sums
from ..statistics.intervals import share_interval
from .estimators import Mean


@dataclass(frozen=True)
class CalibratedMean(Mean):
    """Mean over units, with the value that it has without each part of the calibration: a jackknife.

    Every replicate adds a random combination of what the parts change, the same in all rows and networks, so that
    differences of rows lose what they have in common. With so few parts it is enlarged as Student's t is.
    """

    without0: str
    without1: str
    without2: str
    without3: str
    without4: str

    def estimate(self, sums: Sums) -> Array:
        values = super().estimate(sums)
        count = sums.column(self.n)[0]
        left = np.array([sums.column(name)[0] / count for role, name in self.columns.items() if role in ROLES])
        random = np.random.Generator(np.random.Philox(key=np.array([sums.seed, 2**64 - 1], dtype=np.uint64)))
        draws = random.standard_normal((len(values) - 1, len(left)))
        enlarged = stdtrit(len(left) - 1, 0.975) / ndtri(0.975)
        values[1:] += enlarged * np.sqrt(1 - 1 / len(left)) * (draws @ (left - left.mean()))
        return values


ROLES = tuple(role for role in CalibratedMean.__dataclass_fields__ if role.startswith("without"))
PARTS = len(ROLES)
"""Parts of the calibration clusters, each of which is left out once."""


@dataclass(frozen=True)
class CalibratedShare(CalibratedMean):
    """The same for a share of units."""

    share = True

    def limits(self, values: Array, sums: Sums, clusters: int) -> tuple[float, float]:
        return share_interval(values, clusters, self.counts(sums)[0])

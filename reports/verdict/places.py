"""What one block or state says of a claim: its effect against the nulls that judge it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

MARGIN = 0.02
"""An interval within ± this is no effect, in the unit of the row."""
CEILING = 0.95
"""A null at or above this leaves no room for an effect."""


class Number(NamedTuple):
    """A number, its 95 % interval, and its band over all places of its curve at once; NaN where there is none."""

    mean: float
    lo: float = math.nan
    hi: float = math.nan
    band_lo: float = math.nan
    band_hi: float = math.nan

    @property
    def half(self) -> float:
        """Half the width of the interval."""
        return (self.hi - self.lo) / 2

    def minus(self, other: Number) -> Number:
        """The difference of two numbers of unknown dependence: half-widths add up, so that it holds for any."""
        return Number(
            self.mean - other.mean, self.lo - other.hi, self.hi - other.lo,
            self.band_lo - other.band_hi, self.band_hi - other.band_lo,
        )  # fmt: skip


class Untrained(NamedTuple):
    """The highest of untrained copies: its mean over depth, and by how much the network is above it."""

    level: float
    over: Number


NOTHING = Number(math.nan)
"""What was not measured."""


class Says(Enum):
    """What one place says."""

    UNDEFINED = "no value"
    FEW = "no interval"
    NO_ROOM = "the null is at the ceiling"
    ABOVE = "beyond every null"
    SAME = "as much as a null"
    BELOW = "the reverse"
    FLAT = "no effect"
    LITTLE = "something, and less than needed"
    OPEN = "the interval is too wide"


@dataclass(frozen=True)
class Place:
    """One block or state.

    Attributes:
        at: block 1 … L, or state 0 … L.
        effect: against the first null, or the value itself where it is held against a threshold.
        need: threshold that the effect must exceed.
        level: of the null; NaN where it has no ceiling.
        others: further nulls that judge, by name -> the difference from them; each must be above zero.
        null: a null in the same number as ``effect``, where that is the value itself.
        reason: why there is no effect.
    """

    at: int
    effect: Number
    need: float = 0.0
    level: float = math.nan
    others: tuple[tuple[str, Number], ...] = ()
    null: Number = NOTHING
    reason: str = ""

    @property
    def null_ends(self) -> tuple[float, float]:
        """The interval of the null: ± the margin where the effect is a difference from it; NaN where it is not known."""
        if not math.isnan(self.null.mean):
            return (self.null.mean, self.null.mean) if math.isnan(self.null.lo) else (self.null.lo, self.null.hi)
        return (math.nan, math.nan) if self.need else (-MARGIN, MARGIN)

    @property
    def says(self) -> Says:
        """Decided by the band, "no effect" by the interval."""
        effect = self.effect
        if math.isnan(effect.mean):
            return Says.UNDEFINED
        if math.isnan(effect.lo):
            return Says.FEW
        if self.level >= CEILING:
            return Says.NO_ROOM
        if effect.lo >= -MARGIN and effect.hi <= MARGIN:
            return Says.FLAT
        if effect.band_lo > self.need:
            return Says.SAME if self.not_passed else Says.ABOVE
        if effect.band_hi < 0:
            return Says.BELOW
        return Says.LITTLE if effect.band_lo > 0 and effect.band_hi < self.need else Says.OPEN

    @property
    def not_passed(self) -> list[str]:
        """Names of the further nulls that the place is not beyond."""
        return [name for name, difference in self.others if not difference.band_lo > 0]


def numbers(rows: pd.DataFrame) -> list[Number]:
    """The number in each row of one curve; a row without a band of its own gets the interval, widened for all of them."""
    mean, lo, hi, band_lo, band_hi = (rows[name].to_numpy(float) for name in Number._fields)
    wider = widening(int(np.isfinite(lo).sum()), rows["n_clusters"].to_numpy(float))
    banded = np.isfinite(band_lo) & np.isfinite(band_hi)
    band_lo = np.where(banded, band_lo, mean - (mean - lo) * wider)
    band_hi = np.where(banded, band_hi, mean + (hi - mean) * wider)
    return [Number(*map(float, one)) for one in zip(mean, lo, hi, band_lo, band_hi, strict=True)]


def widening(count: int, clusters: NDArray[np.float64]) -> NDArray[np.float64]:
    """By how much Student intervals of ``count`` numbers are widened to hold all at once (Bonferroni)."""
    freedom = np.maximum(clusters - 1, 1)
    return np.asarray(stdtrit(freedom, 1 - 0.025 / max(count, 1)) / stdtrit(freedom, 0.975))


def mean_of(several: Sequence[Number]) -> Number:
    """The mean over places; its half-width is the mean of theirs, which is never too narrow, whatever their dependence."""
    if not several:
        return NOTHING
    return Number(*(float(np.mean([one[k] for one in several])) for k in range(5)))

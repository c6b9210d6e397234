"""Numbers with the half-width of their interval, and how they are written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class Estimate(NamedTuple):
    """A number and half the width of its 95 % interval, NaN where there is none."""

    mean: float
    half: float = math.nan

    @property
    def low(self) -> float:
        return self.mean - self.half

    @property
    def high(self) -> float:
        return self.mean + self.half

    def __sub__(self, other: Estimate) -> Estimate:
        """The difference of independent estimates: half-widths add as squares."""
        return Estimate(self.mean - other.mean, math.hypot(self.half, other.half))

    def text(self, sign: bool = False, most: int = 3) -> str:
        """With as many decimals as give the half-width two digits, or more than ``most`` for its first; else 3."""
        write = signed if sign else number
        if math.isnan(self.half):
            return write(self.mean, 3)
        wanted = places(self.half)
        decimals = min(wanted, max(most, wanted - 1)) if self.half > 0 else wanted
        return f"{write(self.mean, decimals)} ± {self.half:.{decimals}f}"


def average(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of independent estimates."""
    count = len(estimates)
    return Estimate(math.fsum(e.mean for e in estimates) / count, math.hypot(*(e.half for e in estimates)) / count)


def places(half: float) -> int:
    """Decimals that give a half-width two significant digits; 3 where the interval is a point."""
    return min(max(1 - math.floor(math.log10(half)), 0), 9) if half > 0 else 3


def signed(value: float, places: int = 3) -> str:
    """A number with its sign, zero as "+0"."""
    return f"{value:+z.{places}f}".replace("-", "−")


def number(value: float, places: int = 3) -> str:
    """A number; zero has no sign."""
    return f"{value:z.{places}f}".replace("-", "−")

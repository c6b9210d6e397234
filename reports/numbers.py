"""Numbers with the half-width of their interval, and how they are written."""

from __future__ import annotations

import math
from typing import NamedTuple


class Estimate(NamedTuple):
    """A number and half the width of its 95 % interval; NaN for a missing number or interval."""

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
        """As "0.512 ± 0.034"; without an interval three decimals.

        Args:
            sign: a plus sign for positive numbers.
            most: decimals, at most; more only where the half-width would otherwise have no digit at all.
        """
        write = signed if sign else number
        if math.isnan(self.half) or math.isnan(self.mean):
            return write(self.mean, 3)
        two_digits = places(self.half)
        decimals = min(two_digits, max(most, two_digits - 1)) if self.half > 0 else two_digits
        return f"{write(self.mean, decimals)} ± {self.half:.{decimals}f}"


def places(half: float) -> int:
    """Decimals that give a half-width two significant digits; 3 where the interval is a point."""
    return min(max(1 - math.floor(math.log10(half)), 0), 9) if half > 0 else 3


def signed(value: float, places: int = 3) -> str:
    """A number with its sign, zero as "+0"; NaN is "no value"."""
    return _written(value, f"+z.{places}f")


def number(value: float, places: int = 3) -> str:
    """A number; zero has no sign; NaN is "no value"."""
    return _written(value, f"z.{places}f")


def _written(value: float, form: str) -> str:
    return "no value" if math.isnan(value) else f"{value:{form}}".replace("-", "−").replace("inf", "∞")


def counted(count: int, noun: str) -> str:
    """As "1 block" or "3 blocks"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def sides(above: int, below: int, total: int, noun: str) -> str:
    """How many differences from a null have an interval above or below zero: "14 of 16 blocks above the null, 1 below"."""
    return f"{above} of {counted(total, noun)} above the null" + (f", {below} below" if below else "")

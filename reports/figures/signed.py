"""Rows of a sheet whose numbers have either sign, each on a scale of its own."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd

from ..numbers import number
from .sheet import RIGHT, Row
from .style import SOFT

THOUSAND = 1000.0
BESIDE = 66.0
"""Width of the scale beside a name."""
STEPS = (1.0, 2.0, 5.0, 10.0)
"""A scale ends at one of these, times a power of ten."""


def signed(row: Row, *several: pd.DataFrame) -> Row:
    """The row on a scale from −a to a around 0, where a is a round number of thousandths above all means."""
    sizes = np.concatenate([rows["mean"].abs().to_numpy(float) for rows in several])
    sizes = sizes[np.isfinite(sizes)] * THOUSAND
    high = round_above(float(sizes.max()) if len(sizes) else 1.0)
    made = replace(row, scale=(-high, high))
    made.levels("", "", zero=True)
    made.write(RIGHT, row.name_at, f"± {high:g}", SOFT, "right")  # three digits do not fit beside the axis
    return made


def round_above(value: float) -> float:
    """The next of ``STEPS`` times a power of ten."""
    if not value > 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return power * next(step for step in STEPS if value <= step * power * (1 + 1e-9))


def thousandths(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with their means and intervals in thousandths, for drawing; marks keep the table's numbers."""
    return rows.assign(**{name: rows[name] * THOUSAND for name in ("mean", "lo", "hi")})


def written(value: float) -> str:
    """A number in thousandths at the end of a line."""
    size = abs(value) * THOUSAND
    return number(value * THOUSAND, 0 if size >= 10 else 1)

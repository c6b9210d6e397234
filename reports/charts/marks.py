"""Marks of a figure: points with the numbers that they stand for, which the page shows on hover, tap and arrow keys."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

GROUP = "network-"
"""Beginning of the gid of what belongs to one network."""
DIGITS = 6
"""Significant digits of a number in the page."""


class Reading(NamedTuple):
    """A number as the table has it; NaN where there is none, and then ``reason``. ``of`` says of how many units."""

    name: str
    mean: float
    lo: float = math.nan
    hi: float = math.nan
    of: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Mark:
    """A point of a figure.

    Attributes:
        axes, x, y: where it is, in data coordinates.
        network: number of its network (``figures.identity``); ``name`` of it.
        line: along which left and right arrows move; marks of one line stand together, in order.
        label: which state or distance.
        readings: its numbers, the observed one first.
    """

    axes: Axes
    x: float
    y: float
    network: int
    name: str
    line: str
    label: str
    readings: Sequence[Reading]


class Marks:
    """The marks of a figure; called after it was saved, or where nothing moves, they are data for the page.

    A call returns "networks": number -> name; "lines": (network, name) of each; "marks": (line, x, y, label, readings), x and y
    in points from the upper left corner of the SVG, and each reading (name, mean, lo, hi, of how many units, reason), with None
    for a number that does not exist.
    """

    def __init__(self, figure: Figure) -> None:
        self.figure = figure
        self.every: list[Mark] = []

    def __call__(self) -> dict[str, Any]:
        height, scale = self.figure.get_figheight() * 72, 72 / self.figure.dpi
        lines: dict[tuple[int, str], int] = {}
        marks = []
        for one in self.every:
            x, y = one.axes.transData.transform((one.x, one.y)) * scale
            line = lines.setdefault((one.network, one.line), len(lines))
            readings = [[r.name, *map(_short, (r.mean, r.lo, r.hi)), r.of, r.reason] for r in one.readings]
            marks.append([line, round(float(x), 2), round(float(height - y), 2), one.label, readings])
        names = {str(one.network): one.name for one in self.every}
        return {"networks": names, "lines": [list(line) for line in lines], "marks": marks}


def mark(figure: Figure, made: Mark) -> None:
    """Adds a mark to ``figure.marks``."""
    marks_of(figure).every.append(made)


def marks_of(figure: Figure) -> Marks:
    """``figure.marks``, without any at first."""
    if not hasattr(figure, "marks"):
        figure.marks = Marks(figure)  # type: ignore[attr-defined]
    found: Marks = figure.marks  # type: ignore[attr-defined]
    return found


def belongs(network: int, *artists: Artist) -> None:
    """Says that artists show one network, so that the page can switch them off with it."""
    for number, artist in enumerate(artists):
        assert artist.axes is not None
        artist.set_gid(f"{GROUP}{network}.{len(artist.axes.get_children())}.{number}")  # an id is there once in a file


def reading(name: str, row: Mapping[Hashable, Any] | pd.Series | None, reason: str = "not measured") -> Reading:
    """The number in a row of a results table."""
    if row is None:
        return Reading(name, math.nan, reason=reason)
    of = f"{int(row['n_units']):,} {row['unit']}s" if row["n_units"] else ""
    return Reading(
        name, float(row["mean"]), float(row["lo"]), float(row["hi"]), of, str(row["reason"]).removeprefix("undefined: ")
    )


def _short(value: float) -> float | None:
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None

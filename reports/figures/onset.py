"""Where iterative inference begins: for each network which states are in one code, which are used, which steps improve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from itinf.errors import NothingToDrawError

from ..charts.marks import Reading, belongs, reading
from ..numbers import number
from ..onset_numbers import OnsetCurves, onset_curves
from ..verdict.places import numbers
from .identity import controls_first, identities
from .sheet import LEFT, RIGHT, Row, Sheet
from .style import EMPTY, INK, LINE, SOFT, shows

STRIPS = ("code", "used", "gains")
STRIP, SPACE = 6.6, 2.8
START = LEFT + 15
"""Where the strips begin, after their names."""
NEED = 0.5
BESIDE = 92.0
"""Width of the depth and its interval."""
HOLDS, NEITHER, FAILS, UNKNOWN = "holds", "neither", "fails", "no value"


def onset(
    table: pd.DataFrame, *, summaries: pd.DataFrame | None = None, roles: Mapping[str, str] | None = None
) -> Figure:
    """One row for each network: cells for its states from the first to the last, with the onset marked.

    Args:
        table: probes and transfers of any number of networks.
        summaries: of the same comparison; they hold the onset.
        roles: name of a control -> "yes" or "no"; controls stand on top.

    Returns:
        A Figure. A cell is filled where one lens retains at least half, where persistence is at least half, and where the
        step from the state gains more than other units' steps, by a band over all steps; it is half filled where the
        step neither gains nor harms. Untrained copies are in the page's table only.

    Raises:
        NothingToDrawError: no network has an iterative depth.
    """
    networks = {curves.model: Strips(curves) for curves in onset_curves(table, summaries) if curves.seed is None}
    if not networks:
        raise NothingToDrawError("No network has an iterative depth; it takes probes with persistence, and a transfer.")
    drawn = controls_first(identities(table), roles)
    sheet = Sheet(
        "Iterative depth",
        (
            ("", "a cell a state; black line: from the onset on"),
            ("", "full: yes · half: neither · empty: no · dot: no value"),
        ),
        {name: one for name, one in drawn.items() if name in networks},
        len(STRIPS) * (STRIP + SPACE),
        beside=BESIDE,
    )
    for name, row in sheet.rows.items():
        _row(row, networks[name])
    curves = [networks[name].curves for name in sheet.rows]
    return shows(sheet.figure, *(rows for one in curves for rows in (one.in_code, one.used, one.gains)))


@dataclass(frozen=True)
class Strips:
    """What is true of each state of one network."""

    curves: OnsetCurves

    @cached_property
    def states(self) -> list[int]:
        """The states on the path from the first to the last, without those inside branches."""
        every = self.curves.in_code["state_index"].astype(int).tolist()
        used = self.curves.used["state_index"].astype(int).tolist()
        if len(every) == self.curves.states:
            return every
        return [state for state in every if state in used] or used or list(range(self.curves.states))

    @cached_property
    def rows(self) -> dict[str, dict[int, pd.Series]]:
        """Strip -> position on the path -> row of the table."""
        position = {state: k for k, state in enumerate(self.states)}
        of: dict[str, list[tuple[int | None, pd.Series]]] = {
            "code": [(position.get(int(row["state_index"])), row) for _, row in self.curves.in_code.iterrows()],
            "used": [(position.get(int(row["state_index"])), row) for _, row in self.curves.used.iterrows()],
            "gains": [(int(row["block_index"]) - 1, row) for _, row in self.curves.gains.iterrows()],
        }
        return {strip: {k: row for k, row in rows if k is not None} for strip, rows in of.items()}

    @cached_property
    def says(self) -> dict[str, list[str]]:
        """Strip -> whether it holds at each state; the last state has no step."""
        found = {}
        for strip in ("code", "used"):
            known = {k: float(row["mean"]) for k, row in self.rows[strip].items()}
            values = [known.get(k, np.nan) for k in range(len(self.states))]
            found[strip] = [UNKNOWN if np.isnan(v) else HOLDS if v >= NEED else FAILS for v in values]
        bands = dict(zip(self.rows["gains"], numbers(self.curves.gains), strict=True))
        found["gains"] = [_step(bands.get(k)) for k in range(len(self.states) - 1)]
        return found


def _step(band: object) -> str:
    """What the step from a state does, by a band over all steps."""
    low, high = getattr(band, "band_lo", np.nan), getattr(band, "band_hi", np.nan)
    return UNKNOWN if np.isnan(low) else HOLDS if low > 0 else FAILS if high < 0 else NEITHER


def _row(row: Row, strips: Strips) -> None:
    axes, drawn, count = row.sheet.axes, row.drawn, len(strips.states)
    depth = strips.curves.number("iterative_depth")
    edge = RIGHT + 25
    belongs(drawn.number, row.sheet.text(edge, row.name_at, number(depth["mean"], 2), "right", weight="bold"))
    if depth["lo"] < depth["hi"]:
        between = f"({number(depth['lo'], 2)} … {number(depth['hi'], 2)})"
        belongs(drawn.number, row.sheet.text(edge - 27, row.name_at, between, "right", SOFT))
    width = (RIGHT + 25 - START) / max(count, 1)
    full, empty, dots = [], [], []
    for k, (strip, says) in enumerate(strips.says.items()):
        y = row.top + k * (STRIP + SPACE)
        row.sheet.text(2, y + STRIP / 2, strip, colour=SOFT)
        for at, one in enumerate(says):
            x = START + at * width
            if one == UNKNOWN:
                dots.append((x + width / 2, y + STRIP / 2))
                continue
            empty.append(_box(x, y, width, STRIP))
            if one != FAILS:
                share = 1.0 if one == HOLDS else 0.5
                full.append(_box(x, y + STRIP * (1 - share), width, STRIP * share))
    cells = PolyCollection(empty, facecolors=EMPTY, edgecolors=LINE, linewidths=0.4)
    filled = PolyCollection(full, facecolors=drawn.colour, edgecolors="none")
    axes.add_collection(cells, autolim=False)
    axes.add_collection(filled, autolim=False)
    (nothing,) = axes.plot(*zip(*dots, strict=True), "o", color=LINE, ms=1.2) if dots else axes.plot([], [])
    belongs(drawn.number, cells, filled, nothing)
    _onset(row, strips, width)
    for at, state in enumerate(strips.states):
        row.mark(
            (START + (at + 0.5) * width - LEFT) / (RIGHT - LEFT),
            0.5,
            "states",
            _label(strips, at, state),
            _readings(strips, at),
        )


def _onset(row: Row, strips: Strips, width: float) -> None:
    """A line at the onset, and one above all that comes after it."""
    if strips.curves.onset is None:
        return
    x, end = START + strips.curves.onset * width - 0.4, START + len(strips.states) * width
    (line,) = row.sheet.axes.plot(
        [x, x, end], [row.top + len(STRIPS) * (STRIP + SPACE) - SPACE / 2, *[row.top - 1.6] * 2], color=INK, lw=1.1
    )
    belongs(row.drawn.number, line)


def _box(x: float, y: float, width: float, height: float) -> list[tuple[float, float]]:
    gap = min(0.6, width / 6)
    return [(x + gap, y), (x + width - gap, y), (x + width - gap, y + height), (x + gap, y + height)]


def _label(strips: Strips, at: int, state: int) -> str:
    row = strips.rows["code"].get(at)
    named = f"state {state}" + ("" if row is None else f", {row['state']}")
    begins = strips.curves.onset
    return named + ("" if begins is None or at < begins else ", the onset" if at == begins else ", after the onset")


def _readings(strips: Strips, at: int) -> list[Reading]:
    names = {
        "code": "one lens retains",
        "used": "persistence" + (", of the last state’s" if strips.curves.lens else ""),
        "gains": "gain of the step, beyond pairing, bits",
    }
    return [reading(name, strips.rows[strip].get(at)) for strip, name in names.items() if at < len(strips.says[strip])]

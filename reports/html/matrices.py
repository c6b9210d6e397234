"""Transfer matrices of one network as tables: the number in every cell, missing ones hatched with their reason."""

from __future__ import annotations

import string
from collections.abc import Sequence
from itertools import cycle
from typing import NamedTuple

import pandas as pd
from matplotlib.colors import to_hex
from seaborn import color_palette

from ..figures.transfer import KINDS, matrices_of
from ..labels import UNTRAINED
from ..numbers import Estimate
from ..rows import about_states, fitted_at_one_state, is_own_lens

STEPS = 20
"""Colours from nothing to all that the own lens tells."""
WHITE_BELOW = 9
"""Step from which on ink is black."""
HATCHES = 3
"""How many kinds of hatches there are; letters tell further reasons apart."""
MOST = 60
"""States up to which a matrix is written as a table."""
SHOWN = (
    *("model", "state_index", "fitted_at", "form", "target", "null", "null_seed"),
    *("mean", "lo", "hi", "n_units", "unit", "reason"),
)
"""Columns that a matrix is made from."""
AS_IT_IS = "as it is"


class MatrixCell(NamedTuple):
    """A cell: its text, the class of its colour or hatch, and the whole of what it says; all "" where there is no pair."""

    text: str = ""
    colour: str = ""
    says: str = ""


class Matrix(NamedTuple):
    """One matrix.

    Attributes:
        code: "r" and its number, for the radio buttons.
        kind: as it is, channels matched, or untrained.
        about: what of, and how many units.
        rows: (state, its name, cells); the states that are read are the same, in the same order.
        reasons: (letter, class of the hatch, reason) of missing cells.
    """

    code: str
    kind: str
    about: str
    rows: Sequence[tuple[int, str, Sequence[MatrixCell]]]
    reasons: Sequence[tuple[str, str, str]]


def matrices(rows: pd.DataFrame, target: str = "label") -> list[Matrix]:
    """The matrices of retention of one network; empty where no lens was read at another state, or there are too many.

    Args:
        rows: results of one network; ``target``: of what is retained.
    """
    cells = fitted_at_one_state(rows.loc[rows["measure"] == "retention", list(SHOWN)])
    if cells.empty or is_own_lens(cells).all() or cells["state_index"].max() >= MOST:
        return []
    known = (
        about_states(rows[["state_index", "state"]]).drop_duplicates("state_index").set_index("state_index")["state"]
    )
    names = {int(state): str(name) for state, name in known.items()}
    made: list[Matrix] = []
    for kind, heading in KINDS.items():
        of = "model" if kind == UNTRAINED else target
        for _, found in matrices_of(cells, kind, of):
            made.append(_matrix(f"r{len(made)}", heading or AS_IT_IS, of, found, names))
    return made


def shades() -> list[tuple[str, str, str]]:
    """Class, colour and ink of every step from 0 to 1; ink stands out against each by 4.5 : 1."""
    colours = color_palette("viridis", as_cmap=True)
    return [
        (f"v{step}", to_hex(colours(step / STEPS)), "#fff" if step < WHITE_BELOW else "#000")
        for step in range(STEPS + 1)
    ]


def _matrix(code: str, kind: str, target: str, cells: pd.DataFrame, names: dict[int, str]) -> Matrix:
    missing = cells.loc[cells["mean"].isna(), "reason"].replace("", "no reason recorded")
    letters = dict(zip(dict.fromkeys(missing), cycle(string.ascii_lowercase), strict=False))
    at = {(int(row.fitted_at), int(row.state_index)): _cell(row, letters) for row in cells.itertuples()}
    of = {"label": "the label", "model": "the network's own final answer"}.get(target, target)
    units = f"{int(cells['n_units'].max()):,} {cells['unit'].iloc[0]}s"
    rows = [
        (state, name, [at.get((state, other), MatrixCell()) for other in sorted(names)])
        for state, name in sorted(names.items())
    ]
    return Matrix(
        code,
        kind,
        f"retention of {of}, {kind}; {units}",
        rows,
        [(letter, f"x{k % HATCHES}", why) for k, (why, letter) in enumerate(letters.items())],
    )


def _cell(row: object, letters: dict[str, str]) -> MatrixCell:
    """``row`` is one of a named tuple of the table."""
    fitted, state, mean, lo, hi, why = (
        getattr(row, name) for name in ("fitted_at", "state_index", "mean", "lo", "hi", "reason")
    )
    where = f"lens of state {int(fitted)} at state {int(state)}"
    if pd.isna(mean):
        reason = why or "no reason recorded"
        place = list(letters).index(reason)
        return MatrixCell(letters[reason], f"x{place % HATCHES}", f"{where}: {reason}")
    text = f"{mean:z.2f}".replace("0.", ".", 1).replace("-", "−") if abs(mean) < 9.95 else f"{mean:.0f}"
    step = round(STEPS * min(max(mean, 0.0), 1.0))
    return MatrixCell(text, f"v{step}", f"{where}: {Estimate(mean, (hi - lo) / 2).text()}")

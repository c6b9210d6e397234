"""What the figure and the page of a prediction trajectory share: choices of rows, and how they write texts."""

from __future__ import annotations

import re

import pandas as pd

from itinf.errors import ItinfError, shown

READERS = {"own": "own lens", "shared": "one lens", "logit": "logit lens"}
"""Readers of states, in the order in which they are offered, and what a reader of the page calls them."""
VISIBLE = {"\n": "↵", "\t": "⇥", "\r": "␍", " ": "·"}
"""How characters that cannot be seen are written."""


def require_trajectory(table: pd.DataFrame) -> None:
    """Refuses another table than that of a trajectory.

    Raises:
        ItinfError: the table is of another kind.
    """
    if not {"position", "reader", "rank", "probability"} <= set(table.columns):
        raise ItinfError("The figure trajectory shows itinf.trajectory(…).table; this is another table.")


def chosen_reader(rows: pd.DataFrame, reader: str | None) -> str:
    """The reader asked for, by default the first there is.

    Raises:
        ItinfError: there is no such reader.
    """
    known = [name for name in READERS if name in set(rows["reader"])]
    if reader is not None and reader not in known:
        raise ItinfError(f"Nothing was read by {shown(reader)}; expected {' or '.join(known)}.")
    return known[0] if reader is None else reader


def visible(text: str, number: int | None = None) -> str:
    """A text with signs for line ends, spaces that are not between two words, and characters without a sign.

    Args:
        text: the text; ``number``: of a class, which is shown where it has no text.
    """
    if not text:
        return "" if number is None else f"#{number}"
    between = {found.start() for found in re.finditer(r"(?<=\S) (?=\S)", text)}
    signs = (c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
    return "".join(
        c if n in between else VISIBLE.get(c, sign) for n, (c, sign) in enumerate(zip(text, signs, strict=True))
    )

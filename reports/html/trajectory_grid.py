"""The grids of prediction trajectories on a page: text and picture in the same form, with values for hover and keyboard."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from ..trajectories import READERS, require_trajectory
from .template import render, text_of
from .trajectory_items import Values, item_of


def trajectory_grid(
    table: pd.DataFrame,
    names: Sequence[str],
    pictures: Sequence[bytes | None],
    *,
    captions: Sequence[str] | None = None,
    of: str = "",
    most: int | None = None,
) -> Markup:
    """The fragment of a page that shows trajectories; it needs ``trajectory_style`` and ``trajectory_script`` once a page.

    Args:
        table: that of ``itinf.trajectory``.
        names: of the items; ``captions``: what to write above each instead, as HTML.
        pictures: PNG of each item; None for a text.
        of: name of the network, where a page has several fragments.
        most: the most cells; of deeper networks every second state is shown, or every third …; by default all are.

    Returns:
        HTML; every text in it is escaped. It can be read, and readers be switched, without script.
    """
    require_trajectory(table)
    step = _step(table, pictures, most)
    last = table["state"].max()
    table = table[(last - table["state"]) % step == 0]
    values = Values(int(table["rank"].max()))
    items = [
        item_of(rows, names[number], (captions or names)[number], pictures[number], values)
        for number, rows in table.groupby("item", sort=True)
    ]
    data = _json({"top": values.top, "texts": values.texts, "cells": values.cells, "truths": values.truths})
    readers = [(name, label) for name, label in READERS.items() if name in set(table["reader"])]
    identity = hashlib.blake2b(f"{of} {data}".encode(), digest_size=6).hexdigest()
    return render(
        "trajectory_grid.html",
        items=items,
        readers=readers,
        identity=identity,
        data=Markup(data),
        of=of,
        titles=most is None,
        step=step,
        chosen="rule" in table,
    )


def _step(table: pd.DataFrame, pictures: Sequence[bytes | None], most: int | None) -> int:
    """1 if every state is shown, 2 if every second …, so that there are not more cells than asked for."""
    cells = table if any(picture is not None for picture in pictures) else table[table["rank"] == 1]
    if most is None or len(cells) <= most:
        return 1
    states = int(table["state"].max())  # without the last one
    return -(-states // max(1, most * table["state"].nunique() // len(cells) - 1))


def trajectory_style() -> Markup:
    """The style sheet of the fragment."""
    return Markup(text_of("trajectory.css"))


def trajectory_script() -> Markup:
    """The script of the fragment: values on hover, tap and arrow keys."""
    return Markup(text_of("trajectory.js"))


def _json(value: Any) -> str:
    """JSON that can stand in a script element."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")

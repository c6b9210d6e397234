"""The grids of prediction trajectories on a page: text and picture in the same form, with values for hover and keyboard."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd
from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from ..trajectories import READERS, require_trajectory, visible


class Cell(NamedTuple):
    """One cell: its text, probability in per cent, whether it is the truth, a sentence, and the number of its values."""

    text: str
    percent: float
    hit: bool
    title: str
    number: int


class Row(NamedTuple):
    """One state: h₀ and so on, the block it follows, and its cells; None where nothing reads the state."""

    label: str
    name: str
    cells: list[Cell | None]


class Grid(NamedTuple):
    """What one reader reads of one item."""

    reader: str
    label: str
    rows: list[Row]


class Item(NamedTuple):
    """An item: its name, its picture as a data address or "", headings, truths below them, and one grid for each reader."""

    name: str
    picture: str
    headings: list[str]
    truths: list[str]
    grids: list[Grid]


def trajectory_grid(table: pd.DataFrame, names: Sequence[str], pictures: Sequence[bytes | None]) -> Markup:
    """The fragment of a page that shows trajectories; it needs ``trajectory_style`` and ``trajectory_script`` once a page.

    Args:
        table: that of ``itinf.trajectory``.
        names: of the items.
        pictures: PNG of each item; None for a text.

    Returns:
        HTML; every text in it is escaped. It can be read, and readers be switched, without script.
    """
    require_trajectory(table)
    values = _Values()
    items = [_item(rows, names[number], pictures[number], values) for number, rows in table.groupby("item", sort=True)]
    data = _json({"texts": values.texts, "cells": values.cells})
    readers = [(name, label) for name, label in READERS.items() if name in set(table["reader"])]
    identity = hashlib.blake2b(data.encode(), digest_size=6).hexdigest()
    template = environment().get_template("trajectory_grid.html")
    return Markup(template.render(items=items, readers=readers, identity=identity, data=Markup(data)))


def trajectory_style() -> Markup:
    """The style sheet of the fragment."""
    return Markup(_source("trajectory.css"))


def trajectory_script() -> Markup:
    """The script of the fragment: values on hover, tap and arrow keys."""
    return Markup(_source("trajectory.js"))


def environment() -> Environment:
    """Templates of the page, which escape every text."""
    return Environment(loader=PackageLoader("reports"), autoescape=True, trim_blocks=True, lstrip_blocks=True)


def _source(name: str) -> str:
    loader = PackageLoader("reports")
    return loader.get_source(Environment(), name)[0]


def _json(value: Any) -> str:
    """JSON that can stand in a script element."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


class _Values:
    """The values of all cells: distinct texts, and for each cell classes, probabilities, and what is known of the truth."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.cells: list[list[Any]] = []
        self._places: dict[str, int] = {}

    def place(self, text: str) -> int:
        if text not in self._places:
            self._places[text] = len(self.texts)
            self.texts.append(text)
        return self._places[text]

    def add(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """Adds the ranks of one reading; returns the number of the cell."""
        first = rows[0]
        known = not pd.isna(first["truth"])
        truth = (
            [self.place(visible(first["truth_text"], int(first["truth"]))), int(first["truth_rank"]), _short(first["truth_probability"])]
            if known
            else []
        )  # fmt: skip
        words = [self.place(visible(row["text"], row["class"])) for row in rows]
        numbers = [_short(row["probability"]) for row in rows]
        self.cells.append([words, numbers, _short(first["entropy"]), _short(first["divergence"]), *truth])
        return len(self.cells) - 1


def _short(value: float) -> float | None:
    """Four digits; None where there is no number."""
    return None if pd.isna(value) or abs(value) == float("inf") else float(f"{value:.4g}")


def _item(rows: pd.DataFrame, name: str, picture: bytes | None, values: _Values) -> Item:
    text = picture is None
    first = rows.drop_duplicates("position").sort_values("position").to_dict("records")
    states = rows.drop_duplicates("state").sort_values("state").to_dict("records")
    shown = "" if picture is None else "data:image/png;base64," + base64.b64encode(picture).decode()
    truths = ["" if pd.isna(r["truth"]) else visible(r["truth_text"], r["truth"]) for r in first]
    headings = [visible(r["input_text"], None if pd.isna(r["input"]) else r["input"]) for r in first]
    if not text:
        headings = [f"rank {rank}" for rank in sorted(rows["rank"].unique())]
    grids = []
    for reader, label in READERS.items():
        read = rows[rows["reader"] == reader]
        if not len(read):
            continue
        cells: dict[tuple[int, int], list[dict[Any, Any]]] = {}
        for row in read.to_dict("records"):
            cells.setdefault((row["state"], row["position"]), []).append(row)
        grids.append(Grid(reader, label, [_row(s, cells, first, values, text, len(headings)) for s in states]))
    return Item(name, shown, headings, truths, grids)


def _row(
    state: Mapping[Any, Any], cells: Mapping[tuple[int, int], Any], units: Iterable[Any], values: _Values, text: bool, width: int
) -> Row:  # fmt: skip
    """A state's cells: the likeliest class of every position, or the likeliest classes of a picture."""
    found: list[Cell | None] = []
    for unit in units:
        ranks = cells.get((state["state"], unit["position"]))
        if ranks is None:
            found += [None] * (1 if text else width)
            continue
        number = values.add(ranks)
        found += [_cell(rank, number) for rank in (ranks[:1] if text else ranks)]
    return Row(f"h{state['state']}", state["state_name"], found)


def _cell(row: Mapping[Any, Any], number: int) -> Cell:
    known = not pd.isna(row["truth"])
    said = f"{visible(row['text'], row['class'])} {row['probability']:.1%}"
    if known:
        said += f"; truth: rank {row['truth_rank']}, {row['truth_probability']:.1%}"
    hit = known and row["class"] == row["truth"]
    return Cell(visible(row["text"], row["class"]), round(100 * row["probability"], 1), bool(hit), said, number)

"""The items of a trajectory on a page: cells with their words, and the values that hover shows."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd
from PIL import Image

from ..trajectories import READERS, visible

PARTS, BITS = 10_000, 100
"""Probabilities are whole numbers of hundredths of a per cent in a page, and bits of hundredths: the digits that are shown."""
PIXELS = 64
"""A picture of at most so many pixels a side is shown with its pixels."""


class Cell(NamedTuple):
    """One cell: its text, probability in per cent, whether it is the truth, and a sentence."""

    text: str
    percent: int
    hit: bool
    title: str


class Row(NamedTuple):
    """One state: h₀ and so on, the block it follows, and its cells; none where the reader does not fit the state."""

    label: str
    name: str
    cells: list[Cell]


class Grid(NamedTuple):
    """What one reader reads of one item."""

    reader: str
    label: str
    rows: list[Row]


class Item(NamedTuple):
    """An item: its name, a caption, its picture as a data address or "", headings, truths below them, and a grid for each
    reader."""

    name: str
    caption: str
    picture: str
    small: bool
    headings: list[str]
    truths: list[str]
    grids: list[Grid]


class Values:
    """The values of all cells that can be pointed at, in the order of the page, and what they name.

    Attributes:
        top: how many of the likeliest classes a cell has.
        texts: distinct texts, which the others name by their place.
        cells: for each cell its classes, their probabilities in ten-thousandths, entropy and divergence in hundredths of a bit,
            and, where the truth is known, its rank and probability.
        truths: for each item the truth at each position; None where it is not known.
    """

    def __init__(self, top: int) -> None:
        self.top = top
        self.texts: list[str] = []
        self.cells: list[list[int | None]] = []
        self.truths: list[list[int | None]] = []
        self._places: dict[str, int] = {}

    def place(self, text: str) -> int:
        if text not in self._places:
            self._places[text] = len(self.texts)
            self.texts.append(text)
        return self._places[text]

    def add(self, ranks: Sequence[Mapping[str, Any]]) -> None:
        """Adds the ranks of one reading."""
        first = ranks[0]
        cell: list[int | None] = [self.place(visible(row["text"], row["class"])) for row in ranks]
        cell += [_whole(row["probability"], PARTS) for row in ranks]
        cell += [_whole(first["entropy"], BITS), _whole(first["divergence"], BITS)]
        if not pd.isna(first["truth"]):
            cell += [int(first["truth_rank"]), _whole(first["truth_probability"], PARTS)]
        self.cells.append(cell)


def _whole(value: float, times: int) -> int | None:
    """A number in whole parts; None where there is none."""
    return None if pd.isna(value) or abs(value) == float("inf") else round(value * times)


def item_of(rows: pd.DataFrame, name: str, caption: str, picture: bytes | None, values: Values) -> Item:
    """An item of a trajectory.

    Args:
        rows: of the item; ``picture``: None for a text.
        name, caption: of the item.
        values: gets the values of its cells.
    """
    text = picture is None
    first = rows.drop_duplicates("position").sort_values("position").to_dict("records")
    states = rows.drop_duplicates("state").sort_values("state").to_dict("records")
    shown, small = ("", False) if picture is None else _address(picture)
    truths = ["" if pd.isna(r["truth"]) else visible(r["truth_text"], r["truth"]) for r in first]
    values.truths.append([values.place(truth) if truth else None for truth in truths])
    headings = [visible(r["input_text"], None if pd.isna(r["input"]) else r["input"]) for r in first]
    if not text:
        headings = [f"rank {rank}" for rank in sorted(rows["rank"].unique())]
    grids = []
    for reader, label in READERS.items():
        read = rows[rows["reader"] == reader]
        cells: dict[tuple[int, int], list[dict[Any, Any]]] = {}
        for row in read.to_dict("records"):
            cells.setdefault((row["state"], row["position"]), []).append(row)
        if cells:
            grids.append(Grid(reader, label, [_row(state, cells, first, values, text) for state in states]))
    return Item(name, caption, shown, small, headings, truths, grids)


def _address(png: bytes) -> tuple[str, bool]:
    """A picture as a data address, and whether it has so few pixels that each is to be seen."""
    with Image.open(io.BytesIO(png)) as image:
        if small := max(image.size) <= PIXELS:
            kind = "png"
        else:
            content = io.BytesIO()
            image.convert("RGB").save(content, format="webp", quality=85)
            kind, png = "webp", content.getvalue()
    return f"data:image/{kind};base64," + base64.b64encode(png).decode(), small


def _row(
    state: Mapping[Any, Any],
    cells: Mapping[tuple[int, int], Sequence[Mapping[Any, Any]]],
    units: Iterable[Any],
    values: Values,
    text: bool,
) -> Row:
    """A state's cells: the likeliest class of every position, or the likeliest classes of a picture."""
    found: list[Cell] = []
    for unit in units:
        ranks = cells.get((state["state"], unit["position"]), [])
        if ranks:
            values.add(ranks)
        found += [_cell(rank) for rank in (ranks[:1] if text else ranks)]
    return Row(f"h{state['state']}", state["state_name"], found)


def _cell(row: Mapping[Any, Any]) -> Cell:
    known = not pd.isna(row["truth"])
    said = f"{visible(row['text'], row['class'])} {row['probability']:.1%}"
    if known:
        said += f"; truth: rank {row['truth_rank']}, {row['truth_probability']:.1%}"
    hit = known and row["class"] == row["truth"]
    return Cell(visible(row["text"], row["class"]), round(100 * row["probability"]), bool(hit), said)

"""How many answers stay when a block is gone, or changes places with the next one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from itinf.errors import NothingToDrawError

from ..charts.marks import Reading, reading
from ..labels import UNTRAINED
from ..numbers import number
from .identity import controls_first, identities
from .sheet import Row, Sheet
from .style import shows

LESION, SWAP, AGAIN, BEST = "lesion", "swap", "repeat 1 × 1", "repeat best"
HEIGHT = 26.0
HOVER = (
    ("without the block, answers that stay", LESION, "agreement"),
    ("its cost, bits", LESION, "cost"),
    ("its cost to first order", LESION, "predicted_cost"),
    ("its direct cost", LESION, "direct_cost"),
    ("in the other order with the next, answers that stay", SWAP, "agreement"),
    ("its cost, bits", SWAP, "cost"),
    ("twice, answers that stay", AGAIN, "agreement"),
)
"""(words, form, measure) of the numbers beside a block."""


class Chosen(NamedTuple):
    """Rows of one intervention and measure, means over units; of all of them unless said otherwise."""

    form: str
    measure: str = "agreement"
    null: str = "observed"
    subset: str = "all"

    def of(self, table: pd.DataFrame) -> pd.DataFrame:
        """These rows of a table, in order of depth."""
        wanted = {"form": self.form, "measure": self.measure, "null": self.null, "subset": self.subset}
        kept = np.logical_and.reduce([table[column] == value for column, value in wanted.items()])
        return table[kept & (table["statistic"] == "mean")].sort_values(["model", "block_index"])


def lesions(table: pd.DataFrame, *, roles: Mapping[str, str] | None = None) -> Figure:
    """Share of top-1 answers that stay without a block, one row for each network, and with two blocks in the other order.

    Args:
        table: results of the probes lesion and swap, of any number of networks.
        roles: name of a control -> "yes" or "no"; controls stand on top.

    Returns:
        A Figure on one scale from 0 to 1; the band is that of untrained copies without the block.

    Raises:
        NothingToDrawError: no block of any network was left out.
    """
    gone, swapped, untrained = (
        Chosen(LESION).of(table),
        Chosen(SWAP).of(table),
        Chosen(LESION, null=UNTRAINED).of(table),
    )
    if not gone["mean"].notna().any():
        raise NothingToDrawError('No block was left out: measure = ["lesion", "swap"] in the study file does so.')
    drawn = controls_first(identities(table), roles)
    networks = {name: one for name, one in drawn.items() if name in set(gone["model"])}
    key = [("line", "blocks swapped")] + ([("band", "untrained")] if len(untrained) else [])
    sheet = Sheet("Answers that stay without a block", key, networks, HEIGHT, (0.0, 1.0), "relative depth")
    for name, row in sheet.rows.items():
        row.levels("0", "1", half=True)
        mine = table[table["model"] == name]
        known = untrained[(untrained["model"] == name)].dropna(subset="mean")
        for _, segment in known.groupby("segment"):
            by_depth = segment.groupby("depth")["mean"].agg(["min", "max"])
            row.band(*(values.to_numpy(float) for values in (by_depth.index, by_depth["min"], by_depth["max"])))
        _swapped(row, swapped[swapped["model"] == name])
        _gone(row, gone[gone["model"] == name], mine)
    return shows(sheet.figure, gone, swapped, untrained)


def _swapped(row: Row, rows: pd.DataFrame) -> None:
    """A dashed line for each run of neighbours; it breaks where two blocks cannot change places."""
    runs = rows["mean"].isna().cumsum()
    for _, run in rows.dropna(subset="mean").groupby(runs):
        row.dashes(run["depth"].to_numpy(float), run["mean"].to_numpy(float))


def _gone(row: Row, rows: pd.DataFrame, table: pd.DataFrame) -> None:
    known = rows.dropna(subset="mean")
    if known.empty:
        row.note(str(rows["reason"].iloc[0]))
        return
    row.line(*(known[column].to_numpy(float) for column in ("depth", "mean", "lo", "hi")))
    last = float(known["mean"].iloc[-1])
    row.end(last, number(last, 2).removeprefix("0"))
    if len(lacking := rows[rows["mean"].isna()]):
        row.missing(lacking["depth"].to_numpy(float))
    beside = {
        (form, measure): Chosen(form, measure).of(table).set_index("block_index").to_dict("index")
        for _, form, measure in HOVER
    }
    for one in rows.to_dict("records"):
        number_, readings = int(one["block_index"]), list[Reading]()
        for words, form, measure in HOVER:
            if (there := beside[form, measure].get(number_)) is not None:
                readings.append(reading(words, there))
        row.mark(float(one["depth"]), float(one["mean"]), "blocks", f"block {number_}, {one['block']}", readings)

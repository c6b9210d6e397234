"""Numbers about blocks that no gradient is needed for: the size of updates, and what they gain in the readout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from ..labels import UNTRAINED
from ..rows import about_blocks, kinds
from ..selector import Selector
from .blocks_table import Cell, written
from .choices import NOTHING


class Column(NamedTuple):
    """A heading, the rows that it shows, and whether its numbers have a sign."""

    heading: str
    rows: dict[str, str]
    signed: bool = True


READ = (
    Column("efficiency", {"measure": "efficiency", "statistic": "ratio", "null": "observed"}),
    Column("… beyond pairing", {"measure": "efficiency_effect", "statistic": "ratio", "null": "pairing"}),
    Column("… beyond own steps in random order", {"measure": "efficiency_effect", "null": "order-shuffled"}),
    Column("gain of the readout, bits", {"measure": "prediction_gain", "statistic": "mean", "null": "observed"}),
    Column("… beyond pairing", {"measure": "prediction_gain_effect", "statistic": "mean", "null": "pairing"}),
    Column("movement, bits", {"measure": "prediction_movement", "statistic": "mean", "null": "observed"}, signed=False),
)


def sizes(rows: pd.DataFrame, target: str = "label") -> tuple[list[str], list[tuple[str, list[Cell]]]]:
    """Headings, and one row of cells for every block of one network; columns that were not measured are left out.

    Args:
        rows: results of one network; ``target``: what the loss is taken against.
    """
    rows = about_blocks(rows)
    rows = rows[(rows["lens"] == "") & rows["form"].eq("") & rows["subset"].isin(["all", ""])]
    rows = rows[rows["target"].isin([target, ""])]
    rows = rows.assign(kind=rows["part"].where(rows["part"] != "", rows["update"]))
    names = rows.drop_duplicates("block_index").sort_values("block_index")
    selector = Selector(rows)
    columns = [(column, of) for column in (*_lengths(rows), *READ) if (of := _chosen(selector, column))]
    return [column.heading for column, _ in columns], [
        (
            f"{block} {name}",
            [
                written(*of.get(block, NOTHING), column.signed, column.rows["measure"].endswith("_effect"))
                for column, of in columns
            ],
        )
        for block, name in zip(names["block_index"].astype(int), names["block"], strict=True)
    ]


def _lengths(rows: pd.DataFrame) -> Sequence[Column]:
    """The l2 ratio of every kind of update, and of the untrained update."""
    columns = {"measure": "update_norm", "statistic": "mean"}
    known = rows[rows["measure"] == "update_norm"]
    lengths = [
        Column(f"l2 ratio, {kind}", columns | {"kind": kind, "null": "observed"}, signed=False) for kind in kinds(known)
    ]
    untrained = Column("l2 ratio, update, untrained", columns | {"kind": "update", "null": UNTRAINED}, signed=False)
    return [*lengths, untrained]


def _chosen(selector: Selector, column: Column) -> dict[int, tuple[float, float, float]]:
    """Block -> mean, lower and upper end; of several untrained copies the first."""
    rows = selector.where(**column.rows).drop_duplicates("block_index")
    ends = zip(*(rows[name] for name in ("mean", "lo", "hi")), strict=True)
    return dict(zip(rows["block_index"].astype(int), ends, strict=True))

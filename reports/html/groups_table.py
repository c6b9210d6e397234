"""The page's table of groups: one row per number, one column for each group and for each difference of two."""

from __future__ import annotations

import math
from typing import NamedTuple

import pandas as pd

from ..lens_numbers import estimate
from ..numbers import counted


class GroupCell(NamedTuple):
    """A mean or a difference, its p, and the side of zero on which the interval of a difference lies."""

    text: str
    p: str = ""
    side: str = ""


class GroupTable(NamedTuple):
    """Headings and rows; ``least`` says for each difference how small p can be."""

    headings: list[str]
    rows: list[tuple[str, list[GroupCell]]]
    least: list[str]


def group_table(groups: pd.DataFrame) -> GroupTable:
    """The numbers that answer first whether groups differ.

    Args:
        groups: the table of groups; its column ``headline`` names these numbers.
    """
    columns = groups.drop_duplicates(["group", "minus"])
    headings = [_heading(row) for _, row in columns.iterrows()]
    shown = groups[(groups["headline"] != "") & groups["mean"].notna()]
    rows = []
    for headline in shown["headline"].drop_duplicates():
        of = shown[shown["headline"] == headline].set_index(["group", "minus"], drop=False)
        keys = zip(columns["group"], columns["minus"], strict=True)
        rows.append(
            (str(headline), [_cell(of.loc[[key]].iloc[0]) if key in of.index else GroupCell("–") for key in keys])
        )
    tested = groups.dropna(subset="least_p").drop_duplicates(["group", "minus"])
    least = [f"{row['least_p']:.2g} for {row['group']} − {row['minus']}" for _, row in tested.iterrows()]
    return GroupTable(headings, rows, least)


def _heading(row: pd.Series) -> str:
    return (
        f"{row['group']} − {row['minus']}" if row["minus"] else f"{row['group']}, {counted(row['networks'], 'network')}"
    )


def _cell(row: pd.Series) -> GroupCell:
    difference = bool(row["minus"])
    side = "" if not difference else "up" if row["lo"] > 0 else "down" if row["hi"] < 0 else ""
    p = "" if math.isnan(row["p"]) else f"p = {row['p']:.2g}"
    return GroupCell(estimate(row).text(sign=difference or str(row["measure"]).endswith("_effect")), p, side)

"""The page's table of power: which measures tell the controls apart, for each modality."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from ..lens_numbers import estimate
from ..numbers import number


class PowerTable(NamedTuple):
    """One modality: names of networks with their roles, and rows (measure, verdict, cells)."""

    modality: str
    headings: list[str]
    rows: list[tuple[str, str, list[str]]]


def power_tables(power: pd.DataFrame | None) -> list[PowerTable]:
    """One table for each modality with controls that should pass and others that should fail."""
    if power is None:
        return []
    return [
        _table(str(modality), rows) for modality, rows in power.groupby("modality", sort=False) if rows["verdict"].any()
    ]


def _table(modality: str, rows: pd.DataFrame) -> PowerTable:
    networks = rows.drop_duplicates("model")
    named = zip(networks["model"], networks["role"], strict=True)
    headings = [f"{name} ({role})" if role else str(name) for name, role in named]
    made = [
        (str(measure), of["verdict"].iloc[0] or "not tested", [_cell(row) for _, row in of.iterrows()])
        for measure, of in rows.groupby("measure", sort=False)
        if of["mean"].notna().any()  # others were not measured
    ]
    return PowerTable(modality, headings, made)


def _cell(row: pd.Series) -> str:
    """An estimate; with both ends of an interval that does not lie evenly about it."""
    if pd.isna(row["mean"]):
        return "–"
    if abs(row["hi"] + row["lo"] - 2 * row["mean"]) > 0.01:
        return f"{number(row['mean'], 2)} ({number(row['lo'], 2)} … {number(row['hi'], 2)})"
    return estimate(row).text(most=2)

"""The page's table of power: which measures tell the controls apart, for each modality."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from ..lens_numbers import estimate

ORDER = ("tells", "cannot tell", "points the other way", "")


class PowerTable(NamedTuple):
    """One modality: names of networks with their roles, and rows (measure, verdict, cells)."""

    modality: str
    headings: list[str]
    rows: list[tuple[str, str, list[str]]]


def power_tables(power: pd.DataFrame | None) -> list[PowerTable]:
    """One table for each modality that has controls."""
    if power is None:
        return []
    return [
        _table(str(modality), rows) for modality, rows in power.groupby("modality", sort=False) if rows["role"].any()
    ]


def _table(modality: str, rows: pd.DataFrame) -> PowerTable:
    networks = rows.drop_duplicates("model").sort_values(
        "role", key=lambda r: r.map({"yes": 0, "": 1, "no": 2}), kind="stable"
    )
    headings = [
        f"{name}{role and f' ({role})'}" for name, role in zip(networks["model"], networks["role"], strict=True)
    ]
    made = []
    for verdict in ORDER:
        for measure, of in rows[rows["verdict"] == verdict].groupby("measure", sort=False):
            by_name = of.set_index("model")
            cells = [
                "–" if pd.isna(by_name.loc[n, "mean"]) else estimate(by_name.loc[n]).text(most=2)
                for n in networks["model"]
            ]
            made.append((str(measure), verdict or "not tested", cells))
    return PowerTable(modality, headings, made)

"""The page's table of onset and iterative depth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from ..lens_numbers import estimate
from ..numbers import number
from ..onset_numbers import OTHERS, THRESHOLD, OnsetCurves, onset_curves


class OnsetRow(NamedTuple):
    """One network in words."""

    network: str
    depth: str
    others: Sequence[str]
    onset: str
    before: str
    bits: str
    read_by: str


def onset_rows(
    table: pd.DataFrame, summaries: pd.DataFrame | None, roles: dict[str, str] | None = None
) -> list[OnsetRow]:
    """One row per network and untrained copy; controls first.

    Args:
        table, summaries: of a comparison.
        roles: name of a control -> "yes" or "no".
    """
    order = {"yes": 0, "no": 1}
    every = sorted(onset_curves(table, summaries), key=lambda c: order.get((roles or {}).get(c.model, ""), 2))
    return [_row(curves, (roles or {}).get(curves.model, "")) for curves in every]


def depth_text(curves: OnsetCurves, form: str = THRESHOLD) -> str:
    """The iterative depth with its interval."""
    row = curves.number("iterative_depth", form)
    if pd.isna(row["lo"]):
        return number(row["mean"], 2)
    return f"{number(row['mean'], 2)} ({number(row['lo'], 2)} … {number(row['hi'], 2)})"


def _row(curves: OnsetCurves, role: str) -> OnsetRow:
    name = curves.model if curves.seed is None else f"{curves.model}, untrained"
    if role and curves.seed is None:
        name += f" (control: {role})"
    at, after = (curves.number(measure) for measure in ("bits_at_onset", "bits_after_onset"))
    bits = (
        "–" if pd.isna(at["mean"]) else f"{estimate(at).text(most=2)}, then {estimate(after).text(sign=True, most=2)}"
    )
    onset = "none" if curves.onset is None else f"{curves.onset} of {curves.states - 1}"
    return OnsetRow(
        name,
        depth_text(curves),
        [depth_text(curves, form) for form in OTHERS],
        onset,
        curves.limit or "–",
        bits,
        "one lens per segment" if curves.lens else "own readout",
    )

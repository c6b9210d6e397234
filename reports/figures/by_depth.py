"""Numbers of states by relative depth, one row for each network, with nulls behind them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..charts.marks import Reading, reading
from ..numbers import number
from .identity import controls_first, identities
from .sheet import Row, Sheet

HEIGHT = 26.0
Record = Mapping[Hashable, Any]
"""One row of a table."""


class Curves(NamedTuple):
    """What is shown: rows about states, and nulls as (how: "band" or "line", name, rows)."""

    title: str
    name: str
    observed: pd.DataFrame
    nulls: Sequence[tuple[str, str, pd.DataFrame]]


def curves_by_depth(what: Curves, table: pd.DataFrame, roles: Mapping[str, str] | None) -> Figure:
    """The figure; the scale begins at 0 and ends at 1, or at the next whole number above all values.

    Args:
        what: rows of all networks.
        table: the whole results table, which gives each network its colour, marker and dash.
        roles: name of a control -> "yes" or "no"; controls stand on top.
    """
    drawn, known = controls_first(identities(table), roles), what.observed.dropna(subset="mean")
    high = max(1, int(np.ceil(known["mean"].max() - 0.05)))
    networks = {name: one for name, one in drawn.items() if name in set(what.observed["model"])}
    key = [(how, words) for how, words, rows in what.nulls if len(rows)]
    key.insert(1, ("hollow", "state 0, the input"))
    sheet = Sheet(what.title, key, networks, HEIGHT, (0.0, float(high)), "relative depth")
    for name, row in sheet.rows.items():
        row.levels("0", str(high), half=high == 1)
        for how, _, null in what.nulls:
            _null(row, null[null["model"] == name], how)
        _observed(row, what.observed[what.observed["model"] == name].sort_values("state_index"), what)
    return sheet.figure


def _null(row: Row, rows: pd.DataFrame, how: str) -> None:
    """All seeds of a null together: a band around their intervals, or their mean."""
    known = rows.dropna(subset="mean")
    known = known.assign(lo=known["lo"].fillna(known["mean"]), hi=known["hi"].fillna(known["mean"]))
    for _, segment in known.groupby("segment"):
        by_depth = segment.groupby("depth").agg({"mean": "mean", "lo": "min", "hi": "max"})
        share = by_depth.index.to_numpy(float)
        if how == "band":
            row.band(share, by_depth["lo"].to_numpy(float), by_depth["hi"].to_numpy(float))
        else:
            row.dashes(share, by_depth["mean"].to_numpy(float))


def _observed(row: Row, rows: pd.DataFrame, what: Curves) -> None:
    known = rows.dropna(subset="mean")
    if known.empty:
        why = rows["reason"][rows["reason"] != ""]
        row.note(str(why.iloc[0]).removeprefix("undefined: ") if len(why) else "no value")
    else:
        for _, segment in known[known["state_index"] > 0].groupby("segment"):
            row.line(*(segment[column].to_numpy(float) for column in ("depth", "mean", "lo", "hi")))
        if len(first := known[known["state_index"] == 0]):
            row.line(*(first[column].to_numpy(float) for column in ("depth", "mean", "lo", "hi")), hollow=True)
        last = float(known["mean"].iloc[-1])
        row.end(last, number(last, 2).removeprefix("0") if abs(last) < 1 else number(last, 1))
    if len(lacking := rows[rows["mean"].isna()]) and len(known):
        row.missing(lacking["depth"].to_numpy(float))
    several = rows["segment"].nunique() > 1
    nulls = [(words.partition(",")[0], _by_state(null[null["model"] == row.name])) for _, words, null in what.nulls]
    for one in rows.to_dict("records"):
        place = f"state {int(one['state_index'])}, {one['state']}"
        label = f"{place}, segment {int(one['segment'])}" if several else place
        row.mark(float(one["depth"]), float(one["mean"]), "states", label, _readings(one, what.name, nulls))


def _by_state(rows: pd.DataFrame) -> dict[int, list[Record]]:
    """State -> its rows, one for each seed."""
    found: dict[int, list[Record]] = {}
    for one in rows.to_dict("records"):
        found.setdefault(int(one["state_index"]), []).append(one)
    return found


def _readings(one: Record, name: str, nulls: Sequence[tuple[str, dict[int, list[Record]]]]) -> list[Reading]:
    """The number of a state, and those of its nulls."""
    found = [reading(name, one)]
    for words, by_state in nulls:
        here = by_state.get(int(one["state_index"]), [])
        found += [reading(words + (f", seed {int(o['null_seed'])}" if len(here) > 1 else ""), o) for o in here]
    return found

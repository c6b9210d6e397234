"""Why a lens still reads later: retention by distance, beside what carrying alone would bring."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from itinf.errors import NothingToDrawError

from ..charts.marks import Reading
from ..labels import OWN_LENSES
from ..numbers import counted, number
from ..rows import fitted_at_one_state
from .identity import controls_first, identities
from .sheet import Row, Sheet
from .style import shows

HEIGHT = 34.0
RETENTION, AT_MOST, SURPLUS = "retention", "carried_at_most", "surplus"
CARRIED, SAME, WRITTEN = "carried", "carried, same-target", "written"
NAMES = {
    RETENTION: "retention",
    AT_MOST: "carried at most: the code left alone",
    SURPLUS: "surplus",
    CARRIED: "carried: others' steps added",
    SAME: "the same, of the same target",
    WRITTEN: "written: on another's state",
}
"""What is shown, in words."""


def surplus(table: pd.DataFrame, *, roles: Mapping[str, str] | None = None) -> Figure:
    """Retention of lenses at later states of the last segment, by distance, one row for each network.

    Args:
        table: transfers of any number of networks.
        roles: name of a control -> "yes" or "no"; controls stand on top.

    Returns:
        A Figure. Dashes: what would be retained if the blocks between left the lens's code alone; the line above them is
        the surplus. Where counterfactual states were read, the band is what carrying brings, at least and at most, and
        hollow points are what is read of the written part alone.

    Raises:
        NothingToDrawError: no lens was read at a later state.
    """
    means = carried_by_distance(table)
    if means.empty:
        raise NothingToDrawError("No lens was read at a later state than its own: transfer lenses with pairs.")
    names = set(means["model"])
    drawn = {name: one for name, one in controls_first(identities(table), roles).items() if name in names}
    several = means["what"].isin([CARRIED]).any()
    key = [("line", "if blocks left the code alone")]
    if several:
        key += [("band", "carried alone"), ("hollow", "written alone")]
    sheet = Sheet("Carried or written", key, drawn, HEIGHT, foot="distance, share of depth")
    for name, row in sheet.rows.items():
        _row(row, means[means["model"] == name])
    return shows(sheet.figure, means)


def carried_by_distance(table: pd.DataFrame) -> pd.DataFrame:
    """Means over pairs of states of the last segment, by distance; without state 0, which holds the input.

    Returns:
        One row for each network, ``what`` (a key of ``NAMES``) and ``distance`` in states: ``share`` of depth, ``mean``, ``lo``
        and ``hi``, the means of those of the ``pairs``: never too narrow, however they depend on each other.
    """
    chosen = table["measure"].isin([RETENTION, AT_MOST, SURPLUS]) & table["lens"].isin(OWN_LENSES)
    rows = fitted_at_one_state(table[chosen & (table["target"] == "label") & (table["null"] == "observed")])
    rows = rows.assign(what=rows["form"].where(rows["form"] != "", rows["measure"]))
    rows = rows[rows["what"].isin(list(NAMES)) & (rows["fitted_at"] > 0) & (rows["state_index"] > rows["fitted_at"])]
    rows = rows[rows["lens"] == rows.groupby("model")["lens"].transform("min")]  # the first kind where there are two
    rows = rows[rows["mean"].notna()]
    rows = rows[rows["segment"] == rows.groupby("model")["segment"].transform("max")]
    states = table.dropna(subset="state_index").drop_duplicates(["model", "state_index"])
    depths = states.set_index(["model", "state_index"])["depth"]
    fitted = depths.reindex(pd.MultiIndex.from_frame(rows[["model", "fitted_at"]])).to_numpy(float)
    rows = rows.assign(
        distance=(rows["state_index"] - rows["fitted_at"]).astype(int), share=rows["depth"].to_numpy(float) - fitted
    )
    means = rows.groupby(["model", "what", "distance"], sort=False).agg(
        share=("share", "mean"), mean=("mean", "mean"), lo=("lo", "mean"), hi=("hi", "mean"), pairs=("mean", "size"),
        units=("n_units", "max"), unit=("unit", "first"),
    )  # fmt: skip
    means = means.reset_index().sort_values(["model", "what", "distance"])
    whole = means.groupby("model")["what"].transform(lambda what: {RETENTION, AT_MOST} <= set(what))
    return means[whole.astype(bool)]  # older transfers say nothing of what carrying brings


def _row(row: Row, means: pd.DataFrame) -> None:
    row.levels("0", "1", half=True)
    of = {str(what): line for what, line in means.groupby("what")}
    at_most = of[AT_MOST]
    if CARRIED in of:
        low = of[CARRIED].set_index("distance")["mean"].reindex(at_most["distance"]).to_numpy(float)
        known = np.isfinite(low)
        high = np.maximum(at_most["mean"].to_numpy(float), low)
        row.band(at_most["share"].to_numpy(float)[known], low[known], high[known])
    row.dashes(at_most["share"].to_numpy(float), at_most["mean"].to_numpy(float))
    row.line(*(of[RETENTION][column].to_numpy(float) for column in ("share", "mean", "lo", "hi")))
    if WRITTEN in of:
        row.line(*(of[WRITTEN][column].to_numpy(float) for column in ("share", "mean", "lo", "hi")), hollow=True)
    last = of[RETENTION].iloc[-1]
    row.end(float(last["mean"]), number(last["mean"], 2).removeprefix("0"))
    for one in of[RETENTION].to_dict("records"):
        here = [line[line["distance"] == one["distance"]] for what in NAMES if (line := of.get(what)) is not None]
        found = [_reading(found.iloc[0]) for found in here if len(found)]
        row.mark(float(one["share"]), float(one["mean"]), "pairs", f"{counted(one['distance'], 'state')} later", found)


def _reading(one: pd.Series) -> Reading:
    of = f"{counted(one['pairs'], 'pair')}, {int(one['units']):,} {one['unit']}s"
    return Reading(NAMES[str(one["what"])], one["mean"], one["lo"], one["hi"], of)

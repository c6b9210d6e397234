"""Who writes the last state: the share of its variance that each step of a segment writes, and what stood there before."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from itinf.errors import NothingToDrawError

from ..charts.marks import belongs, reading
from ..rows import in_one_form
from .identity import controls_first, identities
from .sheet import LEFT, RIGHT, Row, Sheet
from .style import INK, shows

HEIGHT = 34.0
WALK = "if steps were uncorrelated"


def variance_shares(table: pd.DataFrame, *, roles: Mapping[str, str] | None = None) -> Figure:
    """Variance shares by depth, one row for each network: a bar begins where the one before it ends.

    Args:
        table: results of any number of networks.
        roles: name of a control -> "yes" or "no"; controls stand on top.

    Returns:
        A Figure; the bars of a segment add up to 1. The hollow one is what stood in its first state already; the dashed line is
        how high they would stand if steps of the same sizes were uncorrelated.

    Raises:
        NothingToDrawError: no network has variance shares.
    """
    rows = in_one_form(table[table["measure"] == "variance_share"])
    observed, walks = rows[rows["null"] == "observed"], rows[rows["null"] == "random-walk"]
    if not observed["mean"].notna().any():
        raise NothingToDrawError("No network has variance shares: measure a network with skips.")
    names = set(observed["model"])
    drawn = {name: one for name, one in controls_first(identities(table), roles).items() if name in names}
    key = [("line", WALK), ("", "hollow: there before")]
    sheet = Sheet("Who writes the last state", key, drawn, HEIGHT, foot="relative depth")
    for name, row in sheet.rows.items():
        _network(row, observed[observed["model"] == name], walks[walks["model"] == name])
    return shows(sheet.figure, observed, walks)


def _network(row: Row, observed: pd.DataFrame, walks: pd.DataFrame) -> None:
    known = observed.dropna(subset="mean").sort_values("state_index")
    row.levels("0", "1", half=len(known) > 0)  # words in the place of bars stand there
    if known.empty:
        row.note(str(observed["reason"].iloc[0]))
        return
    alone = {int(one["state_index"]): one for one in walks.to_dict("records")}
    wide = 0.7 * (RIGHT - LEFT) / max(len(known), 6)
    several = known["segment"].nunique() > 1
    for segment, states in known.groupby("segment"):
        before, every = 0.0, states.to_dict("records")
        for place, one in enumerate(every):
            state, after = int(one["state_index"]), before + float(one["mean"])
            _bar(row, one, before, wide, hollow=place == 0)
            label = f"state {state}, {one['state']}" + (f", segment {segment}" if several else "")
            found = [reading("share of the variance", one), reading(WALK, alone.get(state))]
            row.mark(float(one["depth"]), after, "states", label, found)
            before = after
        of_walk = np.cumsum([float(alone[int(one["state_index"])]["mean"]) for one in every])
        row.dashes(states["depth"].to_numpy(float), of_walk)


def _bar(row: Row, one: Mapping[Hashable, Any], before: float, wide: float, hollow: bool) -> None:
    """What a state adds, from the height that those before it have reached, with the interval of its share."""
    x, (low, high) = float(row.x(float(one["depth"]))), row.y(np.array([before, before + one["mean"]]))
    face = "white" if hollow else row.drawn.colour
    left, right = np.clip([x - wide / 2, x + wide / 2], LEFT, RIGHT)  # beside the axis stand labels
    bar = Rectangle((left, min(low, high)), right - left, abs(high - low))
    made = PatchCollection([bar], facecolor=face, edgecolor=row.drawn.colour, linewidth=0.7, zorder=3)
    axes = row.sheet.axes
    axes.add_collection(made, autolim=False)
    (interval,) = axes.plot([x, x], row.y(before + np.array([one["lo"], one["hi"]])), color=INK, lw=0.7, zorder=4)
    belongs(row.drawn.number, made, interval)

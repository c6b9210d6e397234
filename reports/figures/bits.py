"""Bits by depth: what the prediction at each depth loses, by the network's own readout and through own lenses."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from itinf.errors import NothingToDrawError

from ..charts.marks import Reading, reading
from ..labels import OWN_LENSES
from ..numbers import number
from ..rows import own_lens
from .identity import controls_first, identities
from .sheet import Row, Sheet
from .style import shows

HEIGHT = 34.0
AS_GOOD = 0.1
"""A readout that is at most so many bits worse than own lenses, on average over depth, needs no lens."""


def own_bits(table: pd.DataFrame) -> pd.DataFrame:
    """Loss by the network's own readout at all depths that it fits up to the last one, in bits.

    It is the loss of the network and the gains of the blocks behind a depth, all of the same units.

    Args:
        table: of one network.

    Returns:
        ``depth``, ``mean``, ``block`` (number of the block before it, 0 for the input) in order of depth.
    """
    kept = (table["null"] == "observed") & (table["target"] == "label") & (table["lens"] == "")
    loss = table[kept & (table["measure"] == "loss")]["mean"]
    steps = table[kept & (table["measure"] == "prediction_gain") & (table["form"] == "")].sort_values("block_index")
    if loss.empty or steps.empty or pd.isna(loss.iloc[0]):
        return pd.DataFrame({"depth": [], "mean": [], "block": []})
    gains = steps["mean"].to_numpy(float)
    first = int(np.flatnonzero(np.isnan(gains))[-1]) + 1 if np.isnan(gains).any() else 0
    ends = steps["block_index"].to_numpy(int)
    blocks = np.concatenate([ends[first : first + 1] - 1, ends[first:]]) if first < len(ends) else ends[-1:]
    behind = np.concatenate([gains[first:][::-1].cumsum()[::-1], [0.0]])
    return pd.DataFrame(
        {"depth": blocks / ends[-1], "mean": float(loss.iloc[0]) / math.log(2) + behind, "block": blocks}
    )


def lens_bits(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the loss of own lenses where they were fitted, in order of depth; ``table`` is of one network."""
    kept = (table["measure"] == "lens_loss") & (table["null"] == "observed") & (table["target"] == "label")
    rows = own_lens(table[kept & table["lens"].isin(OWN_LENSES)])
    return rows[rows["lens"] == rows["lens"].min()].sort_values("state_index") if len(rows) else rows


def needs_no_lens(table: pd.DataFrame) -> bool:
    """Whether the network's own readout reads every depth about as well as own lenses do, or there are none."""
    own, lens = own_bits(table), lens_bits(table)
    if lens.empty or own.empty or own["block"].iloc[0] != 0:
        return lens.empty and len(own) > 0
    there = np.interp(lens["depth"].to_numpy(float), own["depth"], own["mean"])
    return bool((there - lens["mean"].to_numpy(float)).mean() <= AS_GOOD)


def bits(table: pd.DataFrame, networks: Iterable[str], *, roles: Mapping[str, str] | None = None) -> Figure:
    """Bits per unit by depth, one row for each network, on one scale.

    Args:
        table: results of any number of networks.
        networks: names of those that are shown.
        roles: name of a control -> "yes" or "no"; controls stand on top.

    Returns:
        A Figure; dashes: through own lenses. Depths that the own readout reads much worse are at the upper edge.

    Raises:
        NothingToDrawError: no loss by depth is known.
    """
    wanted = set(networks)
    of = {name: table[table["model"] == name] for name in controls_first(identities(table), roles) if name in wanted}
    own = {name: found for name, one in of.items() if len(found := own_bits(one)) > 1}
    if not own:
        raise NothingToDrawError("No network has the loss of several depths: measure predictions.")
    lens = {name: lens_bits(of[name]).dropna(subset="mean") for name in own}
    high = max(float((lens[name] if len(lens[name]) else found)["mean"].max()) for name, found in own.items())
    drawn = {name: one for name, one in controls_first(identities(table), roles).items() if name in own}
    key = [("line", "through own lenses")] if any(map(len, lens.values())) else []
    sheet = Sheet("Bits lost by the prediction", key, drawn, HEIGHT, (0.0, float(np.ceil(high))), "relative depth")
    for name, row in sheet.rows.items():
        _row(row, own[name], lens[name])
    return shows(sheet.figure, *(found.assign(model=name) for name, found in own.items()), *lens.values())


def _row(row: Row, own: pd.DataFrame, lens: pd.DataFrame) -> None:
    row.levels("0", f"{row.scale[1]:g}")
    nothing = np.full(len(own), np.nan)
    row.line(own["depth"].to_numpy(float), own["mean"].to_numpy(float), nothing, nothing)
    if len(lens):
        row.dashes(lens["depth"].to_numpy(float), lens["mean"].to_numpy(float))
    row.end(float(own["mean"].iloc[-1]), number(float(own["mean"].iloc[-1]), 2))
    by_depth = {round(float(one["depth"]), 6): one for one in lens.to_dict("records")}
    for depth, mean, block in own[["depth", "mean", "block"]].itertuples(index=False):
        beside = by_depth.get(round(float(depth), 6))
        readings = [Reading("bits, own readout", float(mean)), *([reading("bits, own lens", beside)] if beside else [])]
        label = f"after block {int(block)}" if block else "before the first block"
        row.mark(float(depth), min(float(mean), row.scale[1]), "depths", label, readings)

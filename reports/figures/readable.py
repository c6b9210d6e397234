"""What each state's own lens can read: bits of the label by depth."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from itinf.errors import NothingToDrawError

from ..labels import OWN_LENSES, UNTRAINED
from ..rows import own_lens
from ..verdict.states import LEAST_BITS
from .by_depth import Curves, curves_by_depth
from .style import shows


def readable(table: pd.DataFrame, *, target: str = "label", roles: Mapping[str, str] | None = None) -> Figure:
    """Bits that own lenses tell of the label by depth, one row for each network, beside untrained copies.

    Args:
        table: transfers of any number of networks.
        target: "label" or "model".
        roles: name of a control -> "yes" or "no"; controls stand on top.

    Returns:
        A Figure with one scale for all networks; bits are beyond what the labels' frequencies tell. State 0 is hollow.

    Raises:
        NothingToDrawError: no network has lenses of its own that were read.
    """
    observed, untrained = (own_readings(table, null, target) for null in ("observed", UNTRAINED))
    if not observed["mean"].notna().any():
        raise NothingToDrawError("No network was read through lenses of its own: fit and transfer its lenses.")
    what = Curves("Bits readable by depth", "own lens, bits", observed, (("band", "untrained", untrained),))
    return shows(curves_by_depth(what, table, roles), observed, untrained)


def own_readings(table: pd.DataFrame, null: str, target: str) -> pd.DataFrame:
    """Bits that own lenses tell of a target, by network, copy and state; the first kind of lens where there are two."""
    chosen = (table["measure"] == "readable") & (table["null"] == null) & (table["target"] == target)
    rows = own_lens(table[chosen & (table["form"] == "") & table["lens"].isin(OWN_LENSES)])
    return rows[rows["lens"] == rows.groupby("model")["lens"].transform("min")]


def with_something_to_keep(untrained: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Of rows about untrained copies those of networks whose copies' own lenses tell enough for another lens to keep."""
    told = own_readings(table, UNTRAINED, "model").groupby("model")["mean"].mean()
    return untrained[untrained["model"].isin(told.index[told >= LEAST_BITS])]

"""What each state's own lens can read: bits of the label by depth."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from itinf.errors import NothingToDrawError

from ..labels import OWN_LENSES, UNTRAINED
from ..rows import own_lens
from .by_depth import Curves, curves_by_depth
from .style import shows


def readable(table: pd.DataFrame, *, target: str = "label") -> Figure:
    """Bits that own lenses tell of the label by depth, one row for each network, beside untrained copies.

    Args:
        table: transfers of any number of networks.
        target: "label" or "model".

    Returns:
        A Figure with one scale for all networks; bits are beyond what the labels' frequencies tell. State 0 is hollow.

    Raises:
        NothingToDrawError: no network has lenses of its own that were read.
    """
    rows = table[(table["measure"] == "readable") & (table["form"] == "") & (table["target"] == target)]
    rows = own_lens(rows[rows["lens"].isin(OWN_LENSES)])
    observed, untrained = (_one_kind(rows[rows["null"] == null]) for null in ("observed", UNTRAINED))
    if not observed["mean"].notna().any():
        raise NothingToDrawError("No network was read through lenses of its own: fit and transfer its lenses.")
    what = Curves("Bits readable by depth", "own lens, bits", observed, (("band", "untrained", untrained),))
    return shows(curves_by_depth(what, table), observed, untrained)


def _one_kind(rows: pd.DataFrame) -> pd.DataFrame:
    """Of each network and copy the first kind of own lens, where there are two."""
    first = rows["lens"].map({kind: k for k, kind in enumerate(OWN_LENSES)})
    return rows[first == first.groupby([rows["model"], rows["null_seed"].fillna(-1)]).transform("min")]

"""How alike the states are to the last one, by depth, beside what class or next token alone give."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from itinf.errors import NothingToDrawError

from ..labels import UNTRAINED
from ..rows import in_one_form
from .by_depth import Curves, curves_by_depth
from .style import shows

TITLE = "How alike are the depths"


def similarity(table: pd.DataFrame, *, roles: Mapping[str, str] | None = None) -> Figure:
    """Similarity with the last state by depth, one row for each network.

    Args:
        table: results of any number of networks.
        roles: name of a control -> "yes" or "no"; controls stand on top.

    Returns:
        A Figure; the band is what units of the same class or next token have in common, the dashed line an untrained copy.

    Raises:
        NothingToDrawError: no similarity was measured.
    """
    rows = in_one_form(table[table["measure"] == "similarity"])
    observed, of_class, untrained = (rows[rows["null"] == null] for null in ("observed", "same-target", UNTRAINED))
    if not observed["mean"].notna().any():
        raise NothingToDrawError("No network has similarities of depths: measure the probe similarity.")
    nulls = (("band", "class or next token alone", of_class), ("line", "untrained", untrained))
    return shows(
        curves_by_depth(Curves(TITLE, "similarity", observed, nulls), table, roles), observed, of_class, untrained
    )

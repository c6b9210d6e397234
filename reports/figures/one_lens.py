"""One lens for all depths: what it retains of what each state's own lens tells, that depth left out of its fit."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from itinf.errors import NothingToDrawError

from ..labels import LEFT_OUT, ROTATED, UNTRAINED
from .by_depth import Curves, curves_by_depth
from .readable import with_something_to_keep
from .style import shows


def one_lens(table: pd.DataFrame, *, target: str = "label", roles: Mapping[str, str] | None = None) -> Figure:
    """Retention of the shared lens by depth, one row for each network, beside rotated depths and untrained copies.

    Args:
        table: transfers of any number of networks.
        target: "label" or "model"; of untrained copies always "model", for they tell nothing of the label, and only where
            their own lenses tell half a bit or more, which another lens could keep.
        roles: name of a control -> "yes" or "no"; controls stand on top.

    Returns:
        A Figure; a line ends where its segment does, for which one lens is fitted. State 0 is hollow: it holds the input.

    Raises:
        NothingToDrawError: no lens was read at other states.
    """
    rows = table[(table["measure"] == "retention") & (table["lens"] == LEFT_OUT) & (table["form"] == "")]
    observed = rows[(rows["null"] == "observed") & (rows["target"] == target)]
    if not observed["mean"].notna().any():
        raise NothingToDrawError("No network was read through one lens that all depths share: transfer its lenses.")
    rotated = rows[(rows["null"] == ROTATED) & (rows["target"] == target)]
    untrained = with_something_to_keep(rows[(rows["null"] == UNTRAINED) & (rows["target"] == "model")], table)
    figure = curves_by_depth(
        Curves(
            "One lens, that depth left out",
            "retention",
            observed,
            (("band", "depths rotated", rotated), ("line", "untrained, where it has ½ bit to keep", untrained)),
        ),
        table,
        roles,
    )
    return shows(figure, observed, rotated, untrained)

"""Does a state come nearer to the last one as an estimate would? Its error beside steps in random order, and without direction."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from itinf.errors import NothingToDrawError

from ..labels import UNTRAINED
from ..rows import in_one_form
from .by_depth import Curves, curves_by_depth
from .style import shows

ORDER, WALK = "error_over_order", "error_over_walk"
TITLES = {ORDER: "Error over that of random order", WALK: "Error over that of a random walk"}


def over_order(table: pd.DataFrame, *, roles: Mapping[str, str] | None = None) -> Figure:
    """Squared distance from the last state over its mean over all orders of the unit's own steps, by depth.

    Args:
        table: results of any number of networks.
        roles: name of a control -> "yes" or "no"; controls stand on top.

    Returns:
        A Figure: below 1 large steps come first, as of an estimator that homes in; above 1 they come last.

    Raises:
        NothingToDrawError: no network has estimation errors.
    """
    return _by_depth(table, ORDER, "random order", roles)


def over_walk(table: pd.DataFrame, *, roles: Mapping[str, str] | None = None) -> Figure:
    """The same over the sum of the squared lengths of the steps that follow: above 1 steps keep their direction."""
    return _by_depth(table, WALK, "random walk", roles)


def _by_depth(table: pd.DataFrame, measure: str, words: str, roles: Mapping[str, str] | None) -> Figure:
    rows = in_one_form(table[table["measure"] == measure])
    observed, untrained = rows[rows["null"] == "observed"], rows[rows["null"] == UNTRAINED]
    if not observed["mean"].notna().any():
        raise NothingToDrawError("No network has estimation errors: measure a network with skips.")
    known = observed.dropna(subset="mean")
    one = known.assign(mean=1.0, lo=1.0, hi=1.0)
    curves = Curves(TITLES[measure], words, observed, (("band", f"1: {words}", one), ("line", "untrained", untrained)))
    return shows(curves_by_depth(curves, table, roles), observed, untrained)

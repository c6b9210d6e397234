"""What becomes of the units that are borderline at an earlier state: their accuracy by depth, after they were chosen."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from itinf.errors import NothingToDrawError

from .by_depth import Curves, curves_by_depth
from .lesions import BEST, Chosen
from .style import shows

ACCURACY, SHARE = "borderline_accuracy", "borderline_share"
AT_END, SAME_P, SHUFFLED = "borderline at the end", "same p_y", "order-shuffled"
TITLE = "Accuracy of borderline units, after they were chosen"


def followed(table: pd.DataFrame, measure: str = ACCURACY, null: str = "observed") -> pd.DataFrame:
    """Rows of the units that were chosen at an earlier state, in order of depth."""
    kept = (table["measure"] == measure) & (table["null"] == null) & (table["subset"] != AT_END)
    return table[kept].sort_values(["model", "state_index"])


def of_repeats(table: pd.DataFrame) -> pd.DataFrame:
    """What the best repeat of the last block gains of accuracy for units that are borderline at the last state; at most one row."""
    costs = table[table["subset"].str.fullmatch(r"borderline at \d+")]
    if costs.empty:
        return costs
    last = costs["subset"].str.rpartition(" ")[2].astype(int).max()
    rows = Chosen(BEST, "accuracy_cost", subset=f"borderline at {last}").of(table).dropna(subset="mean")
    return rows.assign(
        **{new: -rows[old] for new, old in (("mean", "mean"), ("lo", "hi"), ("hi", "lo"))},
        band_lo=float("nan"),
        band_hi=float("nan"),
    )


def borderline(table: pd.DataFrame, *, roles: Mapping[str, str] | None = None) -> Figure:
    """Accuracy of borderline units from the state on at which they were chosen.

    Args:
        table: results of the probe borderline, of any number of networks.
        roles: name of a control -> "yes" or "no"; controls stand on top.

    Returns:
        A Figure from 0 to 1; the band is that of other units of the same p_y, the dashes are steps in random order.

    Raises:
        NothingToDrawError: no unit was borderline in any network.
    """
    observed, same, shuffled = (followed(table, null=null) for null in ("observed", SAME_P, SHUFFLED))
    if not observed["mean"].notna().any():
        raise NothingToDrawError('No unit was borderline: measure = ["borderline"] in the study file chooses them.')
    nulls = (("band", SAME_P, same), ("line", SHUFFLED, shuffled))
    return shows(curves_by_depth(Curves(TITLE, "accuracy", observed, nulls), table, roles), observed, same, shuffled)

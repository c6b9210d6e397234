"""Retention of transferred lenses: own lenses by distance, and one lens for all states by depth."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..labels import LEFT_OUT, MATCHED, ROTATED, UNTRAINED, convention
from ..rows import fitted_at_one_state, require, select_rows
from .facets import model_styles
from .lens_lines import RELATIVE_DEPTH, state_line
from .panel import LineStyle
from .style import INK, grid, legend, shows, title, wrap


def retention(table: pd.DataFrame, *, summaries: pd.DataFrame | None = None, target: str = "label") -> Figure:
    """What transfers, all networks on one axis: own lenses against distance, one lens for all by depth.

    Args:
        table: transfers of any number of networks.
        summaries: of the same transfers, for the intervals of means; without them there are none.
        target: "label", or "model", the network's own final distribution; of untrained ones always that.

    Returns:
        A Figure. Above, own lenses at other states: as they are, with channels matched, in untrained networks.
        Below, one lens fitted without the depth it reads: as it is, with every depth rotated, in untrained networks.

    Raises:
        ItinfError: a column, the measure or the target is not in the table.
    """
    rows = select_rows(table, ("retention",))
    require(rows, "target", target)
    means = _means_of_cells(rows) if summaries is None or summaries.empty else _means_of_summaries(summaries)
    figure, panels = grid(2, 3, height=2.6)
    styles = model_styles(rows, table)
    above = (
        ("own lenses, moved as they are", "", "observed", target),
        ("own lenses, channels matched", MATCHED, "observed", target),
        ("untrained: own lenses moved", "", UNTRAINED, "model"),
    )
    for axes, (name, form, null, panel_target) in zip(panels[0], above, strict=True):
        shown = means[(means["form"] == form) & (means["null"] == null) & (means["target"] == panel_target)]
        _lines(axes, shown, styles, lambda line: line.sort_values("share").assign(depth=line["share"], segment=0))
        axes.set_ylabel(f"retention, mean over pairs\n{convention(target=panel_target)}")
        _axis(axes, "distance, share of depth")
        title(axes, name)
    below = (
        ("one lens, that depth left out", "observed", target),
        ("null: the same, depths rotated", ROTATED, target),
        ("untrained: one lens, left out", UNTRAINED, "model"),
    )
    for axes, (name, null, panel_target) in zip(panels[1], below, strict=True):
        shown = rows[(rows["lens"] == LEFT_OUT) & (rows["null"] == null) & (rows["target"] == panel_target)]
        _lines(axes, shown, styles, lambda line: line.sort_values("state_index"))
        axes.set_ylabel(f"retention\n{convention(target=panel_target)}")
        _axis(axes, RELATIVE_DEPTH)
        title(axes, name)
    legend(figure, columns=5)
    return shows(figure, means, rows[rows["lens"] == LEFT_OUT])


def _means_of_cells(rows: pd.DataFrame) -> pd.DataFrame:
    """Means by distance as the summaries have them, but without intervals."""
    cells = fitted_at_one_state(rows)
    cells = cells[cells["fitted_at"] != cells["state_index"]]
    depths = rows.drop_duplicates(["model", "state_index"]).set_index(["model", "state_index"])["depth"]
    fitted = depths.reindex(pd.MultiIndex.from_frame(cells[["model", "fitted_at"]])).to_numpy()
    cells = cells.assign(
        distance=(cells["state_index"] - cells["fitted_at"]).abs(), share=(cells["depth"] - fitted).abs()
    )
    by = ["model", "form", "target", "null", "null_seed", "distance"]
    groups = cells[cells["mean"].notna()].groupby(by, sort=False, dropna=False)
    return groups[["share", "mean"]].mean().reset_index().assign(lo=float("nan"), hi=float("nan"))


def _means_of_summaries(summaries: pd.DataFrame) -> pd.DataFrame:
    """Means by distance, both ways taken together."""
    both = summaries[(summaries["measure"] == "retention") & (summaries["direction"] == "both")]
    return both[both["distance"] > 0]


def _lines(
    axes: Axes,
    rows: pd.DataFrame,
    styles: dict[str, LineStyle],
    ordered: Callable[[pd.DataFrame], pd.DataFrame],
) -> None:
    """A line for each network, and for each seed of a null; ``ordered`` puts its rows in order along x."""
    for (model, _), line in rows.groupby(["model", "null_seed"], sort=False, dropna=False):
        state_line(axes, ordered(line), styles[str(model)])
    if not rows["mean"].notna().any():
        text = wrap("nothing to show: not measured, or no network has enough to retain")
        axes.text(0.5, 0.5, text, fontsize=7, ha="center", va="center", transform=axes.transAxes)


def _axis(axes: Axes, label: str) -> None:
    """Lines at 0, nothing retained, and 1, everything; the label of x."""
    axes.axhline(0, color=INK, lw=0.7, zorder=1)
    axes.axhline(1, color=INK, lw=0.7, ls=":", zorder=1)
    axes.set_ylim(-0.1, 1.1)
    axes.set_xlim(0, 1.04)
    axes.set_xlabel(label)

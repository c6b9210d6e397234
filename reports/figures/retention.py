"""What one lens keeps, by distance and by depth."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..labels import LEFT_OUT, MATCHED, ROTATED, UNTRAINED, said
from ..rows import require, select_rows
from .lens_lines import ALONG, _line
from .style import INK, MARKERS, PALETTE, grid, legend, literal, shorten, title, wrap


def retention(table: pd.DataFrame, *, summaries: pd.DataFrame | None = None, target: str = "label") -> Figure:
    """What transfers, all networks on one axis: own lenses against distance, one lens for all by depth.

    Args:
        table: transfers of any number of networks.
        summaries: of the same transfers, for the intervals of means; without them there are none.
        target: "label", or "model", the network's own final distribution; of untrained ones always that.

    Returns:
        A Figure. Above, own lenses moved: as they are, with channels matched, in untrained networks. Below,
        one lens fitted without the depth it reads: as it is, with every depth rotated, in untrained networks.

    Raises:
        ItinfError: a column, the measure or the target is not in the table.
    """
    rows = select_rows(table, ("retention",))
    require(rows, "target", target)
    means = _means(rows) if summaries is None or summaries.empty else _distances(summaries)
    figure, panels = grid(2, 3, height=2.6)
    looks = {
        model: (PALETTE[place % len(PALETTE)], literal(shorten(str(model))), MARKERS[place % len(MARKERS)])
        for place, model in enumerate(rows["model"].unique())
    }
    above = (
        ("own lenses, moved as they are", "", "observed", target),
        ("own lenses, channels matched", MATCHED, "observed", target),
        ("untrained: own lenses moved", "", UNTRAINED, "model"),
    )
    for axes, (name, form, null, aim) in zip(panels[0], above, strict=True):
        some = means[(means["form"] == form) & (means["null"] == null) & (means["target"] == aim)]
        _each(axes, some, looks, lambda one: one.sort_values("share").assign(depth=one["share"], segment=0))
        axes.set_ylabel(f"retention, mean over pairs\n{said(target=aim)}")
        _unit(axes, "distance, share of depth")
        title(axes, name)
    below = (
        ("one lens, that depth left out", "observed", target),
        ("null: the same, depths rotated", ROTATED, target),
        ("untrained: one lens, left out", UNTRAINED, "model"),
    )
    for axes, (name, null, aim) in zip(panels[1], below, strict=True):
        some = rows[(rows["lens"] == LEFT_OUT) & (rows["null"] == null) & (rows["target"] == aim)]
        _each(axes, some, looks, lambda one: one.sort_values("index"))
        axes.set_ylabel(f"retention\n{said(target=aim)}")
        _unit(axes, ALONG)
        title(axes, name)
    legend(figure, columns=5)
    return figure


def _means(rows: pd.DataFrame) -> pd.DataFrame:
    """By distance, as the summaries have them, but without intervals."""
    moved = rows[(rows["fitted_at"] != "") & (rows["fitted_at"] != rows["index"].astype(int).astype(str))]
    depths = rows.drop_duplicates(["model", "index"]).set_index(["model", "index"])["depth"]
    fitted = moved["fitted_at"].astype(int)
    there = depths.reindex(pd.MultiIndex.from_arrays([moved["model"], fitted])).to_numpy()
    moved = moved.assign(distance=(moved["index"] - fitted).abs(), share=(moved["depth"] - there).abs())
    by = ["model", "form", "target", "null", "null_seed", "distance"]
    found = moved[moved["mean"].notna()].groupby(by, sort=False)[["share", "mean"]].mean().reset_index()
    return found.assign(lo=float("nan"), hi=float("nan"))


def _distances(summaries: pd.DataFrame) -> pd.DataFrame:
    both = summaries[(summaries["measure"] == "retention") & (summaries["direction"] == "both")]
    return both[both["distance"] > 0]


def _each(
    axes: Axes,
    rows: pd.DataFrame,
    looks: dict[str, tuple[str, str, str]],
    ordered: Callable[[pd.DataFrame], pd.DataFrame],
) -> None:
    """A line for each network, and for each seed of a null."""
    for (model, _), one in rows.groupby(["model", "null_seed"], sort=False):
        _line(axes, ordered(one), *looks[str(model)])
    if not rows["mean"].notna().any():
        axes.text(0.5, 0.5, wrap("nothing to show: not measured, or no network has enough to retain"), fontsize=7,
                  ha="center", va="center", transform=axes.transAxes)  # fmt: skip


def _unit(axes: Axes, along: str) -> None:
    """Retention runs from nothing to all."""
    axes.axhline(0, color=INK, lw=0.7, zorder=1)
    axes.axhline(1, color=INK, lw=0.7, ls=":", zorder=1)
    axes.set_ylim(-0.1, 1.1)
    axes.set_xlim(0, 1.04)
    axes.set_xlabel(along)

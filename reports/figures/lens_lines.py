"""Lines of numbers about states along relative depth."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from .panel import LineStyle
from .style import literal

RELATIVE_DEPTH = "relative depth"


def state_line(axes: Axes, rows: pd.DataFrame, style: LineStyle) -> None:
    """Draws one line with intervals, broken between segments, which do not share a lens.

    Args:
        axes: the panel.
        rows: of one line, in order of depth.
        style: of the line; the legend has its label once.
    """
    if not rows["mean"].notna().any():
        return
    for number, (_, segment) in enumerate(rows.groupby("segment")):
        axes.plot(
            segment["depth"],
            segment["mean"],
            color=style.colour,
            marker=style.marker,
            ls=style.dash,
            ms=3,
            lw=1.2,
            label=None if number else literal(style.label),
        )
        axes.vlines(segment["depth"], segment["lo"], segment["hi"], color=style.colour, lw=1.2, alpha=0.7)


def depth_axis(axes: Axes, rows: pd.DataFrame) -> None:
    """The x axis, with the number of units of observed rows, or of nulls where there are no others."""
    axes.set_xlim(-0.02, 1.04)
    axes.set_xticks([0, 0.5, 1])
    axes.tick_params(labelsize=7)
    observed = rows[rows["null"] == "observed"]
    counted = observed if len(observed) else rows
    axes.set_xlabel(f"{RELATIVE_DEPTH}, {int(counted['n_units'].max()):,} {counted['unit'].iloc[0]}s", fontsize=7)

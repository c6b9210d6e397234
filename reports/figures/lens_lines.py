"""Lines of lens measures along depth."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

ALONG = "relative depth"


def _line(axes: Axes, rows: pd.DataFrame, colour: str, label: str, marker: str = "o") -> None:
    if not rows["mean"].notna().any():
        return
    # segments do not share a lens, so no line runs from one to the next
    for number, (_, some) in enumerate(rows.groupby("segment")):
        named = label if not number else None
        axes.plot(some["depth"], some["mean"], color=colour, marker=marker, ms=3, lw=1.2, label=named)
        axes.vlines(some["depth"], some["lo"], some["hi"], color=colour, lw=1.2, alpha=0.7)


def _depth(axes: Axes, rows: pd.DataFrame) -> None:
    axes.set_xlim(-0.02, 1.04)
    axes.set_xticks([0, 0.5, 1])
    axes.tick_params(labelsize=7)
    counted = rows[rows["null"] == "observed"] if (rows["null"] == "observed").any() else rows
    axes.set_xlabel(f"{ALONG}, {int(counted['n_units'].max()):,} {counted['unit'].iloc[0]}s", fontsize=7)

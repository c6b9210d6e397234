"""Where iterative inference begins: for each network what is in one code, what is used, and which steps improve."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from itinf.errors import NothingToDrawError

from ..onset_numbers import OnsetCurves, onset_curves
from .lens_lines import RELATIVE_DEPTH, state_line
from .style import INK, PALETTE, grid, legend, shows, title

COLUMNS = 3
ABOVE, BELOW = 1.72, -0.62
"""Where the steps are marked, and the lower end of the panels: what lies beyond them is drawn at the edge."""


def onset(table: pd.DataFrame, *, summaries: pd.DataFrame | None = None) -> Figure:
    """One panel for each network: retention of one lens and persistence of the label by depth, and steps that improve.

    Args:
        table: probes and transfers of any number of networks.
        summaries: of the same comparison; they hold the onset.

    Returns:
        A Figure; the onset begins the shaded part. Steps are marked by their own 95 % intervals. Untrained copies are in
        the page's table only.

    Raises:
        NothingToDrawError: no network has an iterative depth.
    """
    networks = [curves for curves in onset_curves(table, summaries) if curves.seed is None]
    if not networks:
        raise NothingToDrawError("No network has an iterative depth; it takes probes with persistence, and a transfer.")
    figure, panels = grid(-(-len(networks) // COLUMNS), min(COLUMNS, len(networks)), height=2.1)
    for axes, curves in zip(panels.flat, networks, strict=False):
        _panel(axes, curves)
    for axes in panels.flat[len(networks) :]:
        axes.set_visible(False)
    legend(figure, columns=4)
    return shows(figure, *(rows for curves in networks for rows in (curves.in_code, curves.used, curves.gains)))


def _panel(axes: Axes, curves: OnsetCurves) -> None:
    depth = curves.number("iterative_depth")["mean"]
    title(axes, f"{curves.model}: {depth:.2f}")
    if depth > 0:
        axes.axvspan(1 - depth, 1, color="#cfe3f5", alpha=0.6, lw=0, label="from the onset on", zorder=0)
    axes.axhline(0.5, color=INK, lw=0.7, ls=":", zorder=1)
    axes.axhline(0, color=INK, lw=0.6, zorder=1)
    state_line(axes, _inside(curves.in_code), PALETTE[0], "one lens retains", "o")
    state_line(axes, _inside(curves.used), PALETTE[1], "persistence", "s")
    blocks = curves.states - 1
    above, below = curves.gains["lo"] > 0, curves.gains["hi"] < 0
    for chosen, marker, colour, label in (
        (above, "^", PALETTE[2], "step gains beyond pairing"),
        (~above & ~below, "_", "#8a8a8a", "neither"),
        (below, "v", PALETTE[3], "step harms"),
    ):
        steps = curves.gains[chosen]
        if len(steps):
            x = (steps["block_index"].astype(float) - 0.5) / blocks
            axes.plot(x, [ABOVE] * len(x), ls="", marker=marker, ms=3.5, color=colour, label=label, clip_on=False)
    axes.set_xlim(-0.02, 1.04)
    axes.set_ylim(BELOW, ABOVE + 0.1)
    axes.set_xticks([0, 0.5, 1])
    axes.set_xlabel(f"{RELATIVE_DEPTH}; states read by {'one lens' if curves.lens else 'the own readout'}", fontsize=7)


def _inside(rows: pd.DataFrame) -> pd.DataFrame:
    """Values beyond the panel at its edge."""
    ends = {column: rows[column].clip(BELOW, ABOVE - 0.12) for column in ("mean", "lo", "hi")}
    return rows.assign(**ends)

"""Lenses by depth, and how they transfer: heat-maps, retention against distance, one lens for every depth."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .series import choose
from .style import INK, MARKERS, PALETTE, grid, key, literal, title

LENSES = {
    "affine": (PALETTE[0], "own affine lens"),
    "tuned": (PALETTE[0], "own tuned lens"),
    "logit": (PALETTE[1], "logit lens"),
    "shared": (PALETTE[2], "one lens, this depth among those it was fitted on"),
    "shared, left out": (PALETTE[4], "one lens, fitted without this depth"),
    "shared, left out, rotated 1": ("#8c8c8c", "null: depths rotated, fitted without this one"),
}
QUALITY = {
    "lens_kl": "KL(final ‖ lens), bits per unit",
    "lens_loss": "cross-entropy, bits per unit",
    "lens_agreement": "top-1 agreement with the final one",
}


def lenses(table: pd.DataFrame) -> Figure:
    """How well each state can be read: one row per network, one column per measure.

    Args:
        table: transfers of any number of networks.

    Raises:
        ItinfError: a column or every measure is not in the table.
    """
    rows = choose(table, tuple(QUALITY))
    models = list(rows["model"].unique())
    figure, panels = grid(len(models), len(QUALITY), height=2.4)
    for model, across in zip(models, panels, strict=True):
        for (measure, label), axes in zip(QUALITY.items(), across, strict=True):
            here = rows[(rows["model"] == model) & (rows["measure"] == measure)]
            for lens, (colour, name) in LENSES.items():
                _line(axes, _where_fitted(here[here["lens"] == lens]), colour, name)
            if measure == "lens_kl":
                axes.set_yscale("symlog", linthresh=0.1)
            axes.set_ylabel(label)
            _depth(axes, here)
            title(axes, model)
    key(figure)
    return figure


def transfer(table: pd.DataFrame, *, measure: str = "retention") -> Figure:
    """Matrices of what a lens fitted at one state keeps at another, side by side.

    Args:
        table: transfers of any number of networks.
        measure: "retention", "raw_retention", "transfer_penalty" or "transfer_kl".

    Returns:
        A Figure; rows are where the lens was fitted, columns where it reads. Cells outside a segment
        do not exist and are hatched; those without enough to retain are hatched, too.

    Raises:
        ItinfError: a column or the measure is not in the table.
    """
    rows = choose(table, (measure,))
    rows = rows[rows["fitted_at"] != ""]
    models = list(rows["model"].unique())
    across = min(len(models), 3)
    figure, panels = grid(-(-len(models) // across), across, height=3.3)
    kept = measure.endswith("retention")
    low, high = (-1.0 if measure == "raw_retention" else 0.0), (1.0 if kept else float(rows["mean"].max()))
    image = None
    for axes, model in zip(panels.flat, models, strict=False):
        here = rows[rows["model"] == model]
        size = int(here["index"].max()) + 1
        cells = np.full((size, size), np.nan)
        cells[here["fitted_at"].astype(int), here["index"].astype(int)] = here["mean"]
        axes.set_facecolor("#f2f2f2")
        axes.patch.set(hatch="////", edgecolor="#c8c8c8")
        image = axes.imshow(cells, vmin=low, vmax=high, cmap="cividis", interpolation="nearest")
        if size <= 12:
            for (i, j), value in np.ndenumerate(cells):
                if np.isfinite(value):
                    dark = (value - low) / (high - low) < 0.5
                    axes.text(
                        j, i, f"{value:.2f}", ha="center", va="center", fontsize=5.5, color="white" if dark else "black"
                    )
        axes.set_xlabel(f"state that is read, {int(here['n_units'].max()):,} {here['unit'].iloc[0]}s")
        axes.set_ylabel("state the lens was fitted at")
        title(axes, model)
    for axes in panels.ravel()[len(models) :]:
        axes.remove()
    assert image is not None
    figure.colorbar(image, ax=figure.axes, label=literal(measure.replace("_", " ")), shrink=0.6)
    return figure


def retention(table: pd.DataFrame) -> Figure:
    """What transfers, all networks on one axis: against distance, and by depth for one lens fitted without that depth.

    Args:
        table: transfers of any number of networks.

    Raises:
        ItinfError: a column or the measure is not in the table.
    """
    rows = choose(table, ("retention",))
    figure, panels = grid(1, 3, height=3.2)
    near, one, null = panels[0]
    for place, model in enumerate(rows["model"].unique()):
        here = rows[rows["model"] == model]
        look = {"color": PALETTE[place % len(PALETTE)], "marker": MARKERS[place % len(MARKERS)]}
        cells = here[(here["fitted_at"] != "") & here["mean"].notna()]
        depths = here.drop_duplicates("index").set_index("index")["depth"]
        apart = (cells["depth"] - cells["fitted_at"].astype(int).map(depths)).abs().round(6)
        means = cells["mean"].groupby(apart).mean()
        near.plot(means.index, means, ms=3, lw=1.2, label=literal(model), **look)
        for axes, lens in ((one, "shared, left out"), (null, "shared, left out, rotated 1")):
            some = _where_fitted(here[here["lens"] == lens])
            _line(axes, some, look["color"], literal(model), look["marker"])
    for axes, name, what in (
        (near, "own lenses, moved", "mean retention of pairs of states"),
        (one, "one lens, fitted without that depth", "retention"),
        (null, "null: the same, depths rotated", "retention"),
    ):
        axes.axhline(0, color=INK, lw=0.7, zorder=1)
        axes.axhline(1, color=INK, lw=0.7, ls=":", zorder=1)
        axes.set_ylim(-0.3, 1.1)
        axes.set_xlim(0, 1.02)
        axes.set_ylabel(what)
        axes.set_xlabel("distance, share of depth" if axes is near else "relative depth")
        title(axes, name)
    key(figure)
    return figure


def _where_fitted(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per state: lenses of one state where they were fitted, others wherever they read."""
    at_home = (rows["fitted_at"] == "") | (rows["fitted_at"] == rows["index"].astype(int).astype(str))
    return rows[at_home].sort_values("index")


def _line(axes: Axes, rows: pd.DataFrame, colour: str, label: str, marker: str = "o") -> None:
    if rows["mean"].notna().any():
        # segments do not share a lens, so no line runs from one to the next
        for number, (_, some) in enumerate(rows.groupby("segment")):
            axes.plot(
                some["depth"],
                some["mean"],
                color=colour,
                marker=marker,
                ms=3,
                lw=1.2,
                label=label if not number else None,
            )
            axes.vlines(some["depth"], some["lo"], some["hi"], color=colour, lw=1.2, alpha=0.7)


def _depth(axes: Axes, rows: pd.DataFrame) -> None:
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel(f"relative depth, {int(rows['n_units'].max()):,} {rows['unit'].iloc[0]}s")

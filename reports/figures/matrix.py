"""One transfer matrix: numbers as colours, missing cells hatched by their reason, pairs without a cell grey."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PatchCollection
from matplotlib.colors import Colormap, Normalize, SymLogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator
from seaborn import color_palette

HATCHES = ("////", "....", "xxxx", "||||", "----", "++++")
EMPTY, HATCH = "#e3e3e3", "#9a9a9a"
MOST = 12
"""States up to which the numbers are written into their cells."""


class Scale(NamedTuple):
    """Colours of one figure, the label of their bar, and at which ends numbers go beyond it."""

    norm: Normalize
    label: str
    extend: str
    colours: Colormap = color_palette("viridis", as_cmap=True)


def scale(measure: str, values: pd.Series) -> Scale:
    """Retention from 0 to 1, raw retention from −1; penalties in bits, logarithmic beyond 0.1 bits."""
    known = values.dropna()
    least, most = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    if measure.endswith("retention"):
        low = -1.0 if measure.startswith("raw") else 0.0
        extend = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
        return Scale(Normalize(low, 1.0), measure.replace("_", " "), extend[least < low - 0.005, most > 1.005])
    low = min(least, 0.0) if least < -0.1 else 0.0
    norm = SymLogNorm(0.1, linscale=0.3, vmin=low, vmax=max(most, 0.2), base=10)
    return Scale(norm, f"{measure.replace('_', ' ')}, bits per unit (log beyond 0.1)", "neither")


def hatching(rows: pd.DataFrame) -> dict[str, str]:
    """Reason -> hatch, for all missing cells."""
    reasons = rows.loc[rows["mean"].isna(), "reason"].replace("", "no reason recorded").unique()
    return {str(reason): HATCHES[number % len(HATCHES)] for number, reason in enumerate(reasons)}


def matrix(axes: Axes, rows: pd.DataFrame, scale: Scale, hatches: dict[str, str]) -> bool:
    """Draws a panel; row: the state the lens was fitted at, column: the state it reads.

    Args:
        axes: the panel.
        rows: a cell each, with ``fitted_at``, ``state_index``, ``mean`` and ``reason``.
        scale: of colours.
        hatches: reason -> hatch.

    Returns:
        Whether some pair of states has no row.
    """
    fitted, read = (rows[column].astype(int).to_numpy() for column in ("fitted_at", "state_index"))
    size = int(max(fitted.max(), read.max())) + 1
    cells = np.full((size, size), np.nan)
    cells[fitted, read] = rows["mean"]
    axes.set_facecolor(EMPTY)
    axes.imshow(cells, norm=scale.norm, cmap=scale.colours, interpolation="nearest", aspect="auto")
    reasons = rows["reason"].replace("", "no reason recorded").to_numpy()
    for reason, hatch in hatches.items():
        missing = rows["mean"].isna().to_numpy() & (reasons == reason)
        squares = [Rectangle((j - 0.5, i - 0.5), 1, 1) for i, j in zip(fitted[missing], read[missing], strict=True)]
        if squares:
            axes.add_collection(
                PatchCollection(squares, facecolor="white", edgecolor=HATCH, lw=0, hatch=hatch, label=f"_{reason}")
            )
    if size <= MOST:
        for i, j, value in zip(fitted, read, cells[fitted, read], strict=True):
            if np.isfinite(value):
                _number(axes, i, j, float(value), scale)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.tick_params(labelsize=7, length=2)
    return len(rows) < size * size


def explain(figure: Figure, hatches: dict[str, str], empty: bool) -> None:
    """A legend of cells without a colour."""
    patches = [Patch(facecolor="white", edgecolor=HATCH, lw=0, hatch=h, label=reason) for reason, h in hatches.items()]
    if empty:
        patches.append(
            Patch(facecolor=EMPTY, label="no pair: states of different width, no lens of the one fits the other")
        )
    if patches:
        figure.legend(handles=patches, loc="outside lower center", ncols=1, frameon=False, fontsize=8)


def colour_bar(figure: Figure, scale: Scale) -> None:
    """One colour bar beside all panels."""
    mappable = ScalarMappable(scale.norm, scale.colours)
    height = figure.get_figheight()
    bar = figure.colorbar(
        mappable, ax=figure.axes, extend=scale.extend, shrink=min(1.0, 3 / height), aspect=25, pad=0.01
    )
    bar.set_label(scale.label, fontsize=8)
    bar.ax.tick_params(labelsize=7)


def _number(axes: Axes, i: int, j: int, value: float, scale: Scale) -> None:
    """Two digits, without the zero before the point; dark on light colours."""
    text = f"{value:z.2f}" if abs(value) < 0.995 else f"{value:.1f}" if abs(value) < 9.95 else f"{value:.0f}"
    text = "0" if text == "0.00" else text.replace("0.", ".").replace("-", "−")
    red, green, blue, _ = scale.colours(float(np.clip(scale.norm(value), 0, 1)))
    dark = 0.3 * red + 0.59 * green + 0.11 * blue > 0.5
    axes.text(j, i, text, ha="center", va="center", fontsize=4.5, color="black" if dark else "white")

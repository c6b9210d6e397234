"""Palette, text and layout that all figures share; without pyplot, so that no figure stays open."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
import seaborn
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

INK = "#333333"
SOFT, LINE, BAND, EMPTY = "#5c5c5c", "#a6a6a6", "#d9d9d9", "#ededed"
"""Text of second rank, thin lines, bands of nulls, and cells without."""
TONES = (INK, "#96703c", "#4f8578", "#8a6f8f", "#7d7d7d", "#a3a847")
"""For what is no network: muted, so that none is taken for the colour of a network (``identity.COLOURS``)."""
KINDS = dict(zip(("update", "branch", "attention", "mlp"), TONES, strict=False))
NULLS = {"pairing": "#8c8c8c", "same-target": "#b08d57", "order-shuffled": "#6b8f71", "untrained": "#a98aa6"}

_RC = {
    **seaborn.axes_style("ticks"),
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.labelsize": 8,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.markersize": 3,
}
LINE_HEIGHT, LEGEND_COLUMNS, BELOW = 0.16, 3, 0.75
"""Inches of a line of an x label, entries of a legend side by side, and inches below a panel with a label of one line."""


def literal(text: str) -> str:
    """Text that may hold a user's words, to be drawn as it is: "$" starts no mathematics."""
    return text.replace("$", r"\$")


def shorten(text: str, width: int = 34) -> str:
    """One line of at most ``width`` characters, cut in the middle."""
    text = " ".join(text.split())
    return text if len(text) <= width else f"{text[: width // 2]}…{text[-(width // 2) + 1 :]}"


def wrap(text: str, width: int = 42) -> str:
    """A sentence over several lines, drawn as it is."""
    return literal("\n".join(textwrap.wrap(text, width)))


def grid(rows: int, columns: int, height: float = 2.7) -> tuple[Figure, np.ndarray]:
    """A figure 10 inches wide at 100 dpi, and its (rows, columns) array of Axes."""
    with rc_context(_RC):
        figure = Figure(figsize=(10, height * rows + 1.0), dpi=100, layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.flat:
        axes.tick_params(labelsize=8, width=0.7)
    return figure, panels


def place(figure: Figure, panels: np.ndarray, height: float) -> None:
    """Gives panels fixed places and the figure the height for them, in a fraction of a layout engine's time.

    Call it last: the lines of labels and of the legend, and the digits of tick labels, are counted.

    Args:
        figure: made by ``grid``.
        panels: its (rows, columns) array of Axes.
        height: of each, in inches.
    """
    figure.set_layout_engine("none")
    below = [BELOW + LINE_HEIGHT * max(axes.get_xlabel().count("\n") for axes in across) for across in panels]
    entries = len(figure.legends[0].get_texts()) if figure.legends else 0
    above = 0.5 if figure.get_suptitle() else 0.3
    whole = above + len(panels) * height + sum(below) + 0.18 * -(-entries // LEGEND_COLUMNS) - 0.1
    figure.set_figheight(whole)
    width, tops = figure.get_figwidth(), whole - above - np.cumsum([0, *(height + room for room in below[:-1])])
    pitch = (width - 0.1) / panels.shape[1]
    beside = 0.0
    for _ in range(2):  # how many ticks there are depends on the panels' height
        for (row, column), axes in np.ndenumerate(panels):
            x, y = column * pitch + beside, tops[row] - height
            axes.set_position((x / width, y / whole, (pitch - beside) / width, height / whole))
        beside = max(map(_beside, panels.flat))


def _beside(axes: Axes) -> float:
    """Inches that tick labels and y label need left of a panel."""
    ticks = axes.yaxis.get_major_formatter().format_ticks(list(axes.yaxis.get_majorticklocs()))
    lines, size = axes.get_ylabel().count("\n") + 1, float(axes.yaxis.label.get_fontsize()) / 72
    return 0.2 + 1.2 * size * lines + 0.07 * max(map(len, ticks), default=0)


def shows(figure: Figure, *tables: pd.DataFrame) -> Figure:
    """Gives a figure ``numbers``: the rows that it shows, which are written beside it as CSV."""
    rows = pd.concat(tables, ignore_index=True).drop(columns="kind", errors="ignore")
    figure.numbers = rows.dropna(axis="columns", how="all")  # type: ignore[attr-defined]
    return figure


def logarithmic(axes: Axes, scale: str, **options: float | str) -> None:
    """A logarithmic y axis, "log" or "symlog", whose numbers are plain text: mathematics takes a tenth of a figure's time."""
    axes.set_yscale(scale, **options)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", "\u2212"))


def title(axes: Axes, text: str) -> None:
    """Heads a panel, left-aligned and literal."""
    axes.set_title(literal(shorten(text)), loc="left", fontsize=9, color=INK)


def legend(figure: Figure, columns: int = LEGEND_COLUMNS) -> None:
    """One legend below all panels; every label appears once.

    Where lines of several colours share a label, the legend shows it in neutral ink: their dash or marker is the same.
    """
    handles: dict[str, Artist] = {}
    colours: dict[str, set[str]] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(str(label), handle)
            if isinstance(handle, Line2D):
                colours.setdefault(label, set()).add(str(handle.get_color()))
    if not handles:
        return
    handles = dict(sorted(handles.items(), key=lambda item: -item[1].get_zorder()))
    drawn = figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=columns, frameon=False, fontsize=8
    )
    for line, label in zip(drawn.legend_handles, handles, strict=True):
        if len(colours.get(label, ())) > 1:
            assert isinstance(line, Line2D)
            line.set_color(INK)

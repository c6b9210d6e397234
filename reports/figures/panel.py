"""One panel over depth: lines with their intervals and bands, other statistics, nulls, notes on undefined measures."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ..labels import STATISTICS
from ..rows import boundaries, curve, number_of_blocks, undefined
from .style import INK, NULLS, literal, logarithmic, wrap

_DASHES = {"mean": "-", "median": (0, (4, 1.5)), "weighted": (0, (1, 1)), "flattened": (0, (4, 1, 1, 1))}


class LineStyle(NamedTuple):
    """How a line is drawn; without a ``null_colour`` each null has its own colour."""

    colour: str
    marker: str = "o"
    label: str = ""
    null_colour: str | None = None
    dash: str | tuple[int, tuple[float, ...]] = "-"


def lines(
    axes: Axes, rows: pd.DataFrame, by: str, styles: dict[str, LineStyle], statistic: str, relative: bool
) -> list[str]:
    """Draws one line for each value of a column.

    Args:
        axes: the panel.
        rows: of those lines, with all statistics and all nulls.
        by: the column that tells the lines apart.
        styles: value -> style, in the order of drawing; values without rows are left out.
        statistic: drawn with interval and simultaneous band; the others are thin lines.
        relative: x is the relative depth, not the block's index.

    Returns:
        What is undefined, in words.
    """
    present = {value: rows[rows[by] == value] for value in styles if value in set(rows[by])}
    if not present:
        return ["not measured"]
    notes = {value: _line(axes, of_line, styles[value], statistic, relative) for value, of_line in present.items()}
    if len(set(notes.values())) == 1:
        return [note for note in notes.values() if note][:1]
    labels: dict[str, list[str]] = {}
    for value, note in notes.items():
        labels.setdefault(note, []).append(styles[value].label)
    return [f"{', '.join(names)}: {note}" for note, names in labels.items() if note]


def finish_axes(axes: Axes, rows: pd.DataFrame, shown: pd.DataFrame, relative: bool, notes: list[str]) -> None:
    """The x axis with the number of units and what is undefined, and the boundaries of segments of one model.

    Args:
        axes: the panel.
        rows: at least one row of every block of the models shown.
        shown: the rows shown.
        relative: x is the relative depth.
        notes: sentences below the axis.
    """
    depth = 1.0 if relative else number_of_blocks(rows)
    axes.set_xlim(0 if relative else 0.3, depth * 1.02 if relative else depth + 0.7)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=not relative))
    if rows["model"].nunique() == 1:
        for x in boundaries(rows, relative):
            axes.axvline(x, color="#9a9a9a", lw=0.6, ls=":", zorder=0)
    counts = shown[shown["null"] == "observed"].groupby("unit")["n_units"].max()
    units = [f"{count:,} {unit}s" for unit, count in counts.items() if count]
    label = ", ".join(["relative depth" if relative else "block", *units])
    axes.set_xlabel("\n".join(map(wrap, [label, *notes])))


def zero(axes: Axes) -> None:
    """A line at zero: above it the loss falls, below it the loss rises."""
    axes.axhline(0, color=INK, lw=0.7, zorder=1)


def stretch(axes: Axes, values: pd.Series) -> str:
    """Makes y symmetric-logarithmic where one linear scale would flatten most values.

    Returns:
        Words for the axis label.
    """
    sizes = values.abs()[values.abs() > 0]
    if sizes.empty or sizes.max() < 50 * sizes.median():
        return ""
    logarithmic(axes, "symlog", linthresh=10.0 ** np.floor(np.log10(sizes.median())), linscale=0.6)
    return " (symmetric log)"


def _line(axes: Axes, rows: pd.DataFrame, style: LineStyle, statistic: str, relative: bool) -> str:
    nulls = rows[(rows["null"] != "observed") & (rows["statistic"] == statistic)]
    for (null, _), of_null in nulls.groupby(["null", "null_seed"], sort=False, dropna=False):
        _null(axes, curve(of_null, relative), str(null), style.null_colour)
    observed = rows[rows["null"] == "observed"]
    for other, companion in observed[observed["statistic"] != statistic].groupby("statistic", sort=False):
        drawn, name = curve(companion, relative), STATISTICS.get(str(other), literal(str(other)))
        dash = _DASHES.get(str(other), "-.")
        axes.plot(drawn["x"], drawn["mean"], color=style.colour, ls=dash, lw=0.9, label=name, zorder=3)
    main = observed[observed["statistic"] == statistic]
    if main.empty:
        return f"{STATISTICS.get(statistic, statistic)} not measured"
    drawn = curve(main, relative)
    _uncertainty(axes, drawn, style.colour)
    label = style.label or f"{STATISTICS.get(statistic, statistic)}, 95 % interval"
    axes.plot(
        drawn["x"],
        drawn["mean"],
        color=style.colour,
        marker=style.marker,
        ls=style.dash,
        ms=min(3.0, 80 / len(drawn)),
        lw=1.3,
        label=literal(label),
        zorder=4,
    )
    return undefined(drawn)


def _uncertainty(axes: Axes, drawn: pd.DataFrame, colour: str) -> None:
    if drawn["band_lo"].notna().any():
        label = "simultaneous 95 % band over depth"
        x, low, high = _stairs(drawn, "band_lo", "band_hi")
        axes.fill_between(x, low, high, color=colour, alpha=0.18, lw=0, label=label, zorder=2)
    axes.vlines(drawn["x"], drawn["lo"], drawn["hi"], color=colour, lw=min(1.6, 60 / len(drawn)), alpha=0.75, zorder=3)


def _null(axes: Axes, drawn: pd.DataFrame, null: str, colour: str | None) -> None:
    if null == "untrained":
        label = "null: untrained, each seed"
        axes.plot(drawn["x"], drawn["mean"], color=colour or NULLS[null], lw=0.6, alpha=0.8, label=label, zorder=1)
        return
    colour = colour or NULLS.get(null, INK)
    x, low, high, mean = _stairs(drawn, "lo", "hi", "mean")
    axes.fill_between(x, low, high, color=colour, alpha=0.3, lw=0, zorder=1)
    axes.plot(x, mean, color=colour, lw=0.8, label=literal(f"null: {null}, with interval"), zorder=1)


def _stairs(drawn: pd.DataFrame, *columns: str) -> list[np.ndarray]:
    """x and columns as steps of one block's width, so that a block between undefined ones shows, too."""
    edges = np.stack([drawn["x"] - drawn["width"] / 2, drawn["x"] + drawn["width"] / 2], axis=1).ravel()
    return [edges, *(np.repeat(drawn[column].to_numpy(float), 2) for column in columns)]

"""Drawing one panel: measured lines with their uncertainty, companions and nulls, and what is undefined."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ..labels import STATISTICS
from ..rows import boundaries, curve, undefined
from .style import INK, NULLS, literal, wrap

_DASHES = {"mean": "-", "median": (0, (4, 1.5)), "weighted": (0, (1, 1)), "flattened": (0, (4, 1, 1, 1))}


class LineStyle(NamedTuple):
    """How a line is drawn; without a ``null_colour`` each of its nulls has its own."""

    colour: str
    marker: str = "o"
    label: str = ""
    null_colour: str | None = None


def lines(
    axes: Axes, rows: pd.DataFrame, by: str, looks: dict[str, LineStyle], statistic: str, relative: bool
) -> list[str]:
    """Draws one line for each value of a column.

    Args:
        axes: the panel.
        rows: everything known of those lines: all statistics, all nulls.
        by: the column that tells them apart.
        looks: value -> look, in the order of drawing; values without rows are passed over.
        statistic: drawn with interval and simultaneous band; the others are thin companions.
        relative: x is the relative depth, not the block's index.

    Returns:
        What is undefined, in words.
    """
    present = {value: rows[rows[by] == value] for value in looks if value in set(rows[by])}
    if not present:
        return ["not measured"]
    notes = {value: _line(axes, found, looks[value], statistic, relative) for value, found in present.items()}
    if len(set(notes.values())) == 1:
        return [note for note in notes.values() if note][:1]
    sharing: dict[str, list[str]] = {}
    for value, note in notes.items():
        sharing.setdefault(note, []).append(looks[value].label)
    return [f"{', '.join(labels)}: {note}" for note, labels in sharing.items() if note]


def finish_axes(axes: Axes, rows: pd.DataFrame, here: pd.DataFrame, relative: bool, notes: list[str]) -> None:
    """The x axis with the number of units and what is undefined, and the boundaries of segments of one model.

    Args:
        axes: the panel.
        rows: at least one row of every block of the models shown.
        here: the rows shown.
        relative: x is the relative depth.
        notes: sentences below the axis.
    """
    depth = 1.0 if relative else float((rows["index"] / rows["depth"]).max())
    axes.set_xlim(0 if relative else 0.3, depth * 1.02 if relative else depth + 0.7)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=not relative))
    if rows["model"].nunique() == 1:
        for x in boundaries(rows, relative):
            axes.axvline(x, color="#9a9a9a", lw=0.6, ls=":", zorder=0)
    counts = here[here["null"] == "observed"].groupby("unit")["n_units"].max()
    units = [f"{count:,} {unit}s" for unit, count in counts.items() if count]
    place = ", ".join(["relative depth" if relative else "block", *units])
    axes.set_xlabel("\n".join(map(wrap, [place, *notes])))


def zero(axes: Axes) -> None:
    """The line that parts going down the loss from going up."""
    axes.axhline(0, color=INK, lw=0.7, zorder=1)


def stretch(axes: Axes, values: pd.Series) -> str:
    """Makes y symmetric-logarithmic where one linear scale would flatten most values.

    Returns:
        What to add to the axis label.
    """
    sizes = values.abs()[values.abs() > 0]
    if sizes.empty or sizes.max() < 50 * sizes.median():
        return ""
    axes.set_yscale("symlog", linthresh=10.0 ** np.floor(np.log10(sizes.median())), linscale=0.6)
    return " (symmetric log)"


def _line(axes: Axes, rows: pd.DataFrame, look: LineStyle, statistic: str, relative: bool) -> str:
    nulls = rows[(rows["null"] != "observed") & (rows["statistic"] == statistic)]
    for (null, _), found in nulls.groupby(["null", "null_seed"], sort=False):
        _null(axes, curve(found, relative), str(null), look.null_colour)
    observed = rows[rows["null"] == "observed"]
    for other, found in observed[observed["statistic"] != statistic].groupby("statistic", sort=False):
        drawn, name = curve(found, relative), STATISTICS.get(str(other), literal(str(other)))
        dash = _DASHES.get(str(other), "-.")
        axes.plot(drawn["x"], drawn["mean"], color=look.colour, ls=dash, lw=0.9, label=name, zorder=3)
    main = observed[observed["statistic"] == statistic]
    if main.empty:
        return f"{STATISTICS.get(statistic, statistic)} not measured"
    drawn = curve(main, relative)
    _uncertainty(axes, drawn, look.colour)
    label = look.label or f"{STATISTICS.get(statistic, statistic)}, 95 % interval"
    axes.plot(
        drawn["x"],
        drawn["mean"],
        color=look.colour,
        marker=look.marker,
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
    """x and columns with each block as wide as its place, so that a block between undefined ones shows too."""
    edges = np.stack([drawn["x"] - drawn["width"] / 2, drawn["x"] + drawn["width"] / 2], axis=1).ravel()
    return [edges, *(np.repeat(drawn[column].to_numpy(float), 2) for column in columns)]

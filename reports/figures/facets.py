"""Panels by network, kind of update and gradient: which there are, what they share, how lines are told apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..rows import kinds
from .identity import identities
from .panel import LineStyle
from .style import KINDS, TONES, shorten


def rows_where(rows: pd.DataFrame, **values: str) -> pd.DataFrame:
    """The rows with these values: column -> value."""
    for column, value in values.items():
        rows = rows[rows[column] == value]
    return rows


def models_and_kinds(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """(model, kind of update) of each row of panels, in reading order."""
    return [(model, kind) for model in rows["model"].unique() for kind in kinds(rows_where(rows, model=model))]


def gradients_and_lenses(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """(gradient, lens) of each column of panels; input, output, readout is the order of the alphabet, too."""
    return sorted(set(zip(rows["gradient"], rows["lens"], strict=True)))


def share_scale(panels: np.ndarray, groups: list[str]) -> None:
    """Gives rows of panels of one group one y scale; every panel keeps its own tick labels.

    Args:
        panels: (rows, columns) of Axes.
        groups: of each row.
    """
    first: dict[str, Axes] = {}
    for across, group in zip(panels, groups, strict=True):
        for axes in across:
            if first.setdefault(group, axes) is not axes:
                axes.sharey(first[group])


def remove(panels: np.ndarray) -> None:
    """Takes panels that show nothing out of their figure."""
    for axes in panels.flat:
        axes.remove()


def kind_colour(kind: str) -> str:
    """The colour of a kind of update, another tone for a part without one."""
    return KINDS.get(kind, TONES[4])


def model_styles(rows: pd.DataFrame, table: pd.DataFrame) -> dict[str, LineStyle]:
    """How the line of each model is drawn; where several share a panel, nulls have their model's colour.

    Args:
        rows: those that are shown.
        table: the whole results table, which gives each network its colour, marker and dash.
    """
    shown = list(map(str, rows["model"].unique()))
    names = dict(zip(shown, _short(shown), strict=True))
    return {
        model: LineStyle(drawn.colour, drawn.marker, names[model], drawn.colour if len(shown) > 1 else None, drawn.dash)
        for model, drawn in identities(table).items()
        if model in names
    }


def _short(models: list[str]) -> list[str]:
    """Names short enough for a legend, numbered where shortening makes two of them alike."""
    short = [shorten(model, 40) for model in models]
    return short if len(set(short)) == len(short) else [f"{number}: {name}" for number, name in enumerate(short, 1)]

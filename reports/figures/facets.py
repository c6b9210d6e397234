"""Panels of a figure by network and gradient."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..rows import kinds
from .panel import LineStyle
from .style import KINDS, MARKERS, PALETTE


def _of(rows: pd.DataFrame, **values: str) -> pd.DataFrame:
    for column, value in values.items():
        rows = rows[rows[column] == value]
    return rows


def _facets(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """(model, kind) in reading order."""
    return [(model, kind) for model in rows["model"].unique() for kind in kinds(_of(rows, model=model))]


def _columns(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """(gradient, lens) in reading order; "input" < "output" < "readout" is the alphabet's order, too."""
    return sorted(set(zip(rows["gradient"], rows["lens"], strict=True)))


def _share(panels: np.ndarray, groups: list[str]) -> None:
    """One y scale for all rows of panels of a group, every panel keeping its own numbers."""
    first: dict[str, Axes] = {}
    for across, group in zip(panels, groups, strict=True):
        for axes in across:
            if first.setdefault(group, axes) is not axes:
                axes.sharey(first[group])


def _drop(panels: np.ndarray) -> None:
    for axes in panels.flat:
        axes.remove()


def _colour(kind: str) -> str:
    return KINDS.get(kind, PALETTE[-1])


def _model_looks(rows: pd.DataFrame) -> dict[str, LineStyle]:
    models = list(rows["model"].unique())
    return {
        model: LineStyle(colour, MARKERS[i // len(PALETTE) % len(MARKERS)], model, colour if len(models) > 1 else None)
        for i, model in enumerate(models)
        for colour in [PALETTE[i % len(PALETTE)]]
    }

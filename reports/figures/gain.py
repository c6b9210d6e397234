"""Gain of each block by depth: in nats along the gradients, and in bits of the prediction."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..labels import GAINS, PREDICTION, convention
from ..rows import require, select_rows
from .facets import (
    gradients_and_lenses,
    kind_colour,
    model_styles,
    models_and_kinds,
    remove,
    rows_where,
    share_scale,
)
from .panel import LineStyle, finish_axes, lines, stretch, zero
from .style import TONES, grid, legend, literal, shows, title


def gain(
    table: pd.DataFrame,
    *,
    statistic: str = "mean",
    update: str | None = None,
    target: str = "label",
    subset: str = "all",
) -> Figure:
    """What each block gains: in nats along the three gradients, and in bits under a lens.

    First one row per lens, where models share panels: gain, movement and efficiency in prediction space.
    Then one row per model and kind of update, one column per gradient,
    realised and unexplained gain beside the gradient they belong to.

    Args:
        table: a results table of any number of models.
        statistic: of the gains; efficiency is always a ratio of sums.
        update: "update", "branch", or a part's name; by default all.
        target: what the loss is taken against.
        subset: which units.

    Returns:
        A Figure; positive is a falling loss.

    Raises:
        ItinfError: a column, every measure, or an asked value is not in the table.
    """
    rows = select_rows(table, (*GAINS, *PREDICTION), target=target, subset=subset, kind=update)
    require(rows, "statistic", statistic)
    rows = rows[rows["statistic"].isin([statistic, "ratio"])].replace({"kind": {"": "update"}})
    nats = rows[rows["measure"].isin(list(GAINS))]
    bits = rows[rows["measure"].isin(list(PREDICTION)) & ~rows["form"].str.startswith("merged")]
    several = rows["model"].nunique() > 1
    facets, columns, lenses = models_and_kinds(nats), gradients_and_lenses(nats), list(bits["lens"].unique())
    figure, panels = grid(len(lenses) + len(facets), max(len(columns), len(PREDICTION) if lenses else 0))
    above, below = panels[: len(lenses)], panels[len(lenses) :, : len(columns)]
    remove(above[:, len(PREDICTION) :])
    remove(panels[len(lenses) :, len(columns) :])
    for lens, across in zip(lenses, above, strict=True):
        label = convention(lens=lens, target=target, subset=subset)
        _bits(across, rows_where(bits, lens=lens), model_styles(rows, table), statistic, label)
    _nats(below, nats, several, statistic, convention(target=target, subset=subset))
    legend(figure)
    return shows(figure, bits, nats)


def _bits(across: Iterable[Axes], rows: pd.DataFrame, styles: dict[str, LineStyle], statistic: str, label: str) -> None:
    """One row of panels: gain, movement and efficiency through one lens, of all models."""
    for (measure, (name, formula)), axes in zip(PREDICTION.items(), across, strict=False):
        shown = rows_where(rows, measure=measure)
        several = len(styles) > 1
        notes = lines(axes, shown, "model", styles, "ratio" if measure == "efficiency" else statistic, several)
        axes.set_ylabel(literal(f"{formula}\n{label}"))
        zero(axes)
        finish_axes(axes, rows, shown, several, notes)
        title(axes, name if several else f"{next(iter(styles))} · {name}")


def _nats(panels: np.ndarray, rows: pd.DataFrame, several: bool, statistic: str, label: str) -> None:
    """A row of panels for each model and kind of update: gains along each gradient."""
    facets, columns = models_and_kinds(rows), gradients_and_lenses(rows)
    share_scale(panels, [model for model, _ in facets])
    for (model, kind), across in zip(facets, panels, strict=True):
        facet = rows_where(rows, model=model, kind=kind)
        for (gradient, lens), axes in zip(columns, across, strict=True):
            shown = rows_where(facet, gradient=gradient, lens=lens)
            notes = lines(axes, shown, "measure", _gain_styles(kind), statistic, several)
            scale = stretch(axes, rows_where(rows, model=model)["mean"])
            what = f"gain of {kind}, nats per unit\n{convention(gradient=gradient, lens=lens)}{scale}"
            axes.set_ylabel(literal(f"{what}\n{label}"))
            zero(axes)
            finish_axes(axes, facet, shown, several, notes)
            title(axes, f"{model} · {kind}")


def _gain_styles(kind: str) -> dict[str, LineStyle]:
    colours = (kind_colour(kind), TONES[4], TONES[5])
    return {
        measure: LineStyle(colour, marker, label, null)
        for (measure, label), colour, marker, null in zip(
            GAINS.items(), colours, "os^", (None, TONES[4], TONES[5]), strict=True
        )
    }

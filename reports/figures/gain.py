"""Gain by depth."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..labels import GAINS, PREDICTION, said
from ..rows import require, select_rows
from .facets import _colour, _columns, _drop, _facets, _model_looks, _of, _share
from .panel import LineStyle, finish_axes, lines, stretch, zero
from .style import INK, PALETTE, grid, legend, literal, title


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
    nats, bits = (
        rows[rows["measure"].isin(list(GAINS))],
        rows[rows["measure"].isin(list(PREDICTION)) & ~rows["form"].str.startswith("merged")],
    )
    several = rows["model"].nunique() > 1
    facets, columns, lenses = _facets(nats), _columns(nats), list(bits["lens"].unique())
    figure, panels = grid(len(lenses) + len(facets), max(len(columns), len(PREDICTION) if lenses else 0))
    above, below = panels[: len(lenses)], panels[len(lenses) :, : len(columns)]
    _drop(above[:, len(PREDICTION) :])
    _drop(panels[len(lenses) :, len(columns) :])
    _share(below, [model for model, _ in facets])
    for lens, across in zip(lenses, above, strict=True):
        _prediction(
            across, _of(bits, lens=lens), _model_looks(rows), statistic, said(lens=lens, target=target, subset=subset)
        )
    for (model, kind), across in zip(facets, below, strict=True):
        facet = _of(nats, model=model, kind=kind)
        for (gradient, lens), axes in zip(columns, across, strict=True):
            here = _of(facet, gradient=gradient, lens=lens)
            notes = lines(axes, here, "measure", _gain_looks(kind), statistic, several)
            scale = stretch(axes, _of(nats, model=model)["mean"])
            axes.set_ylabel(
                literal(
                    f"gain of {kind}, nats per unit\n{said(gradient=gradient, lens=lens)}{scale}\n"
                    f"{said(target=target, subset=subset)}"
                )
            )
            zero(axes)
            finish_axes(axes, facet, here, several, notes)
            title(axes, f"{model} · {kind}")
    legend(figure)
    return figure


def _prediction(
    across: Iterable[Axes], rows: pd.DataFrame, looks: dict[str, LineStyle], statistic: str, convention: str
) -> None:
    for (measure, (name, label)), axes in zip(PREDICTION.items(), across, strict=False):
        here = _of(rows, measure=measure)
        notes = lines(axes, here, "model", looks, "ratio" if measure == "efficiency" else statistic, len(looks) > 1)
        axes.set_ylabel(literal(f"{label}\n{convention}"))
        zero(axes)
        finish_axes(axes, rows, here, len(looks) > 1, notes)
        title(axes, name if len(looks) > 1 else f"{next(iter(looks))} · {name}")


def _gain_looks(kind: str) -> dict[str, LineStyle]:
    colours = (_colour(kind), INK, PALETTE[4])
    return {
        measure: LineStyle(colour, marker, label, null)
        for (measure, label), colour, marker, null in zip(
            GAINS.items(), colours, "os^", (None, INK, PALETTE[4]), strict=True
        )
    }

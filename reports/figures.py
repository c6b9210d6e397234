"""The first figures: alignment, update norm and gain against depth, from a results table."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from . import panel
from .conventions import GAINS, GAUGE_FREE, PREDICTION, cosine, said
from .panel import Look
from .series import choose, kinds, require
from .style import INK, KINDS, MARKERS, PALETTE, grid, key, literal, title


def alignment(
    table: pd.DataFrame,
    *,
    form: str | None = None,
    statistic: str = "mean",
    update: str | None = None,
    target: str = "label",
    subset: str = "all",
) -> Figure:
    """Cosine of update and −gradient against depth: one row per model and kind of update, one column per gradient.

    In the form "gauge-free", the only one that means the same in every architecture, models share
    panels; the rows are then the share of units that descend and the normalised product.

    Args:
        table: a results table of any number of models.
        form: "raw", "centred", "gauge-fixed" or "gauge-free"; by default raw for one model, and
            gauge-free for several where the table has it.
        statistic: drawn with interval and nulls; the others are thin lines.
        update: "update", "branch", or a part's name; by default all.
        target: what the loss is taken against.
        subset: which units.

    Returns:
        A Figure; positive is down the loss.

    Raises:
        ItinfError: a column, the measure, or an asked value is not in the table.
    """
    rows = choose(table, ("alignment", "descent_share"), target=target, subset=subset, kind=update)
    several = rows["model"].nunique() > 1
    if form is None:
        form = "gauge-free" if several and "gauge-free" in set(rows["form"]) else "raw"
    rows = choose(rows, ("alignment", "descent_share"), form=form)
    if form == "gauge-free":
        return _gauge_free(rows, several, said(form=form, target=target, subset=subset))
    require(rows, "statistic", statistic)
    facets, columns = _facets(rows), _columns(rows)
    figure, panels = grid(len(facets), len(columns))
    _share(panels, [model for model, _ in facets])
    for (model, kind), across in zip(facets, panels, strict=True):
        facet = _of(rows, model=model, kind=kind)
        for (gradient, lens), axes in zip(columns, across, strict=True):
            here = _of(facet, gradient=gradient, lens=lens)
            notes = panel.lines(axes, here, "kind", {kind: Look(_colour(kind))}, statistic, several)
            axes.set_ylabel(
                literal(
                    f"alignment, {said(gradient=gradient, lens=lens)}\n{cosine(kind, gradient)}\n"
                    f"{said(form=form, target=target, subset=subset)}"
                )
            )
            panel.zero(axes)
            panel.dress(axes, facet, here, several, notes)
            title(axes, f"{model} · {kind}")
    key(figure)
    return figure


def update_norm(
    table: pd.DataFrame, *, statistic: str = "mean", update: str | None = None, subset: str = "all"
) -> Figure:
    """Length of the update beside the state before it, |update| / |hₗ₋₁|, against depth: one panel per model.

    Args:
        table: a results table of any number of models.
        statistic: drawn with interval and nulls; the others are thin lines.
        update: "update", "branch", or a part's name; by default all.
        subset: which units.

    Returns:
        A Figure with one logarithmic scale for all models.

    Raises:
        ItinfError: a column, the measure, or an asked value is not in the table.
    """
    rows = choose(table, ("update_norm",), subset=subset, kind=update)
    require(rows, "statistic", statistic)
    models = list(rows["model"].unique())
    several = len(models) > 1
    across = min(len(models), 3)
    figure, panels = grid(-(-len(models) // across), across, height=3.2)
    _share(panels, [""] * len(panels))
    for axes, model in zip(panels.flat, models, strict=False):
        facet = _of(rows, model=model)
        looks = {kind: Look(_colour(kind), label=kind, null_colour=_colour(kind)) for kind in kinds(facet)}
        notes = panel.lines(axes, facet, "kind", looks, statistic, several)
        axes.set_yscale("log", nonpositive="clip")
        axes.set_ylabel(literal(f"|update| / |hₗ₋₁|, per unit\n{said(statistic=statistic, subset=subset)}"))
        panel.dress(axes, facet, facet, several, notes)
        title(axes, model)
    _drop(panels.ravel()[len(models) :])
    key(figure)
    return figure


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
    rows = choose(table, (*GAINS, *PREDICTION), target=target, subset=subset, kind=update)
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
            notes = panel.lines(axes, here, "measure", _gain_looks(kind), statistic, several)
            scale = panel.stretch(axes, _of(nats, model=model)["mean"])
            axes.set_ylabel(
                literal(
                    f"gain of {kind}, nats per unit\n{said(gradient=gradient, lens=lens)}{scale}\n"
                    f"{said(target=target, subset=subset)}"
                )
            )
            panel.zero(axes)
            panel.dress(axes, facet, here, several, notes)
            title(axes, f"{model} · {kind}")
    key(figure)
    return figure


def _prediction(
    across: Iterable[Axes], rows: pd.DataFrame, looks: dict[str, Look], statistic: str, convention: str
) -> None:
    for (measure, (name, label)), axes in zip(PREDICTION.items(), across, strict=False):
        here = _of(rows, measure=measure)
        notes = panel.lines(
            axes, here, "model", looks, "ratio" if measure == "efficiency" else statistic, len(looks) > 1
        )
        axes.set_ylabel(literal(f"{label}\n{convention}"))
        panel.zero(axes)
        panel.dress(axes, rows, here, len(looks) > 1, notes)
        title(axes, name if len(looks) > 1 else f"{next(iter(looks))} · {name}")


def _gauge_free(rows: pd.DataFrame, several: bool, convention: str) -> Figure:
    """Where several models share panels, one kind of update and one null are shown: the first kind, and pairing."""
    shown = kinds(rows)[:1] if several else kinds(rows)
    rows = rows[rows["kind"].isin(shown)]
    if several:
        rows = rows[rows["null"].isin(["observed", "pairing"])]
    looks = _model_looks(rows) if several else {k: Look(_colour(k), "o", k, _colour(k)) for k in shown}
    measures = [measure for measure in GAUGE_FREE if measure in set(rows["measure"])]
    columns = _columns(rows)
    # every model may have something undefined to be said below its panels
    figure, panels = grid(len(measures), len(columns), height=2.5 + 0.35 * rows["model"].nunique())
    _share(panels, measures)
    for measure, across in zip(measures, panels, strict=True):
        statistic, name, label = GAUGE_FREE[measure]
        for (gradient, lens), axes in zip(columns, across, strict=True):
            here = _of(rows, measure=measure, gradient=gradient, lens=lens)
            notes = panel.lines(axes, here, "model" if several else "kind", looks, statistic, several)
            what = label.format(kind=shown[0] if len(shown) == 1 else "update")
            axes.set_ylabel(literal(f"{what}\n{said(gradient=gradient, lens=lens)}\n{convention}"))
            if measure == "alignment":
                panel.zero(axes)
            panel.dress(axes, rows, here, several, notes)
            title(axes, name if several else f"{rows['model'].iloc[0]} · {name}")
    key(figure)
    return figure


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


def _model_looks(rows: pd.DataFrame) -> dict[str, Look]:
    models = list(rows["model"].unique())
    return {
        model: Look(colour, MARKERS[i // len(PALETTE) % len(MARKERS)], model, colour if len(models) > 1 else None)
        for i, model in enumerate(models)
        for colour in [PALETTE[i % len(PALETTE)]]
    }


def _gain_looks(kind: str) -> dict[str, Look]:
    colours = (_colour(kind), INK, PALETTE[4])
    return {
        measure: Look(colour, marker, label, null)
        for (measure, label), colour, marker, null in zip(
            GAINS.items(), colours, "os^", (None, INK, PALETTE[4]), strict=True
        )
    }

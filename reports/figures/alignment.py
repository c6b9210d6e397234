"""Alignment of updates with −gradient by depth."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from ..labels import GAUGE_FREE, convention, cosine
from ..rows import kinds, require, select_rows
from .facets import gradients_and_lenses, kind_colour, model_styles, models_and_kinds, rows_where, share_scale
from .panel import LineStyle, finish_axes, lines, zero
from .style import grid, legend, literal, shows, title


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
    rows = select_rows(table, ("alignment", "descent_share"), target=target, subset=subset, kind=update)
    several = rows["model"].nunique() > 1
    if form is None:
        form = "gauge-free" if several and "gauge-free" in set(rows["form"]) else "raw"
    rows = select_rows(rows, ("alignment", "descent_share"), form=form)
    label = convention(form=form, target=target, subset=subset)
    if form == "gauge-free":
        return _gauge_free(rows, table, several, label)
    require(rows, "statistic", statistic)
    return _cosines(rows, several, statistic, label)


def _cosines(rows: pd.DataFrame, several: bool, statistic: str, label: str) -> Figure:
    """A row of panels for each model and kind of update."""
    facets, columns = models_and_kinds(rows), gradients_and_lenses(rows)
    figure, panels = grid(len(facets), len(columns))
    share_scale(panels, [model for model, _ in facets])
    for (model, kind), across in zip(facets, panels, strict=True):
        facet = rows_where(rows, model=model, kind=kind)
        for (gradient, lens), axes in zip(columns, across, strict=True):
            shown = rows_where(facet, gradient=gradient, lens=lens)
            notes = lines(axes, shown, "kind", {kind: LineStyle(kind_colour(kind))}, statistic, several)
            what = f"alignment, {convention(gradient=gradient, lens=lens)}"
            axes.set_ylabel(literal(f"{what}\n{cosine(kind, gradient)}\n{label}"))
            zero(axes)
            finish_axes(axes, facet, shown, several, notes)
            title(axes, f"{model} · {kind}")
    legend(figure)
    return shows(figure, rows)


def _gauge_free(rows: pd.DataFrame, table: pd.DataFrame, several: bool, label: str) -> Figure:
    """A row of panels for each measure; several models share panels and show their first kind of update and pairing."""
    shown_kinds = kinds(rows)[:1] if several else kinds(rows)
    rows = rows[rows["kind"].isin(shown_kinds)]
    if several:
        rows = rows[rows["null"].isin(["observed", "pairing"])]
        styles = model_styles(rows, table)
    else:
        styles = {kind: LineStyle(kind_colour(kind), "o", kind, kind_colour(kind)) for kind in shown_kinds}
    measures = [measure for measure in GAUGE_FREE if measure in set(rows["measure"])]
    columns = gradients_and_lenses(rows)
    # below its panels every model may have a note of what is undefined
    figure, panels = grid(len(measures), len(columns), height=2.5 + 0.35 * rows["model"].nunique())
    share_scale(panels, measures)
    for measure, across in zip(measures, panels, strict=True):
        statistic, name, formula = GAUGE_FREE[measure]
        formula = formula.format(kind=shown_kinds[0] if len(shown_kinds) == 1 else "update")
        for (gradient, lens), axes in zip(columns, across, strict=True):
            shown = rows_where(rows, measure=measure, gradient=gradient, lens=lens)
            notes = lines(axes, shown, "model" if several else "kind", styles, statistic, several)
            axes.set_ylabel(literal(f"{formula}\n{convention(gradient=gradient, lens=lens)}\n{label}"))
            if measure == "alignment":
                zero(axes)
            finish_axes(axes, rows, shown, several, notes)
            title(axes, name if several else f"{rows['model'].iloc[0]} · {name}")
    legend(figure)
    return shows(figure, rows)

"""The first figures: alignment, update norm and gain against depth, from a results table."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from ..labels import GAUGE_FREE, cosine, said
from ..rows import kinds, require, select_rows
from .facets import _colour, _columns, _facets, _model_looks, _of, _share
from .panel import LineStyle, finish_axes, lines, zero
from .style import grid, legend, literal, title


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
            notes = lines(axes, here, "kind", {kind: LineStyle(_colour(kind))}, statistic, several)
            axes.set_ylabel(
                literal(
                    f"alignment, {said(gradient=gradient, lens=lens)}\n{cosine(kind, gradient)}\n"
                    f"{said(form=form, target=target, subset=subset)}"
                )
            )
            zero(axes)
            finish_axes(axes, facet, here, several, notes)
            title(axes, f"{model} · {kind}")
    legend(figure)
    return figure


def _gauge_free(rows: pd.DataFrame, several: bool, convention: str) -> Figure:
    """Where several models share panels, one kind of update and one null are shown: the first kind, and pairing."""
    shown = kinds(rows)[:1] if several else kinds(rows)
    rows = rows[rows["kind"].isin(shown)]
    if several:
        rows = rows[rows["null"].isin(["observed", "pairing"])]
    looks = _model_looks(rows) if several else {k: LineStyle(_colour(k), "o", k, _colour(k)) for k in shown}
    measures = [measure for measure in GAUGE_FREE if measure in set(rows["measure"])]
    columns = _columns(rows)
    # every model may have something undefined to be said below its panels
    figure, panels = grid(len(measures), len(columns), height=2.5 + 0.35 * rows["model"].nunique())
    _share(panels, measures)
    for measure, across in zip(measures, panels, strict=True):
        statistic, name, label = GAUGE_FREE[measure]
        for (gradient, lens), axes in zip(columns, across, strict=True):
            here = _of(rows, measure=measure, gradient=gradient, lens=lens)
            notes = lines(axes, here, "model" if several else "kind", looks, statistic, several)
            what = label.format(kind=shown[0] if len(shown) == 1 else "update")
            axes.set_ylabel(literal(f"{what}\n{said(gradient=gradient, lens=lens)}\n{convention}"))
            if measure == "alignment":
                zero(axes)
            finish_axes(axes, rows, here, several, notes)
            title(axes, name if several else f"{rows['model'].iloc[0]} · {name}")
    legend(figure)
    return figure

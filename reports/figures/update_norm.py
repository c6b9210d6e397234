"""Length of each block's update by depth."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from ..labels import convention
from ..rows import kinds, require, select_rows
from .facets import kind_colour, remove, rows_where, share_scale
from .panel import LineStyle, finish_axes, lines
from .style import grid, legend, literal, logarithmic, shows, title


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
    rows = select_rows(table, ("update_norm",), subset=subset, kind=update)
    require(rows, "statistic", statistic)
    models = list(rows["model"].unique())
    several = len(models) > 1
    across = min(len(models), 3)
    figure, panels = grid(-(-len(models) // across), across, height=3.2)
    share_scale(panels, [""] * len(panels))
    for axes, model in zip(panels.flat, models, strict=False):
        facet = rows_where(rows, model=model)
        styles = {
            kind: LineStyle(kind_colour(kind), label=kind, null_colour=kind_colour(kind)) for kind in kinds(facet)
        }
        notes = lines(axes, facet, "kind", styles, statistic, several)
        logarithmic(axes, "log", nonpositive="clip")
        axes.set_ylabel(literal(f"|update| / |hₗ₋₁|, per unit\n{convention(statistic=statistic, subset=subset)}"))
        finish_axes(axes, facet, facet, several, notes)
        title(axes, model)
    remove(panels.ravel()[len(models) :])
    legend(figure)
    return shows(figure, rows)

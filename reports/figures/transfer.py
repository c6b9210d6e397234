"""Transfer of lenses: matrices of every lens at every state."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from itinf.errors import NothingToDrawError

from ..labels import MATCHED, UNTRAINED, convention
from ..rows import fitted_at_one_state, is_own_lens, require, select_rows
from .matrix import Scale, colour_bar, explain, hatching, matrix, scale
from .style import INK, grid, literal, shorten, shows

ACROSS = 5
"""Networks side by side; more of them go on below."""
SQUARE = 8.7
"""Inches of a figure's width that matrices have; their panels are about square."""
KINDS = {"": "", MATCHED: "channels matched", UNTRAINED: "untrained"}
"""Kinds of matrices, and their titles."""


def transfer(table: pd.DataFrame, *, measure: str = "retention", target: str = "label") -> Figure:
    """Matrices of what a lens fitted at one state retains at another, side by side.

    First of lenses as they are; then with the channels of the state matched to those the lens was fitted on,
    without labels; then of untrained networks. These know no label, so their target is always their own answer.

    Args:
        table: transfers of any number of networks.
        measure: "retention", "raw_retention", "readable", "transfer_penalty" or "transfer_kl".
        target: of what is retained: "label", or "model", what the state tells of the network's own final
            distribution. Penalties have one target.

    Returns:
        A Figure; rows are where the lens was fitted, columns where it reads. Missing cells are hatched by
        their reason; pairs of states that no lens fits both of are grey.

    Raises:
        ItinfError: a column, the measure or the target is not in the table.
    """
    rows = fitted_at_one_state(select_rows(table, (measure,)))
    moved = rows.loc[~is_own_lens(rows), "model"].unique()
    if len(rows) and not len(moved):
        raise NothingToDrawError(f"The table has {measure}, but of no lens at another state than its own.")
    rows = rows[rows["model"].isin(moved)]  # a transfer without pairs has no matrix
    targets = dict.fromkeys(KINDS, "")  # "" where the measure has one target only
    if rows["target"].nunique() > 1:
        require(rows, "target", target)
        targets = {kind: "model" if kind == UNTRAINED else target for kind in KINDS}
    matrices = {(model, kind): cells for kind in KINDS for model, cells in matrices_of(rows, kind, targets[kind])}
    if not matrices:
        raise NothingToDrawError(f"The table has {measure}, but of no lens that was fitted at one state.")
    models = [model for model in rows["model"].unique() if any(name == model for name, _ in matrices)]
    kinds = [kind for kind in KINDS if any(of == kind for _, of in matrices)]
    all_cells = pd.concat(matrices.values())
    colours, hatches, some_empty = scale(measure, all_cells["mean"]), hatching(all_cells), False
    figure, panels, layout = _layout(models, kinds)
    for place, axes in np.ndenumerate(panels):
        model, kind = layout.get(place, ("", ""))
        if (cells := matrices.get((model, kind))) is None:
            _empty_panel(axes, model, kind)
            continue
        some_empty |= _panel(axes, cells, colours, hatches)
        if place[1] == 0:
            axes.set_ylabel("state the lens is of", fontsize=7)
        subtitle = ", ".join(filter(None, (KINDS[kind], convention(target=targets[kind]))))
        axes.set_title(literal(f"{shorten(model, 26)}\n{subtitle}"), loc="left", fontsize=7, color=INK)
    explain(figure, hatches, some_empty)
    colour_bar(figure, colours)
    return shows(figure, all_cells)


def matrices_of(rows: pd.DataFrame, kind: str, target: str) -> list[tuple[str, pd.DataFrame]]:
    """The cells of one kind, network by network; of untrained networks those of the first seed."""
    form, null = (MATCHED, "observed") if kind == MATCHED else ("", kind or "observed")
    rows = rows[rows["null"] == null]
    chosen = rows["form"] == form
    if kind == MATCHED:  # the diagonal is of the lens as it is: a state matched to itself does not change
        chosen |= is_own_lens(rows) & rows["model"].isin(rows.loc[chosen, "model"])
    cells = rows[chosen]
    if target:
        cells = cells[cells["target"] == target]
    first = cells.groupby("model")["null_seed"].transform("min")
    cells = cells[cells["null_seed"].isna() | (cells["null_seed"] == first)]
    return [(str(model), matrix) for model, matrix in cells.groupby("model", sort=False)]


def _layout(models: list[str], kinds: list[str]) -> tuple[Figure, np.ndarray, dict[tuple[int, ...], tuple[str, str]]]:
    """A figure, its panels, and (row, column) -> (model, kind): a column per model, or one model's kinds in one row."""
    if len(models) == 1:
        figure, panels = grid(1, max(len(kinds), 3), height=SQUARE / 3 + 0.5)
        return figure, panels, {(0, column): (models[0], kind) for column, kind in enumerate(kinds)}
    bands = [models[start : start + ACROSS] for start in range(0, len(models), ACROSS)]
    across = max(min(len(models), ACROSS), 3)
    figure, panels = grid(len(bands) * len(kinds), across, height=SQUARE / across + 0.5)
    return (
        figure,
        panels,
        {
            (number * len(kinds) + row, column): (model, kind)
            for number, band in enumerate(bands)
            for column, model in enumerate(band)
            for row, kind in enumerate(kinds)
        },
    )


def _panel(axes: Axes, cells: pd.DataFrame, colours: Scale, hatches: dict[str, str]) -> bool:
    """Draws one matrix; returns whether some pair of states has no cell."""
    some_empty = matrix(axes, cells, colours, hatches)
    axes.set_xlabel(f"state that is read\n{int(cells['n_units'].max()):,} {cells['unit'].iloc[0]}s", fontsize=7)
    return some_empty


def _empty_panel(axes: Axes, model: str, kind: str) -> None:
    """Says of which network nothing was measured; says nothing beyond the last network."""
    axes.set_axis_off()
    if model:
        text = literal(f"{shorten(model, 26)}\n{KINDS[kind] or 'as it is'}:\nnot measured")
        axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=7, transform=axes.transAxes)

"""Lenses by depth, and how they transfer: heat-maps, retention against distance, one lens for every depth."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from itinf.errors import ItinfError

from ..labels import MATCHED, UNTRAINED, said
from ..rows import require, select_rows
from .matrix import colour_bar, explain, hatching, matrix, scale
from .style import INK, grid, literal, shorten

ACROSS = 5
"""Networks side by side; more of them go on below."""
SQUARE = 8.7
"""Inches of a figure's width that matrices have; their panels are about square."""
KINDS = {"": "", MATCHED: "channels matched", UNTRAINED: "untrained"}


def transfer(table: pd.DataFrame, *, measure: str = "retention", target: str = "label") -> Figure:
    """Matrices of what a lens fitted at one state keeps at another, side by side.

    First as it is moved; then with the channels of the state matched to those it was fitted on, without
    labels; then in untrained networks, which know nothing of labels: there always of their own answers.

    Args:
        table: transfers of any number of networks.
        measure: "retention", "raw_retention", "readable", "transfer_penalty" or "transfer_kl".
        target: of what is kept: "label", or "model", what the state tells of the network's own final
            distribution. Penalties have one target.

    Returns:
        A Figure; rows are where the lens was fitted, columns where it reads. Missing cells are hatched by
        their reason; pairs between which nothing can be moved are grey.

    Raises:
        ItinfError: a column, the measure or the target is not in the table.
    """
    rows = select_rows(table, (measure,))
    rows = rows[rows["fitted_at"] != ""]
    several = rows["target"].nunique() > 1
    if several:
        require(rows, "target", target)
    aims = {kind: "model" if kind == UNTRAINED else target for kind in KINDS}
    found = {(model, kind): cells for kind in KINDS for model, cells in _matrices(rows, kind, aims[kind], several)}
    if not found:
        raise ItinfError(f"The table has {measure} of single lenses, but none of one state moved to another.")
    models = [model for model in rows["model"].unique() if any(name == model for name, _ in found)]
    shown = pd.concat(found.values())
    colours, hatches, empty = scale(measure, shown["mean"]), hatching(shown), False
    kinds = [kind for kind in KINDS if any(of == kind for _, of in found)]
    lines = [models[start : start + ACROSS] for start in range(0, len(models), ACROSS)]
    if len(models) == 1:  # one network: its kinds side by side
        places = {(0, column): (models[0], kind) for column, kind in enumerate(kinds)}
        figure, panels = grid(1, max(len(kinds), 3), height=SQUARE / 3 + 0.5)
    else:
        places = {
            (number * len(kinds) + row, column): (model, kind)
            for number, line in enumerate(lines)
            for column, model in enumerate(line)
            for row, kind in enumerate(kinds)
        }
        across = max(min(len(models), ACROSS), 3)
        figure, panels = grid(len(lines) * len(kinds), across, height=SQUARE / across + 0.5)
    for (row, column), axes in (
        (place, panels[place]) for place in pd.MultiIndex.from_product(map(range, panels.shape))
    ):
        which = places.get((row, column))
        if which not in found:
            axes.set_axis_off()
            if which is not None:
                why = f"{shorten(which[0], 26)}\n{KINDS[which[1]] or 'as it is'}:\nnot measured"
                axes.text(0.5, 0.5, literal(why), ha="center", va="center", fontsize=7, transform=axes.transAxes)
            continue
        cells, (model, kind) = found[which], which
        empty |= matrix(axes, cells, colours, hatches)
        axes.set_xlabel(f"state that is read\n{int(cells['n_units'].max()):,} {cells['unit'].iloc[0]}s", fontsize=7)
        if not column:
            axes.set_ylabel("state the lens is of", fontsize=7)
        said_of = ", ".join(filter(None, (KINDS[kind], said(target=aims[kind]) if several else "")))
        axes.set_title(literal(f"{shorten(model, 26)}\n{said_of}"), loc="left", fontsize=7, color=INK)
    explain(figure, hatches, empty)
    colour_bar(figure, colours)
    return figure


def _matrices(rows: pd.DataFrame, kind: str, target: str, several: bool) -> list[tuple[str, pd.DataFrame]]:
    """Of each network the cells of one kind; of untrained networks the first."""
    form, null = (MATCHED, "observed") if kind == MATCHED else ("", kind or "observed")
    own = rows["fitted_at"] == rows["index"].astype(int).astype(str)
    some = rows[((rows["form"] == form) | (own & (form != ""))) & (rows["null"] == null)]
    if kind == MATCHED:  # a state matched to itself stays as it is
        some = some[some["model"].isin(rows.loc[rows["form"] == MATCHED, "model"])]
    if several:
        some = some[some["target"] == target]
    some = some[some["null_seed"] == some.groupby("model")["null_seed"].transform("min")]
    return [(str(model), cells) for model, cells in some.groupby("model", sort=False)]

"""The headline of a comparison: what the predictions of every network gain as depth goes on, step by step."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from itinf.errors import ItinfError

from ..labels import OWN_LENSES, PREDICTION, SHARED, said
from ..rows import boundaries, merged, select_rows
from .style import INK, KINDS, NULLS, PALETTE, grid, legend, literal, shorten, wrap

SPLIT = {
    "block_gain": (PALETTE[2], "s", "block part: the gain with the lens of the step's end at both ends"),
    "lens_change_gain": (PALETTE[4], "D", "lens-change part: the rest of the gain"),
}
NULL_LOOKS = {"same-target": ("--", "null: same-target"), "order-shuffled": (":", "null: order-shuffled")}
HEADLINE = ("efficiency", "prediction_gain", "prediction_movement")
WIDE = 10.0
"""Bits from which on a row's scale is logarithmic beyond 1."""
ACROSS = 5
"""Networks side by side; more of them go on below."""


class _Row(NamedTuple):
    """A row of panels: which lenses, which measures, and its label."""

    lenses: tuple[str, ...]
    measures: tuple[str, ...]
    label: str


ROWS = (
    *(
        _Row(lenses, (measure,), f"{name}\n{formula}\n{whose}")
        for lenses, whose in (((SHARED,), "one lens"), (OWN_LENSES, "own lenses"))
        for measure, (name, formula) in ((m, PREDICTION[m]) for m in HEADLINE)
    ),
    _Row(OWN_LENSES, tuple(SPLIT), "gain in two parts\nbits per unit\nown lenses"),
)


def prediction(table: pd.DataFrame, *, steps: int | None = 6, target: str = "label") -> Figure:
    """Efficiency, gain and movement by depth: through one lens for all depths, then through each depth's own.

    Efficiency depends on how finely depth is cut, so blocks are merged to as many steps in every network.

    Args:
        table: a results table of any number of networks, measured through lenses.
        steps: how many; a network with fewer blocks has fewer. None for every block as it is.
        target: "label" or "model".

    Returns:
        A Figure; one column per network, one row per measure with one scale for all networks, each
        with 95 % intervals and the same-target and order-shuffled nulls. The gain under own lenses
        is also shown in its two parts.

    Raises:
        ItinfError: a column, every measure, or the asked steps or target is not in the table.
    """
    measures = (*PREDICTION, *SPLIT)
    rows = select_rows(table, measures, target=target, subset="all")
    rows = rows[rows["lens"].isin([SHARED, *OWN_LENSES])]
    if steps is not None:  # a network whose depth is not merged cannot stand beside others
        rows = rows[rows.groupby("model")["form"].transform(lambda forms: forms.str.startswith("merged to ").any())]
    if rows.empty:
        raise ItinfError(
            "The table has no predictions through a lens with blocks merged to steps. Measure them: itinf compare "
            "--lens auto; or give steps=None for every block."
        )
    borders = {model: boundaries(some, True) for model, some in rows.groupby("model")}
    rows = pd.concat([_cut(some, steps) for _, some in rows.groupby(["model", "lens"], sort=False)])
    models = list(rows["model"].unique())
    shown = [row for row in ROWS if rows["lens"].isin(row.lenses).any()]
    lines = [models[start : start + ACROSS] for start in range(0, len(models), ACROSS)]
    figure, panels = grid(len(lines) * len(shown), min(len(models), ACROSS), height=1.5)
    for number, line in enumerate(lines):
        for place, row in enumerate(shown):
            across = panels[number * len(shown) + place]
            first, wide = panels[place, 0], _wide(rows, row)
            for axes in across[len(line) :]:
                axes.remove()
            for axes, model in zip(across, line, strict=False):
                if axes is not first:
                    axes.sharey(first)
                if wide:
                    axes.set_yscale("symlog", linthresh=wide, linscale=0.5)
                    axes.yaxis.set_major_formatter("{x:g}")
                _panel(axes, rows[rows["model"] == model], row, borders[model], place == len(shown) - 1)
                if not place:
                    axes.set_title(literal(shorten(model, 24)), loc="left", fontsize=9, color=INK)
                if axes is across[0]:
                    axes.set_ylabel(literal(row.label + (f", log beyond {wide:g}" if wide else "")), fontsize=7)
                else:
                    axes.tick_params(labelleft=False)
            if row.measures == ("efficiency",):  # a few units' interval may reach beyond what can be
                low, high = first.get_ylim()
                first.set_ylim(max(low, -1.05), min(high, 1.05))
    heading = f"predictions read through a lens, step by step of depth, {said(target=target)}"
    figure.suptitle(literal(heading), x=0.01, ha="left", fontsize=9, color=INK)
    legend(figure, columns=2)
    return figure


def _cut(rows: pd.DataFrame, steps: int | None) -> pd.DataFrame:
    """Rows of one network and lens whose depth is cut into that many steps, or into what there is below."""
    if steps is None:
        return rows[rows["form"] == ""]
    number = merged(rows["form"].unique(), steps)
    if not number:
        held = ", ".join(sorted(set(rows["form"]) - {""}))
        raise ItinfError(
            f"{rows['model'].iloc[0]} has no predictions merged to {steps} steps or fewer; it has: {held}. "
            "Give one of these as steps, or None for every block."
        )
    return rows[rows["form"] == f"merged to {number}"]


def _wide(rows: pd.DataFrame, row: _Row) -> float:
    """Bits up to which a row's scale is linear where one linear scale would flatten most of it; 0 for all of it."""
    sizes = rows.loc[rows["lens"].isin(row.lenses) & rows["measure"].isin(row.measures), "mean"].abs()
    return 0.0 if not sizes.max() > WIDE else 1.0


def _panel(axes: Axes, rows: pd.DataFrame, row: _Row, borders: list[float], bottom: bool) -> None:
    here = rows[rows["lens"].isin(row.lenses) & rows["measure"].isin(row.measures)]
    for measure, some in here.groupby("measure", sort=False):
        colour, marker, label = SPLIT.get(str(measure), (KINDS["update"], "o", "observed, 95 % interval"))
        for null, (dash, name) in NULL_LOOKS.items():
            _line(axes, some[some["null"] == null], NULLS[null], "", dash, f"{name}, 95 % interval")
        _line(axes, some[some["null"] == "observed"], colour, marker, "-", label)
    axes.axhline(0, color=INK, lw=0.7, zorder=1)
    axes.set_xlim(0, 1.04)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.tick_params(labelsize=7, labelbottom=bottom)
    if not here["mean"].notna().any():
        why = next(iter(here["reason"][here["reason"] != ""]), "not measured")
        axes.text(0.5, 0.5, wrap(why, 24), transform=axes.transAxes, ha="center", va="center", fontsize=7, color=INK)
    for x in borders:
        axes.axvline(x, color="#9a9a9a", lw=0.6, ls=":", zorder=0)
    if bottom:
        axes.set_xlabel("\n".join(_below(rows, here)), fontsize=7)


def _line(axes: Axes, rows: pd.DataFrame, colour: str, marker: str, dash: str, label: str) -> None:
    rows = rows.sort_values("index")
    if rows["mean"].notna().any():
        axes.plot(rows["depth"], rows["mean"], color=colour, marker=marker, ls=dash, ms=3, lw=1.2, label=label)
        axes.vlines(rows["depth"], rows["lo"], rows["hi"], color=colour, lw=1.4, alpha=0.7)


def _below(rows: pd.DataFrame, here: pd.DataFrame) -> list[str]:
    """The axis, how many units and steps, and what the parts of the gain lack."""
    observed = rows[rows["null"] == "observed"]
    units = f"{int(observed['n_units'].max()):,} {rows['unit'].iloc[0]}s"
    lost = here[here["mean"].isna()]
    notes = [f"no parts for {some['index'].nunique()}: {reason}" for reason, some in lost.groupby("reason")]
    found = observed["form"].iloc[0].removeprefix("merged to ") or str(observed["index"].nunique())
    return [wrap(text, 34) for text in (f"relative depth, {found} steps", units, *notes)]

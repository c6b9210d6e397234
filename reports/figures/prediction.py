"""Predictions by depth: what those of every network gain, step by step, read through lenses."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from itinf.errors import ItinfError, NothingToDrawError

from ..labels import OWN_LENSES, PREDICTION, SHARED, convention
from ..rows import boundaries, most_steps, select_rows, through_lenses
from .style import INK, KINDS, NULLS, TONES, grid, legend, literal, logarithmic, shorten, shows, wrap

SPLIT = {
    "block_gain": (TONES[2], "s", "block part: the gain with the lens of the step's end at both ends"),
    "lens_change_gain": (TONES[3], "D", "lens-change part: the rest of the gain"),
}
NULL_STYLES = {"same-target": ("--", "null: same-target"), "order-shuffled": (":", "null: order-shuffled")}
HEADLINE = ("efficiency", "prediction_gain", "prediction_movement")
WIDE = 10.0
"""Bits from which on a row's scale is logarithmic beyond 1."""
ACROSS = 5
"""Networks side by side; more of them go on below."""


class PanelRow(NamedTuple):
    """A row of panels: which lenses, which measures, and its label."""

    lenses: tuple[str, ...]
    measures: tuple[str, ...]
    label: str

    def of(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows it shows."""
        return rows[rows["lens"].isin(self.lenses) & rows["measure"].isin(self.measures)]


PANEL_ROWS = (
    *(
        PanelRow(lenses, (measure,), f"{name}\n{formula}\n{whose}")
        for lenses, whose in (((SHARED,), "one lens"), (OWN_LENSES, "own lenses"))
        for measure, (name, formula) in ((m, PREDICTION[m]) for m in HEADLINE)
    ),
    PanelRow(OWN_LENSES, tuple(SPLIT), "gain in two parts\nbits per unit\nown lenses"),
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
    rows = through_lenses(select_rows(table, (*PREDICTION, *SPLIT), target=target, subset="all"))
    if steps is not None:  # a network whose depth is not merged cannot stand beside others
        rows = rows[rows.groupby("model")["form"].transform(lambda forms: forms.str.startswith("merged to ").any())]
    if rows.empty:
        raise NothingToDrawError(
            "The table has no predictions through a lens with blocks merged to steps. Measure them: itinf compare "
            "--lens auto; or give steps=None for every block."
        )
    borders = {str(model): boundaries(of_model, True) for model, of_model in rows.groupby("model")}
    rows = pd.concat([_in_steps(of_lens, steps) for _, of_lens in rows.groupby(["model", "lens"], sort=False)])
    models = list(rows["model"].unique())
    panel_rows = [row for row in PANEL_ROWS if rows["lens"].isin(row.lenses).any()]
    bands = [models[start : start + ACROSS] for start in range(0, len(models), ACROSS)]
    figure, panels = grid(len(bands) * len(panel_rows), min(len(models), ACROSS), height=1.5)
    for number, row in enumerate(panel_rows):
        of_row = panels[number :: len(panel_rows)]
        _share_scale(of_row, bands, _linear_up_to(rows, row))
        for across, band in zip(of_row, bands, strict=True):
            for axes, model in zip(across, band, strict=False):
                _panel(axes, rows[rows["model"] == model], row, borders[model], row is panel_rows[-1])
                if row is panel_rows[0]:
                    axes.set_title(literal(shorten(model, 24)), loc="left", fontsize=9, color=INK)
        _label(of_row, bands, row, _linear_up_to(rows, row))
    heading = f"predictions read through a lens, step by step of depth, {convention(target=target)}"
    figure.suptitle(literal(heading), x=0.01, ha="left", fontsize=9, color=INK)
    legend(figure, columns=2)
    return shows(figure, rows)


def _in_steps(rows: pd.DataFrame, steps: int | None) -> pd.DataFrame:
    """Rows of one network and lens whose depth is divided into ``steps`` steps, or into the next smaller number."""
    if steps is None:
        return rows[rows["form"] == ""]
    count = most_steps(rows["form"].unique(), steps)
    if not count:
        present = ", ".join(sorted(set(rows["form"]) - {""}))
        raise ItinfError(
            f"{rows['model'].iloc[0]} has no predictions merged to {steps} steps or fewer; it has: {present}. "
            "Give one of these as steps, or None for every block."
        )
    return rows[rows["form"] == f"merged to {count}"]


def _linear_up_to(rows: pd.DataFrame, row: PanelRow) -> float:
    """Bits up to which a row's scale is linear, where one linear scale would flatten most of it; 0 for all of it."""
    return 1.0 if row.of(rows)["mean"].abs().max() > WIDE else 0.0


def _share_scale(panels: np.ndarray, bands: list[list[str]], linear: float) -> None:
    """One y scale for all networks of a row; removes panels beyond the last network."""
    first = panels[0, 0]
    for across, band in zip(panels, bands, strict=True):
        for axes in across[len(band) :]:
            axes.remove()
        for axes in across[: len(band)]:
            if axes is not first:
                axes.sharey(first)
            if linear:
                logarithmic(axes, "symlog", linthresh=linear, linscale=0.5)
                axes.yaxis.set_major_formatter("{x:g}")


def _label(panels: np.ndarray, bands: list[list[str]], row: PanelRow, linear: float) -> None:
    """Labels the first panel of each band; bounds the scale of efficiency, beyond which intervals may reach."""
    for across, band in zip(panels, bands, strict=True):
        across[0].set_ylabel(literal(row.label + (f", log beyond {linear:g}" if linear else "")), fontsize=7)
        for axes in across[1 : len(band)]:
            axes.tick_params(labelleft=False)
    if row.measures == ("efficiency",):
        low, high = panels[0, 0].get_ylim()
        panels[0, 0].set_ylim(max(low, -1.05), min(high, 1.05))


def _panel(axes: Axes, rows: pd.DataFrame, row: PanelRow, borders: list[float], bottom: bool) -> None:
    """One network in one row of panels; ``bottom`` panels have the x axis."""
    shown = row.of(rows)
    for measure, of_measure in shown.groupby("measure", sort=False):
        colour, marker, label = SPLIT.get(str(measure), (KINDS["update"], "o", "observed, 95 % interval"))
        for null, (dash, name) in NULL_STYLES.items():
            _line(axes, of_measure[of_measure["null"] == null], NULLS[null], "", dash, f"{name}, 95 % interval")
        _line(axes, of_measure[of_measure["null"] == "observed"], colour, marker, "-", label)
    axes.axhline(0, color=INK, lw=0.7, zorder=1)
    axes.set_xlim(0, 1.04)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.tick_params(labelsize=7, labelbottom=bottom)
    if not shown["mean"].notna().any():
        why = next(iter(shown["reason"][shown["reason"] != ""]), "not measured")
        axes.text(0.5, 0.5, wrap(why, 24), transform=axes.transAxes, ha="center", va="center", fontsize=7, color=INK)
    for x in borders:
        axes.axvline(x, color="#9a9a9a", lw=0.6, ls=":", zorder=0)
    if bottom:
        axes.set_xlabel("\n".join(_notes(rows, shown)), fontsize=7)


def _line(axes: Axes, rows: pd.DataFrame, colour: str, marker: str, dash: str, label: str) -> None:
    rows = rows.sort_values("block_index")
    if rows["mean"].notna().any():
        axes.plot(rows["depth"], rows["mean"], color=colour, marker=marker, ls=dash, ms=3, lw=1.2, label=label)
        axes.vlines(rows["depth"], rows["lo"], rows["hi"], color=colour, lw=1.4, alpha=0.7)


def _notes(rows: pd.DataFrame, shown: pd.DataFrame) -> list[str]:
    """What stands below the x axis: how many steps and units, and for how many blocks the gain has no parts."""
    observed = rows[rows["null"] == "observed"]
    units = f"{int(observed['n_units'].max()):,} {rows['unit'].iloc[0]}s"
    missing = shown[shown["mean"].isna()]
    lacking = [
        f"no parts for {of_reason['block_index'].nunique()}: {reason}"
        for reason, of_reason in missing.groupby("reason")
    ]
    steps = observed["form"].iloc[0].removeprefix("merged to ") or str(observed["block_index"].nunique())
    return [wrap(text, 34) for text in (f"relative depth, {steps} steps", units, *lacking)]

"""One network in six panels, and all networks against one null after another: the figures of a report's page."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from itinf.errors import ItinfError

from ..labels import GRADIENTS, said
from ..rows import select_rows
from .panel import LineStyle, finish_axes, lines, stretch
from .style import INK, KINDS, MARKERS, PALETTE, grid, legend, literal, shorten, title

HEADLINES = (
    ("descent_share", "output", "descent share, output", "share with ⟨update, −g⟩ > 0"),
    ("descent_share", "readout", "descent share, readout", "share with ⟨update, −g⟩ > 0"),
    ("efficiency", "", "efficiency", "ΣG / (|ΣG| + ΣK)"),
)
BEYOND = ("pairing", "same-target")
EVEN = {"descent_share": 0.5, "efficiency": 0.0}
"""Where neither direction has the better of it."""


def overview(table: pd.DataFrame, *, target: str = "label") -> Figure:
    """The updates of one network, block by block: descent share for each gradient, efficiency, size, gain.

    Args:
        table: a results table of one network.
        target: what the loss is taken against.

    Returns:
        A Figure of two rows of three panels, each with interval, simultaneous band and nulls.

    Raises:
        ItinfError: a column, every measure, or the target is not in the table, or it is of several networks.
    """
    measures = ("descent_share", "efficiency", "update_norm", "first_order_gain", "realised_gain")
    rows = _own(select_rows(table, measures, target=target, subset="all", kind="update"))
    models = list(map(str, rows["model"].unique()))
    if len(models) > 1:
        raise ItinfError(
            f"overview shows one network and the table holds {', '.join(models)}. "
            'Choose one first, table[table["model"] == NAME], or plot "comparison".'
        )
    figure, panels = grid(2, 3)
    figure.suptitle(literal(shorten(models[0], 90)), x=0.01, ha="left", fontsize=10, color=INK)
    look = LineStyle(KINDS["update"], label="the update, 95 % interval")
    for gradient, axes in zip(GRADIENTS, panels[0], strict=True):
        if axes is not panels[0, 0]:
            axes.sharey(panels[0, 0])
        here = rows[(rows["measure"] == "descent_share") & (rows["gradient"] == gradient)]
        _single(axes, rows, here, {"descent_share": look}, "mean", f"descent share, gradient: {gradient}")
        _level(axes, EVEN["descent_share"])
        axes.set_ylabel(literal(f"share of units with\n⟨update, −g⟩ > 0\n{said(target=target)}"))
    efficiency, norm, gain = panels[1]
    here = rows[rows["measure"] == "efficiency"]
    _single(efficiency, rows, here, {"efficiency": look}, "ratio", "efficiency")
    _level(efficiency, EVEN["efficiency"])
    efficiency.set_ylabel(literal(f"ΣG / (|ΣG| + ΣK)\nin the readout\n{said(target=target)}"))
    here = rows[rows["measure"] == "update_norm"]
    _single(norm, rows, here, {"update_norm": look}, "mean", "l2 ratio")
    sizes = here["mean"]
    wide = sizes.max() > 10 * sizes.min()
    if wide:
        norm.set_yscale("log", nonpositive="clip")
    norm.set_ylabel(f"|update| / |hₗ₋₁|{' (log)' if wide else ''}\nper unit")
    first = rows[(rows["measure"] == "first_order_gain") & (rows["gradient"] == "output")]
    here = pd.concat([first, rows[(rows["measure"] == "realised_gain") & (rows["null"] == "observed")]])
    here = here[here["statistic"] == "mean"]
    looks = {
        "first_order_gain": look._replace(label="first-order gain (gradient: output)"),
        "realised_gain": LineStyle(INK, "s", "realised gain (gradient: readout)"),
    }
    _single(gain, rows, here, looks, "mean", "gain")
    scale = stretch(gain, here.loc[here["null"] == "observed", "mean"])
    _level(gain, 0.0)
    gain.set_ylabel(literal(f"nats per unit{scale}\n{said(target=target)}"))
    legend(figure)
    _fit(figure, panels)
    return figure


def comparison(table: pd.DataFrame, *, target: str = "label") -> Figure:
    """All networks on one axis: descent share and efficiency as observed, then beyond each null.

    Args:
        table: a results table of any number of networks.
        target: what the loss is taken against.

    Returns:
        A Figure of one row per measure; first column as observed, then observed − null with its own
        paired interval.

    Raises:
        ItinfError: a column, every measure, or the target is not in the table.
    """
    measures = [measure + end for measure in EVEN for end in ("", "_effect")]
    rows = _own(select_rows(table, measures, target=target, subset="all", kind="update"))
    looks = _looks(list(rows["model"].unique()))
    figure, panels = grid(len(HEADLINES), 1 + len(BEYOND))
    for (measure, gradient, name, formula), across in zip(HEADLINES, panels, strict=True):
        mine = rows[rows["gradient"] == gradient]
        statistic = "ratio" if measure == "efficiency" else "mean"
        observed = mine[(mine["measure"] == measure) & (mine["null"] == "observed")]
        shown = [("as observed", formula, observed, EVEN[measure])]
        for null in BEYOND:
            effect = mine[(mine["measure"] == f"{measure}_effect") & (mine["null"] == null)]
            shown.append((f"beyond {null}", f"observed − {null}", effect, 0.0))
        for axes, (how, what, found, level) in zip(across, shown, strict=True):
            here = _complete(found, rows, observed, statistic)
            notes = lines(axes, here, "model", looks, statistic, True)
            finish_axes(axes, rows, here, True, notes)
            _level(axes, level)
            axes.set_ylabel(literal(f"{name}\n{what}\n{said(target=target)}"))
            title(axes, f"{gradient or name}: {how}")
    legend(figure)
    _fit(figure, panels)
    return figure


def _own(rows: pd.DataFrame) -> pd.DataFrame:
    """Through the network's own readout: a lens would be a second curve, and not every network has one."""
    return rows[rows["lens"] == ""]


def _single(
    axes: Axes, rows: pd.DataFrame, here: pd.DataFrame, looks: dict[str, LineStyle], statistic: str, name: str
) -> None:
    """One panel of one network, over its blocks."""
    notes = lines(axes, here, "measure", looks, statistic, False)
    finish_axes(axes, rows, here, False, notes)
    title(axes, name)


def _complete(here: pd.DataFrame, rows: pd.DataFrame, observed: pd.DataFrame, statistic: str) -> pd.DataFrame:
    """A row for every block of every network: a missing one says why nothing is observed there, or was not measured."""
    place = ["model", "index"]
    every = rows.drop_duplicates(place).set_index(place, drop=False)
    lost = every[~every.index.isin(pd.MultiIndex.from_frame(here[place]))]
    why = (
        observed.drop_duplicates(place)
        .set_index(place)["reason"]
        .reindex(lost.index)
        .fillna("")
        .replace("", "not measured")
    )
    nothing = dict.fromkeys(("mean", "lo", "hi", "band_lo", "band_hi"), np.nan)
    lost = lost.assign(**nothing, n_units=0, statistic=statistic, reason=why)
    return pd.concat([here, lost], ignore_index=True).assign(null="observed")


def _looks(models: list[str]) -> dict[str, LineStyle]:
    """Names short enough for the legend, numbered where shortening makes two of them alike."""
    short = [shorten(model, 40) for model in models]
    if len(set(short)) < len(short):
        short = [f"{number}: {name}" for number, name in enumerate(short, 1)]
    return {
        model: LineStyle(PALETTE[i % len(PALETTE)], MARKERS[i % len(MARKERS)], name)
        for i, (model, name) in enumerate(zip(models, short, strict=True))
    }


def _level(axes: Axes, y: float) -> None:
    axes.axhline(y, color=INK, lw=0.7, zorder=1)


def _fit(figure: Figure, panels: np.ndarray) -> None:
    """Makes the figure as tall as its notes need, so that they do not take the panels' room."""
    notes = [max(axes.get_xlabel().count("\n") for axes in across) for across in panels]
    entries = len(figure.legends[0].get_texts()) if figure.legends else 0
    figure.set_figheight(sum(2.7 + 0.16 * lines for lines in notes) + 0.5 + 0.18 * -(-entries // 3))

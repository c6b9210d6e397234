"""Figures of the page: one network in six panels, and all networks against each null."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from itinf.errors import ItinfError

from ..labels import GRADIENTS, convention
from ..rows import select_rows
from .facets import model_styles
from .panel import LineStyle, finish_axes, lines, stretch
from .style import INK, KINDS, TONES, grid, legend, literal, logarithmic, place, shorten, shows, title

HEADLINES = (
    ("descent_share", "output", "descent share, output", "share with ⟨update, −g⟩ > 0"),
    ("descent_share", "readout", "descent share, readout", "share with ⟨update, −g⟩ > 0"),
    ("efficiency", "", "efficiency", "ΣG / (|ΣG| + ΣK)"),
)
BEYOND = ("pairing", "same-target")
PANEL = 2.0
"""Height of a panel in inches."""
EVEN = {"descent_share": 0.5, "efficiency": 0.0}
"""The level of a coin toss, and of no effect."""
UPDATE = LineStyle(KINDS["update"], label="the update, 95 % interval")


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
    rows = _own_readout(select_rows(table, measures, target=target, subset="all", kind="update"))
    models = list(map(str, rows["model"].unique()))
    if len(models) > 1:
        raise ItinfError(
            f"overview shows one network and the table holds {', '.join(models)}. "
            'Choose one first, table[table["model"] == NAME], or plot "comparison".'
        )
    figure, panels = grid(2, 3)
    figure.suptitle(literal(shorten(models[0], 90)), x=0.01, ha="left", fontsize=10, color=INK)
    for gradient, axes in zip(GRADIENTS, panels[0], strict=True):
        if axes is not panels[0, 0]:
            axes.sharey(panels[0, 0])
        _descent_share(axes, rows, gradient, target)
    efficiency, norm, gain = panels[1]
    _efficiency(efficiency, rows, target)
    _update_norm(norm, rows)
    _gain(gain, rows, target)
    legend(figure)
    place(figure, panels, PANEL)
    return shows(figure, rows)


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
    rows = _own_readout(select_rows(table, measures, target=target, subset="all", kind="update"))
    styles = model_styles(rows, table)
    figure, panels = grid(len(HEADLINES), 1 + len(BEYOND))
    for (measure, gradient, name, formula), across in zip(HEADLINES, panels, strict=True):
        of_gradient = rows[rows["gradient"] == gradient]
        statistic = "ratio" if measure == "efficiency" else "mean"
        observed = of_gradient[(of_gradient["measure"] == measure) & (of_gradient["null"] == "observed")]
        columns = [("as observed", formula, observed, EVEN[measure])]
        for null in BEYOND:
            effect = of_gradient[(of_gradient["measure"] == f"{measure}_effect") & (of_gradient["null"] == null)]
            columns.append((f"beyond {null}", f"observed − {null}", effect, 0.0))
        for axes, (heading, what, drawn, level) in zip(across, columns, strict=True):
            shown = _complete(drawn, rows, observed, statistic)
            notes = lines(axes, shown, "model", styles, statistic, True)
            finish_axes(axes, rows, shown, True, notes)
            _level(axes, level)
            axes.set_ylabel(literal(f"{name}\n{what}\n{convention(target=target)}"))
            title(axes, f"{gradient or name}: {heading}")
    legend(figure)
    place(figure, panels, PANEL)
    return shows(figure, rows)


def _own_readout(rows: pd.DataFrame) -> pd.DataFrame:
    """Through the network's own readout: a lens would be a second curve, and not every network has one."""
    return rows[rows["lens"] == ""]


def _descent_share(axes: Axes, rows: pd.DataFrame, gradient: str, target: str) -> None:
    shown = rows[(rows["measure"] == "descent_share") & (rows["gradient"] == gradient)]
    _panel(axes, rows, shown, {"descent_share": UPDATE}, "mean", f"descent share, gradient: {gradient}")
    _level(axes, EVEN["descent_share"])
    axes.set_ylabel(literal(f"share of units with\n⟨update, −g⟩ > 0\n{convention(target=target)}"))


def _efficiency(axes: Axes, rows: pd.DataFrame, target: str) -> None:
    shown = rows[rows["measure"] == "efficiency"]
    _panel(axes, rows, shown, {"efficiency": UPDATE}, "ratio", "efficiency")
    _level(axes, EVEN["efficiency"])
    axes.set_ylabel(literal(f"ΣG / (|ΣG| + ΣK)\nin the readout\n{convention(target=target)}"))


def _update_norm(axes: Axes, rows: pd.DataFrame) -> None:
    shown = rows[rows["measure"] == "update_norm"]
    _panel(axes, rows, shown, {"update_norm": UPDATE}, "mean", "l2 ratio")
    wide = shown["mean"].max() > 10 * shown["mean"].min()
    if wide:
        logarithmic(axes, "log", nonpositive="clip")
    axes.set_ylabel(f"|update| / |hₗ₋₁|{' (log)' if wide else ''}\nper unit")


def _gain(axes: Axes, rows: pd.DataFrame, target: str) -> None:
    """First-order gain with its nulls, realised gain without."""
    first = rows[(rows["measure"] == "first_order_gain") & (rows["gradient"] == "output")]
    shown = pd.concat([first, rows[(rows["measure"] == "realised_gain") & (rows["null"] == "observed")]])
    shown = shown[shown["statistic"] == "mean"]
    styles = {
        "first_order_gain": UPDATE._replace(label="first-order gain (gradient: output)"),
        "realised_gain": LineStyle(TONES[1], "s", "realised gain (gradient: readout)"),
    }
    _panel(axes, rows, shown, styles, "mean", "gain")
    scale = stretch(axes, shown.loc[shown["null"] == "observed", "mean"])
    _level(axes, 0.0)
    axes.set_ylabel(literal(f"nats per unit{scale}\n{convention(target=target)}"))


def _panel(
    axes: Axes, rows: pd.DataFrame, shown: pd.DataFrame, styles: dict[str, LineStyle], statistic: str, name: str
) -> None:
    """One panel of one network, over its blocks."""
    notes = lines(axes, shown, "measure", styles, statistic, False)
    finish_axes(axes, rows, shown, False, notes)
    title(axes, name)


def _complete(drawn: pd.DataFrame, rows: pd.DataFrame, observed: pd.DataFrame, statistic: str) -> pd.DataFrame:
    """Adds a missing row for every block without one; its reason is the observed row's, or "not measured"."""
    block = ["model", "block_index"]
    every = rows.drop_duplicates(block).set_index(block, drop=False)
    missing = every[~every.index.isin(pd.MultiIndex.from_frame(drawn[block]))]
    reasons = observed.drop_duplicates(block).set_index(block)["reason"].reindex(missing.index)
    nothing = dict.fromkeys(("mean", "lo", "hi", "band_lo", "band_hi"), np.nan)
    reasons = reasons.fillna("").replace("", "not measured")
    missing = missing.assign(**nothing, n_units=0, statistic=statistic, reason=reasons)
    return pd.concat([drawn, missing], ignore_index=True).assign(null="observed")


def _level(axes: Axes, y: float) -> None:
    axes.axhline(y, color=INK, lw=0.7, zorder=1)

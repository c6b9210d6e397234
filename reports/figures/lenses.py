"""Quality of lenses by depth."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..labels import LEFT_OUT, LOGIT, SHARED, UNTRAINED
from ..rows import own_lens, select_rows
from .lens_lines import depth_axis, state_line
from .panel import LineStyle
from .style import NULLS, TONES, grid, legend, logarithmic, place, shows, title

COMMON_LENSES = {
    SHARED: LineStyle(TONES[2], "D", "one lens, fitted on all depths"),
    LEFT_OUT: LineStyle(TONES[1], "^", "one lens, fitted without this depth"),
    LOGIT: LineStyle(TONES[4], "s", "logit lens: no translator"),
}
"""Lenses that several states have in common."""

QUALITY = {
    "lens_kl": "KL(final ‖ lens)\nbits per unit",
    "lens_loss": "cross-entropy\nbits per unit",
    "lens_agreement": "agreement with\nthe final top-1",
    "lens_calibration_error": "calibration error",
    "lens_marginal_bias": "marginal bias, KL\nbits",
}
PANEL = 1.2
"""Height of a panel in inches."""
WIDE = 10.0
"""Bits from which on the scale of a measure is logarithmic beyond 1."""


def lenses(table: pd.DataFrame) -> Figure:
    """How well each state can be read: one row per network, one column per measure.

    Args:
        table: transfers of any number of networks.

    Returns:
        A Figure; bars are 95 % intervals. Own lenses of untrained networks stand beside.

    Raises:
        ItinfError: a column or every measure is not in the table.
    """
    rows = select_rows(table, tuple(QUALITY))
    rows = rows[rows["form"] == ""].sort_values("state_index", kind="stable")
    models, measures = list(rows["model"].unique()), [m for m in QUALITY if m in set(rows["measure"])]
    figure, panels = grid(len(models), len(measures))
    for measure, down in zip(measures, panels.T, strict=True):
        of_measure = rows[rows["measure"] == measure]
        wide = "bits" in QUALITY[measure] and of_measure["mean"].max() > WIDE
        for model, axes in zip(models, down, strict=True):
            _panel(axes, of_measure[of_measure["model"] == model], wide)
            axes.set_ylabel(QUALITY[measure] + (" (log beyond 1)" if wide else ""), fontsize=7)
    for model, across in zip(models, panels, strict=True):
        title(across[0], model)
    legend(figure)
    place(figure, panels, PANEL)
    return shows(figure, rows)


def _panel(axes: Axes, rows: pd.DataFrame, wide: bool) -> None:
    """One measure of one network through each lens."""
    observed, untrained = rows[rows["null"] == "observed"], rows[rows["null"] == UNTRAINED]
    for lens, own in own_lens(observed).groupby("lens", sort=False):
        state_line(axes, own, LineStyle(TONES[0], "o", f"own {lens} lens"))
    common = observed[observed["fitted_at"].isna()]
    for lens, style in COMMON_LENSES.items():
        state_line(axes, common[common["lens"] == lens], style)
    for _, seed in own_lens(untrained).groupby("null_seed"):
        state_line(axes, seed, LineStyle(NULLS[UNTRAINED], ".", "untrained: own lens"))
    known = rows["mean"].dropna()
    if wide:
        logarithmic(axes, "symlog", linthresh=1.0, linscale=0.5)
        axes.yaxis.set_major_formatter("{x:g}")
    axes.set_ylim(bottom=min(0.0, known.min()) if len(known) else 0.0)
    depth_axis(axes, rows)

"""Lens quality by depth."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from ..labels import LEFT_OUT, OWN_LENSES, SHARED, UNTRAINED
from ..rows import select_rows
from .lens_lines import _depth, _line
from .style import NULLS, PALETTE, grid, legend, title

LENSES = {
    "affine": (PALETTE[0], "o", "own affine lens"),
    "tuned": (PALETTE[0], "o", "own tuned lens"),
    SHARED: (PALETTE[2], "D", "one lens, fitted on all depths"),
    LEFT_OUT: (PALETTE[4], "^", "one lens, fitted without this depth"),
    "logit": (PALETTE[1], "s", "logit lens: no translator"),
}


QUALITY = {
    "lens_kl": "KL(final ‖ lens)\nbits per unit",
    "lens_loss": "cross-entropy\nbits per unit",
    "lens_agreement": "agreement with\nthe final top-1",
    "lens_calibration_error": "calibration error",
    "lens_marginal_bias": "marginal bias, KL\nbits",
}


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
    wide = {m for m, some in rows.groupby("measure") if "bits" in QUALITY[str(m)] and some["mean"].max() > 10}
    models, measures = list(rows["model"].unique()), [m for m in QUALITY if m in set(rows["measure"])]
    figure, panels = grid(len(models), len(measures), height=1.7)
    for model, across in zip(models, panels, strict=True):
        for measure, axes in zip(measures, across, strict=True):
            here = rows[(rows["model"] == model) & (rows["measure"] == measure)]
            observed = _where_fitted(here[here["null"] == "observed"])
            for lens, (colour, marker, name) in LENSES.items():
                _line(axes, observed[observed["lens"] == lens], colour, name, marker)
            untrained = _where_fitted(here[(here["null"] == UNTRAINED) & here["lens"].isin(OWN_LENSES)])
            for _, one in untrained.groupby("null_seed"):
                _line(axes, one, NULLS[UNTRAINED], "untrained: own lens", ".")
            known = here["mean"].dropna()
            if measure in wide:
                axes.set_yscale("symlog", linthresh=1.0, linscale=0.5)
                axes.yaxis.set_major_formatter("{x:g}")
            axes.set_ylim(bottom=min(0.0, known.min()) if len(known) else 0.0)
            axes.set_ylabel(QUALITY[measure] + (" (log beyond 1)" if measure in wide else ""), fontsize=7)
            _depth(axes, here)
        title(across[0], model)
    legend(figure)
    return figure


def _where_fitted(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per state: lenses of one state where they were fitted, others wherever they read."""
    at_home = (rows["fitted_at"] == "") | (rows["fitted_at"] == rows["index"].astype(int).astype(str))
    return rows[at_home & (rows["form"] == "")].sort_values("index")

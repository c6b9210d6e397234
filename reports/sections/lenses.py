"""How lenses read the states of all networks, and how they transfer between depths."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from markupsafe import Markup

from ..figures.transfer import transfer
from ..html.findings import findings
from ..html.matrices import MOST
from ..html.picture import Pictures, known
from ..html.retention_table import HEADINGS, retention_rows
from ..html.template import render
from .results import Results
from .section import Draw, Section

MATRICES = "retention of each state's lens at every other state, one matrix per network"


def _figures(results: Results) -> Mapping[str, Draw]:
    rows = _without_table(results)
    return {"transfer": lambda: transfer(rows, target=results.lens_target)} if len(rows) else {}


def _without_table(results: Results) -> pd.DataFrame:
    """The retentions of networks whose parts have no table of them, because there is no part, or there are too many states."""
    rows = results.table[results.table["measure"] == "retention"]
    tabled = {str(manifest["network"]["name"]) for manifest in results.manifests}
    most = rows.groupby("model")["state_index"].max()
    return rows[~rows["model"].isin(tabled & set(most.index[most < MOST]))]


def _html(results: Results, pictures: Pictures) -> Markup | None:
    means = retention_rows(results.table, results.summaries, results.transfers)
    pairs = "; ".join(f"{row.network} {row.cells[1]} over all pairs" for row in means)
    guesses = findings(results.table, results.summaries)
    if not (means or guesses or results.remarks):
        return None
    return render(
        "sections/lenses.html",
        remarks=results.remarks,
        findings=guesses,
        headings=HEADINGS,
        retention_rows=means,
        transfer=known(pictures.of("transfer", MATRICES, pairs)),
    )


LENSES = Section(
    name="lenses",
    title="Lenses and transfer",
    question="Does one lens read every depth, and how far does a lens fitted at one depth read others?",
    html=_html,
    figures=_figures,
    place=42,
)

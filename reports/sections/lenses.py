"""How lenses read the states of all networks, and how they transfer between depths."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from ..figures.prediction import prediction
from ..figures.retention import retention
from ..figures.transfer import transfer
from ..html.findings import findings
from ..html.picture import Pictures, known
from ..html.retention_table import HEADINGS, retention_rows
from ..html.template import render
from ..rows import through_lenses
from .results import Results
from .section import Draw, Section

STEPS = "efficiency, gain and movement through one lens and through each depth's own, step by step"
MATRICES = "retention of each state's lens at every other state, one matrix per network"
CURVES = "retention against distance, and of one lens by depth, all networks"


def _figures(results: Results) -> Mapping[str, Draw]:
    table, target = results.table, results.lens_target
    draws: dict[str, Draw] = {}
    if through_lenses(table)["form"].str.startswith("merged to ").any():
        draws["prediction"] = lambda: prediction(table, target=target)
    if (table["measure"] == "retention").any():
        draws["transfer"] = lambda: transfer(table, target=target)
        draws["retention"] = lambda: retention(table, summaries=results.summaries, target=target)
    return draws


def _html(results: Results, pictures: Pictures) -> Markup | None:
    means = retention_rows(results.table, results.summaries, results.transfers)
    pairs = "; ".join(f"{row.network} {row.cells[1]} over all pairs" for row in means)
    kept = "; ".join(f"{row.network} {row.cells[3]}" for row in means)
    of_one = f"one lens, that depth left out, retains in {kept}" if kept else ""
    steps = known(pictures.of("prediction", STEPS))
    transferred = known(pictures.of("transfer", MATRICES, pairs), pictures.of("retention", CURVES, of_one))
    if not (steps or transferred or results.remarks):
        return None
    return render(
        "sections/lenses.html",
        remarks=results.remarks,
        steps=steps,
        findings=findings(results.table, results.summaries),
        headings=HEADINGS,
        retention_rows=means,
        transfer=transferred,
    )


LENSES = Section(
    name="lenses",
    title="Lenses and transfer",
    question="Does one lens read every depth, and how far does a lens fitted at one depth read others?",
    html=_html,
    figures=_figures,
    place=42,
)

"""One step, again and again? Three indices of iterative convergence, in numbers."""

from __future__ import annotations

import pandas as pd
from markupsafe import Markup

from ..figures.identity import controls_first, identities
from ..html.picture import Pictures
from ..html.template import render
from ..numbers import Estimate, number
from .results import Results
from .section import Section

INDICES = (
    ("convergence_index", "error", "errors fall early"),
    ("convergence_index", "loss", "… in loss"),
    ("recurrence_index", "again", "a block in the place of the next"),
    ("recurrence_index", "swap", "neighbours in the other order"),
    ("divergence_index", "error", "errors come back if the last block runs on"),
    ("divergence_index", "loss", "… in loss"),
)
"""(measure, form, words) of the columns."""


def _html(results: Results, pictures: Pictures) -> Markup | None:
    found = results.table[results.table["measure"].isin({measure for measure, *_ in INDICES})]
    names = [name for name in controls_first(identities(results.table), results.roles) if name in set(found["model"])]
    if not names:
        return None
    lines = [(name, [_cell(found[found["model"] == name], *index[:2]) for index in INDICES]) for name in names]
    return render("sections/convergence.html", heads=[words for *_, words in INDICES], lines=lines)


def _cell(rows: pd.DataFrame, measure: str, form: str) -> str:
    row = rows[(rows["measure"] == measure) & (rows["form"] == form) & (rows["null"] == "observed")]
    if row.empty or row["mean"].isna().all():
        return "–"
    one = row.iloc[0]
    if pd.isna(one["hi"]):
        return number(float(one["mean"]), 2)
    return Estimate(float(one["mean"]), float(one["hi"] - one["lo"]) / 2).text(most=2)


CONVERGENCE = Section(
    name="convergence",
    title="One step, again and again?",
    question="Do the blocks do what one step would do, taken so many times: converge, in any order, and stay if it is taken again?",
    html=_html,
    place=43,
)

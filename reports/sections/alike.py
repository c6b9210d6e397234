"""How alike the depths are: the similarity of every state with the last one."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from markupsafe import Markup

from ..charts.switches import chart_script, chart_style
from ..figures.similarity import TITLE, similarity
from ..html.picture import Pictures
from ..html.template import render
from ..numbers import number
from ..rows import in_one_form
from ..verdict.sentence import named
from .charts import charts
from .results import Results
from .section import Draw, Section


def _figures(results: Results) -> Mapping[str, Draw]:
    if not (results.table["measure"] == "similarity").any():
        return {}
    return {"similarity": lambda: similarity(results.table, roles=results.roles)}


def _html(results: Results, pictures: Pictures) -> Markup | None:
    drawn = charts(pictures, [("similarity", TITLE, alike_caption(results.table))])
    return render("sections/alike.html", charts=drawn) if drawn else None


def alike_caption(table: pd.DataFrame) -> str:
    """The similarity of the middle state of each network with its last one, and what class or next token alone give."""
    rows = in_one_form(table[table["measure"] == "similarity"]).dropna(subset="mean")
    said = []
    for name, one in rows.groupby("model", sort=False):
        by_null = {null: each.set_index("state_index")["mean"] for null, each in one.groupby("null")}
        states = by_null["observed"].index
        middle = states[len(states) // 2]
        alone = by_null.get("same-target", pd.Series(dtype=float)).get(middle)
        beside = "" if alone is None else f" ({number(float(alone), 2)} by class or next token alone)"
        said.append(f"{named(str(name))} {number(float(by_null['observed'][middle]), 2)}{beside}")
    return f"Half-way, the similarity with the last state is {'; '.join(said)}." if said else ""


ALIKE = Section(
    name="alike",
    title="How alike are the depths?",
    question="Do units that are near each other at a depth also lie near each other at the end?",
    html=_html,
    figures=_figures,
    place=43,
    script=chart_script(),
    style=chart_style(),
)

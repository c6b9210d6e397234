"""What the last state is made of: what is carried to it from the start, and which step writes the rest."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from markupsafe import Markup

from ..charts.switches import chart_script, chart_style
from ..figures.variance_shares import variance_shares
from ..html.picture import Pictures
from ..html.template import render
from ..numbers import number
from ..rows import in_one_form
from ..verdict.sentence import named
from .charts import charts
from .results import Results
from .section import Draw, Section


def _figures(results: Results) -> Mapping[str, Draw]:
    if not (results.table["measure"] == "variance_share").any():
        return {}
    return {"variance_shares": lambda: variance_shares(results.table, roles=results.roles)}


def _html(results: Results, pictures: Pictures) -> Markup | None:
    caption = written_caption(results.table)
    drawn = charts(pictures, [("variance_shares", "Who writes the last state", caption)])
    return render("sections/carried.html", charts=drawn) if drawn else None


def written_caption(table: pd.DataFrame) -> str:
    """How much the last step of each network writes, and how much stood at the start of its last segment."""
    rows = in_one_form(table[(table["measure"] == "variance_share") & (table["null"] == "observed")])
    said = []
    for name, one in rows.dropna(subset="mean").groupby("model", sort=False):
        last = one[one["segment"] == one["segment"].max()].sort_values("state_index")["mean"]
        steps = len(last) - 1
        said.append(
            f"{named(str(name))} {number(last.iloc[-1], 2)} (an equal part of {steps} steps is {number(1 / steps, 2)}), "
            f"and {number(last.iloc[0], 2)} stood there at its start"
        )
    return f"Of what varies in the last state, the last step writes: {'; '.join(said)}." if said else ""


CARRIED = Section(
    name="carried",
    title="Carried or written",
    question="Is the last state carried along from the first ones, or do the last blocks write it?",
    html=_html,
    figures=_figures,
    place=43,
    script=chart_script(),
    style=chart_style(),
)

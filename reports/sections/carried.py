"""What the last state is made of: what is carried to it from the start, which step writes the rest, and what lenses read of both."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from markupsafe import Markup

from ..charts.switches import chart_script, chart_style
from ..figures.surplus import AT_MOST, RETENTION, SURPLUS, WRITTEN, carried_by_distance, surplus
from ..figures.surplus import CARRIED as CARRIED_READ
from ..figures.variance_shares import variance_shares
from ..html.picture import Pictures
from ..html.template import render
from ..numbers import number, signed
from ..rows import in_one_form
from ..verdict.sentence import named
from .charts import charts
from .results import Results
from .section import Draw, Section


def _figures(results: Results) -> Mapping[str, Draw]:
    known = {
        "variance_shares": ("variance_share", lambda: variance_shares(results.table, roles=results.roles)),
        SURPLUS: (SURPLUS, lambda: surplus(results.table, roles=results.roles)),
    }
    return {name: draw for name, (measure, draw) in known.items() if (results.table["measure"] == measure).any()}


def _html(results: Results, pictures: Pictures) -> Markup | None:
    shares = charts(pictures, [("variance_shares", "Who writes the last state", written_caption(results.table))])
    reads = charts(pictures, [(SURPLUS, "Carried or written: lenses at later states", read_caption(results.table))])
    return render("sections/carried.html", shares=shares, reads=reads) if shares or reads else None


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


def read_caption(table: pd.DataFrame) -> str:
    """What the lens of the first state of each network's last segment, farthest from its end, reads there, and why."""
    said = []
    for name, rows in carried_by_distance(table).groupby("model", sort=False):
        far = rows[rows["distance"] == rows["distance"].max()].set_index("what")["mean"]
        if not {RETENTION, AT_MOST, SURPLUS} <= set(far.index):
            continue
        parts = f"{number(far[AT_MOST], 2)} if its code were left alone, surplus {signed(far[SURPLUS], 2)}"
        if {CARRIED_READ, WRITTEN} <= set(far.index):
            parts += f"; carried alone {number(far[CARRIED_READ], 2)}, written alone {number(far[WRITTEN], 2)}"
        said.append(f"{named(str(name))} {number(far[RETENTION], 2)} ({parts})")
    return f"What the lens that is farthest from the end retains there: {'; '.join(said)}." if said else ""


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

"""Between two answers: what becomes of borderline units in the blocks that follow, and if the last block runs again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd
from markupsafe import Markup

from ..charts.switches import chart_script, chart_style
from ..figures.borderline import AT_END, SAME_P, SHARE, TITLE, borderline, followed, of_repeats
from ..figures.identity import controls_first, identities
from ..html.picture import Pictures
from ..html.template import render
from ..numbers import Estimate, number
from ..verdict.sentence import named
from .charts import charts
from .results import Results
from .section import Draw, Section

NAME = "borderline"


class Line(NamedTuple):
    """One network in the table, in words."""

    network: str
    state: str
    share: str
    before: str
    after: str
    same: str
    naive: str
    repeated: str


def _figures(results: Results) -> Mapping[str, Draw]:
    if followed(results.table).empty:
        return {}
    return {NAME: lambda: borderline(results.table, roles=results.roles)}


def _html(results: Results, pictures: Pictures) -> Markup | None:
    networks = controls_first(identities(results.table), results.roles)
    lines = [line for name in networks if (line := _line(name, results.rows(name))) is not None]
    if not lines:
        return None
    drawn = charts(pictures, [(NAME, TITLE, _caption(lines))])
    return render("sections/borderline.html", lines=lines, charts=drawn)


def _line(name: str, table: pd.DataFrame) -> Line | None:
    seen = followed(table).dropna(subset="mean")
    if seen.empty:
        return None
    share = followed(table, SHARE).iloc[0]
    same = followed(table, null=SAME_P).dropna(subset="mean")
    ends = table[(table["subset"] == AT_END) & (table["measure"] == seen["measure"].iloc[0])].sort_values("state_index")
    ends = ends[ends["null"] == "observed"].dropna(subset="mean")
    helped = of_repeats(table)
    return Line(
        network=name,
        state=str(int(share["state_index"])),
        share=f"{_estimate(share)} ({int(seen['n_units'].iloc[0])})",
        before=_estimate(seen.iloc[0]),
        after=_estimate(seen.iloc[-1]),
        same=_estimate(same.iloc[-1]) if len(same) else "–",
        naive=f"{number(float(ends['mean'].iloc[0]), 2)} → {number(float(ends['mean'].iloc[-1]), 2)}"
        if len(ends)
        else "–",
        repeated=f"{_estimate(helped.iloc[0])} ({int(helped['n_units'].iloc[0])})" if len(helped) else "–",
    )


def _estimate(row: pd.Series) -> str:
    return Estimate(float(row["mean"]), float(row["hi"] - row["lo"]) / 2).text(most=2)


def _caption(lines: list[Line]) -> str:
    told = "; ".join(f"{named(line.network)} from {line.before} to {line.after}" for line in lines)
    return f"Of the units that are borderline at the state where they were chosen, so many are right there, and at the end: {told}."


BORDERLINE = Section(
    name=NAME,
    title="Between two answers",
    question="Do later blocks decide units that were borderline, and does it help them if the last block runs again?",
    html=_html,
    figures=_figures,
    place=43,
    script=chart_script(),
    style=chart_style(),
)

"""Do the blocks refine one estimate, as an estimator that homes in would?"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from markupsafe import Markup

from ..charts.switches import chart_script, chart_style
from ..figures.refining import ORDER, TITLES, WALK, over_order, over_walk
from ..html.picture import Pictures
from ..html.template import render
from ..numbers import number
from ..rows import in_one_form
from ..verdict.sentence import named
from .charts import charts
from .results import Results
from .section import Draw, Section


def _figures(results: Results) -> Mapping[str, Draw]:
    if not (results.table["measure"] == ORDER).any():
        return {}
    return {
        ORDER: lambda: over_order(results.table, roles=results.roles),
        WALK: lambda: over_walk(results.table, roles=results.roles),
    }


def _html(results: Results, pictures: Pictures) -> Markup | None:
    drawn = charts(
        pictures,
        [
            (ORDER, TITLES[ORDER], order_caption(results.table)),
            (WALK, TITLES[WALK], walk_caption(results.table)),
        ],
    )
    return render("sections/refining.html", charts=drawn) if drawn else None


def order_caption(table: pd.DataFrame) -> str:
    """In which networks the large steps come first in the last segment, and in which they come last."""
    first: list[str] = []
    last: list[str] = []
    both: list[str] = []
    for name, one in _last_segments(table, ORDER):
        inner = one[one["lo"].notna()].iloc[1:]  # before the first step every order is the same
        if inner.empty:
            continue
        words = f"{named(name)} ({number(inner['mean'].min(), 2)} to {number(inner['mean'].max(), 2)})"
        (first if (inner["hi"] < 1).all() else last if (inner["lo"] > 1).all() else both).append(words)
    said = [
        f"{what} {', '.join(names)}"
        for what, names in (("first in", first), ("last in", last), ("neither all first nor all last in", both))
        if names
    ]
    return f"Large steps come {'; '.join(said)}." if said else ""


def walk_caption(table: pd.DataFrame) -> str:
    """How much the steps of the last segment of each network keep their direction."""
    said = [
        f"{named(name)} {number(one['mean'].iloc[0], 2)} (a straight line has {len(one)})"
        for name, one in _last_segments(table, WALK)
    ]
    return (
        f"From the start of the last segment, steps that keep their direction are above 1: {'; '.join(said)}."
        if said
        else ""
    )


def _last_segments(table: pd.DataFrame, measure: str) -> list[tuple[str, pd.DataFrame]]:
    """Name of a network -> its observed numbers in the last segment, by depth."""
    rows = in_one_form(table[(table["measure"] == measure) & (table["null"] == "observed")]).dropna(subset="mean")
    return [
        (str(name), one[one["segment"] == one["segment"].max()].sort_values("state_index"))
        for name, one in rows.groupby("model", sort=False)
    ]


REFINING = Section(
    name="refining",
    title="Refining an estimate?",
    question="Does each state come nearer to the last one as a better and better estimate of it would?",
    html=_html,
    figures=_figures,
    place=43,
    script=chart_script(),
    style=chart_style(),
)

"""Does it correct its own errors? Predictions that are subtracted later, recovery, closed loops, and beliefs by depth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from ..charts.corrected import (
    bits_caption,
    excess_caption,
    kept_caption,
    later_caption,
    share_caption,
    surprise_caption,
)
from ..charts.switches import chart_script, chart_style
from ..figures.beliefs import EXCESS, excess_movement
from ..figures.bits import bits, own_bits
from ..figures.later_response import LATER, SHARE, later_response, subtracted
from ..figures.recovery import INFORMATION, KEPT, context_kept, surprise
from ..html.picture import Pictures
from ..html.template import render
from .charts import charts
from .judged import networks_in_order
from .results import Results
from .section import Draw, Section

ASKED = (LATER, KEPT, INFORMATION, EXCESS)
"""Measures that the section is about; with one of them it shows also what each depth predicts."""
BITS, LOOP = "bits_by_depth", "surprise"
TITLES = {
    BITS: "Bits that the prediction loses, by depth",
    LATER: "Earlier predictions, subtracted later",
    SHARE: "As strongly as truths are added",
    KEPT: "After inserted tokens: the old context, used again",
    LOOP: "Surprise of what the environment inserts",
    EXCESS: "Movement beyond evidence, by block",
}


def _drawings(results: Results) -> Mapping[str, Draw]:
    """Name of a figure -> what draws it, of those whose rows are there."""
    table, roles = results.table, results.roles
    known: dict[str, Callable[..., Figure]] = {
        LATER: later_response, SHARE: subtracted, KEPT: context_kept, LOOP: surprise, EXCESS: excess_movement,
    }  # fmt: skip
    there = set(table.loc[table["mean"].notna() & (table["null"] == "observed"), "measure"]) - {LOOP}
    there |= (
        {LOOP} if table["subset"].str.startswith("insertion ").any() else set()
    )  # other inserted tokens are no loop
    found = {name: partial(draw, table, roles=roles) for name, draw in known.items() if name in there}
    names = _asked(table)
    several = any(len(own_bits(table[table["model"] == name])) > 1 for name in names)
    return ({BITS: partial(bits, table, names, roles=roles)} if several else {}) | found


def _asked(table: pd.DataFrame) -> list[str]:
    """Names of the networks that any of the measures is about."""
    rows = table[table["measure"].isin(ASKED)]
    return list(dict.fromkeys(rows.loc[rows["null"] == "observed", "model"]))


def _html(results: Results, pictures: Pictures) -> Markup | None:
    table = results.table
    names = [name for name in networks_in_order(results) if name in set(_asked(table))]
    if not names:
        return None
    captions = {
        BITS: lambda: bits_caption(table, names),
        LATER: lambda: later_caption(table),
        SHARE: lambda: share_caption(table),
        KEPT: lambda: kept_caption(table),
        LOOP: lambda: surprise_caption(table),
        EXCESS: lambda: excess_caption(table),
    }
    parts = {
        name: charts(pictures, [(name, TITLES[name], captions[name]())]) for name in TITLES if name in pictures.drawn
    }
    return render("sections/predictive.html", **parts)


PREDICTIVE = Section(
    name="predictive",
    title="Does it correct its own errors?",
    question="Is what a network predicted taken back where it was wrong: later in the text, after noise, and over depth?",
    html=_html,
    figures=_drawings,
    place=44,
    script=chart_script(),
    style=chart_style(),
)

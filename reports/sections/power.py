"""Which measures tell the controls apart."""

from __future__ import annotations

from markupsafe import Markup

from ..html.picture import Pictures
from ..html.power_table import power_tables
from ..html.template import render
from .results import Results
from .section import Section


def _html(results: Results, pictures: Pictures) -> Markup | None:
    tables = power_tables(results.power)
    return render("sections/power.html", power_tables=tables) if tables else None


POWER = Section(
    name="power",
    title="What each measure can tell",
    question="Does the measure tell a network that was built and trained to infer iteratively from one that was not?",
    html=_html,
    place=40,
)

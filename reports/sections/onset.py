"""Where iterative inference begins in each network, and what fails before it."""

from __future__ import annotations

from markupsafe import Markup

from ..html.picture import Pictures
from ..html.template import render
from .results import Results
from .section import Section


def _html(results: Results, pictures: Pictures) -> Markup | None:
    if not results.onsets:
        return None
    return render("sections/onset.html", onsets=results.onsets)


ONSET = Section(
    name="onset",
    title="Where iterative inference begins",
    question="From which state on is there one code, is what is read used, and does every step gain?",
    html=_html,
    place=21,
)

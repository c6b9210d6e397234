"""The networks in short, before the verdict table."""

from __future__ import annotations

from markupsafe import Markup

from ..html.cards import cards
from ..html.picture import Pictures
from ..html.template import render, text_of
from .results import Results
from .section import Section


def _html(results: Results, pictures: Pictures) -> Markup | None:
    if not results.manifests:
        return None
    return render("sections/cards.html", cards=cards(results.table, results.manifests, results.power))


CARDS = Section(
    name="cards",
    title="The networks",
    question="What are they, what do they read, and how well do they do?",
    html=_html,
    place=10,
    style=text_of("sections/cards.css"),
)

"""The networks in short, before the verdict table."""

from __future__ import annotations

from markupsafe import Markup

from ..figures.identity import ON_DARK, identities
from ..html.cards import cards
from ..html.picture import Pictures
from ..html.samples import sample
from ..html.template import render, text_of
from .results import Results
from .section import Section


def _html(results: Results, pictures: Pictures) -> Markup | None:
    if not results.manifests:
        return None
    samples = {name: sample(one) for name, one in results.examples.items()}
    drawn = identities(results.table)
    colours = {name: (one.colour, ON_DARK[one.number % len(ON_DARK)]) for name, one in drawn.items()}
    made = cards(results.table, results.manifests, results.power, samples, colours)
    return render("sections/cards.html", cards=made)


CARDS = Section(
    name="cards",
    title="The networks",
    question="What are they, what do they read, and how well do they do?",
    html=_html,
    place=10,
    style=text_of("sections/cards.css"),
)

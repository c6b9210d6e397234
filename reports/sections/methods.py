"""How numbers are defined, which nulls judge them, how each word of the verdict table is decided, and the glossary."""

from __future__ import annotations

from markupsafe import Markup

from ..html.glossary import MEASURES, NULLS, WORDS
from ..html.picture import Pictures
from ..html.template import render, text_of
from ..verdict.rules import rules
from .results import Results
from .section import Section


def _html(results: Results, pictures: Pictures) -> Markup | None:
    return render("sections/methods.html", measures=MEASURES, nulls=NULLS, rules=rules(), words=WORDS)


METHODS = Section(
    name="methods",
    title="Methods",
    question="How is each number defined, what is it held against, and what do the words mean?",
    html=_html,
    place=60,
    style=text_of("sections/methods.css"),
)

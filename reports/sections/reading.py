"""What the words on the page mean."""

from __future__ import annotations

from markupsafe import Markup

from ..html.picture import Pictures
from ..html.template import render
from ..rows import about_states
from .results import Results
from .section import Section


def _html(results: Results, pictures: Pictures) -> Markup | None:
    return render("sections/reading.html", lenses=len(about_states(results.table)) > 0 or results.remarks)


READING = Section(
    name="reading",
    title="What the words mean",
    question="What is a unit, an update, a gradient, a null, a lens?",
    html=_html,
    place=60,
)

"""Figures that do not come with itinf, and what could not be shown."""

from __future__ import annotations

from markupsafe import Markup

from ..html.picture import Pictures
from ..html.template import render
from .results import Results
from .section import Section


def _html(results: Results, pictures: Pictures) -> Markup | None:
    added = {name: picture for name in results.added if (picture := pictures.of(name, name))}
    return render("sections/added.html", added=added, failed=results.failed) if added or results.failed else None


ADDED = Section(
    name="added",
    title="Added figures",
    question="What do figures show that were registered in the session, or by another package?",
    html=_html,
    place=55,
)

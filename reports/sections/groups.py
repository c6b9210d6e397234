"""Groups of trained networks, such as several trainings of one network."""

from __future__ import annotations

from markupsafe import Markup

from ..html.groups_table import group_table
from ..html.picture import Pictures
from ..html.template import render
from .results import Results
from .section import Section


def _html(results: Results, pictures: Pictures) -> Markup | None:
    if results.groups is None:
        return None
    table = group_table(results.groups)
    return render("sections/groups.html", group_table=table, group_notes=results.group_notes)


GROUPS = Section(
    name="groups",
    title="Groups of trained networks",
    question="Do groups of networks differ by more than one training differs from the next?",
    html=_html,
    place=46,
)

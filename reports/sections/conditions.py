"""What may be compared: which networks measured the same units, and where conditions differ."""

from __future__ import annotations

from markupsafe import Markup

from ..html.conditions import conditions
from ..html.picture import Pictures
from ..html.template import render
from .results import Results
from .section import Section


def _html(results: Results, pictures: Pictures) -> Markup | None:
    differing = conditions(results.manifests, results.transfers)
    if not (results.joined or differing or results.paired):
        return None
    return render(
        "sections/conditions.html",
        joined=results.joined,
        paired=results.paired,
        conditions=differing,
        several=len(results.manifests) > 1,
    )


CONDITIONS = Section(
    name="conditions",
    title="What can be compared",
    question="Were these networks measured on the same units, under the same conditions?",
    html=_html,
    place=45,
)

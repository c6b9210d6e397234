"""The four figures that carry the comparison, with values on hover, tap and arrow keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from markupsafe import Markup

from ..charts.captions import distance_caption, one_lens_caption, onset_caption, readable_caption
from ..charts.inline import chart
from ..charts.switches import chart_script, chart_style, switches
from ..figures.distance import distance
from ..figures.identity import controls_first, identities
from ..figures.one_lens import one_lens
from ..figures.onset import onset
from ..figures.readable import readable
from ..html.picture import Pictures
from ..html.template import render
from ..verdict.depth import ITERATIVE_DEPTH
from ..verdict.states import ONE_LENS
from .judged import judged, networks_in_order
from .results import Results
from .section import Draw, Section

TITLES: Mapping[str, tuple[str, Callable[[Results], str]]] = {
    "onset": ("Iterative depth", lambda r: onset_caption(judged(r, ITERATIVE_DEPTH))),
    "distance": ("Own lenses at other states", lambda r: distance_caption(r.table, networks_in_order(r))),
    "one_lens": ("One lens, that depth left out", lambda r: one_lens_caption(judged(r, ONE_LENS), r.table)),
    "readable": ("Bits readable by depth", lambda r: readable_caption(r.table, networks_in_order(r))),
}
"""Name of a figure -> its title, and what writes its caption."""


def _figures(results: Results) -> Mapping[str, Draw]:
    table, roles = results.table, results.roles
    return {
        "onset": lambda: onset(table, summaries=results.summaries, roles=roles),
        "distance": lambda: distance(table, roles=roles),
        "one_lens": lambda: one_lens(table, roles=roles),
        "readable": lambda: readable(table, roles=roles),
    }


def _html(results: Results, pictures: Pictures) -> Markup | None:
    charts = [
        chart(pictures, name, title, says(results)) for name, (title, says) in TITLES.items() if name in pictures.drawn
    ]
    if not charts:
        return None
    bar = switches(controls_first(identities(results.table), results.roles))
    return render("sections/four_figures.html", bar=bar, charts=charts)


FOUR_FIGURES = Section(
    name="four-figures",
    title="The comparison in four figures",
    question="From where on is there one prediction in one code, who can read it, and how much does it tell?",
    html=_html,
    figures=_figures,
    place=20,
    script=chart_script(),
    style=chart_style(),
)

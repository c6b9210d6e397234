"""The four figures that carry the comparison, with values on hover, tap and arrow keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup

from ..charts.captions import distance_caption, one_lens_caption, onset_caption, readable_caption
from ..charts.inline import inline
from ..charts.switches import chart_script, chart_style, switches
from ..figures.distance import distance
from ..figures.identity import controls_first, identities
from ..figures.one_lens import one_lens
from ..figures.onset import onset
from ..figures.readable import readable
from ..html.picture import Pictures
from ..html.template import render
from ..verdict.claim import Claim
from ..verdict.depth import ITERATIVE_DEPTH
from ..verdict.source import Source
from ..verdict.states import ONE_LENS
from ..verdict.words import Verdict, Word
from .results import Results
from .section import Draw, Section


class Chart(NamedTuple):
    """A figure on the page, its verdict in a sentence, and (kind, address) of its files."""

    name: str
    drawn: Markup
    caption: str
    files: Sequence[tuple[str, str]]


TITLES: Mapping[str, tuple[str, Callable[[Results], str]]] = {
    "onset": ("Iterative depth", lambda r: onset_caption(_judged(r, ITERATIVE_DEPTH))),
    "distance": ("Own lenses at other states", lambda r: distance_caption(r.table, _networks(r))),
    "one_lens": ("One lens, that depth left out", lambda r: one_lens_caption(_judged(r, ONE_LENS), r.table)),
    "readable": ("Bits readable by depth", lambda r: readable_caption(r.table, _networks(r))),
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
    charts = []
    for name, (title, says) in TITLES.items():
        if name in pictures.drawn:
            one, caption = pictures.drawn[name], says(results)
            charts.append(Chart(name, inline(one.svg, name, title, caption, one.marks), caption, pictures.files(name)))
    if not charts:
        return None
    bar = switches(controls_first(identities(results.table), results.roles))
    return render("sections/four_figures.html", bar=bar, charts=charts)


def _networks(results: Results) -> list[str]:
    """Names in the order of the figures."""
    return list(controls_first(identities(results.table), results.roles))


def _judged(results: Results, claim: Claim) -> dict[str, Verdict]:
    """Name -> verdict, that of the verdict table where there is one; of networks where it is not defined nothing."""
    rows = [row for row in results.verdict.rows if row.claim is claim] if results.verdict else []
    if results.verdict and rows:
        cells = zip(results.verdict.networks, rows[0].cells, strict=True)
        judged = {network.name: cell.verdict for network, cell in cells}
    else:
        judged = {name: claim.decide(claim.find(_source(results, name))) for name in _networks(results)}
    return {name: verdict for name, verdict in judged.items() if verdict.word is not Word.UNDEFINED}


def _source(results: Results, name: str) -> Source:
    summaries = results.summaries
    return Source(results.rows(name), summaries if summaries.empty else summaries[summaries["model"] == name])


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

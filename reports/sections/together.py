"""All networks side by side: their steps against each null, and their numbers in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from ..charts.captions import descent_caption
from ..charts.inline import chart
from ..charts.switches import chart_script, chart_style, switches
from ..figures.descent import descent
from ..figures.identity import controls_first, identities
from ..html.blocks_table import Headline
from ..html.picture import Pictures
from ..html.template import render
from ..verdict.blocks import DESCENT
from .judged import judged
from .results import Results
from .section import Draw, Section

TITLE = "Steps down the loss, beyond pairing"


def _figures(results: Results) -> Mapping[str, Draw]:
    if not results.manifests:
        return {}
    return {"descent": lambda: descent(results.table, target=results.target, roles=results.roles)}


def _html(results: Results, pictures: Pictures) -> Markup | None:
    if not results.manifests:
        return None
    drawn = "descent" in pictures.drawn
    return render(
        "sections/together.html",
        headlines=results.headlines,
        bar=switches(controls_first(identities(results.table), results.roles)),
        chart=chart(pictures, "descent", TITLE, descent_caption(judged(results, DESCENT))) if drawn else None,
    )


def beyond_pairing(lines: Sequence[Headline]) -> str:
    """How many blocks of each network descend more often than another unit's step would."""
    return "; ".join(f"{line.network} {line.counts[0]} (null: pairing)" for line in lines)


TOGETHER = Section(
    name="together",
    title="Steps against each null",
    question="Do the steps of each network go down the loss more often than those of each null?",
    html=_html,
    figures=_figures,
    place=41,
    script=chart_script(),
    style=chart_style(),
)

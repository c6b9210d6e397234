"""All networks side by side: their numbers in one table, and their steps against each null."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from ..figures.overview import comparison
from ..html.blocks_table import Headline, headlines
from ..html.picture import Pictures
from ..html.template import render
from .results import Results
from .section import Draw, Section

TITLE = "descent share and efficiency of all networks against relative depth"


def _figures(results: Results) -> Mapping[str, Draw]:
    return {"comparison": lambda: comparison(results.table, target=results.target)} if results.manifests else {}


def _html(results: Results, pictures: Pictures) -> Markup | None:
    if not results.manifests:
        return None
    lines = headlines(results.table, results.target)
    picture = pictures.of("comparison", TITLE, beyond_pairing(lines))
    return render("sections/together.html", headlines=lines, picture=picture)


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
)

"""Where iterative inference begins in each network, and what fails before it."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from ..figures.onset import onset
from ..html.picture import Pictures
from ..html.template import render
from .results import Results
from .section import Draw, Section


def _figures(results: Results) -> Mapping[str, Draw]:
    return {"onset": lambda: onset(results.table, summaries=results.summaries)}


def _html(results: Results, pictures: Pictures) -> Markup | None:
    if not results.onsets:
        return None
    depths = ", ".join(f"{row.network} {row.depth}" for row in results.onsets)
    picture = pictures.of("onset", "iterative depth", depths)
    return render("sections/onset.html", onsets=results.onsets, picture=picture)


ONSET = Section(
    name="onset",
    title="Where iterative inference begins",
    question="From which state on is there one code, is what is read used, and does every step gain?",
    html=_html,
    figures=_figures,
    place=20,
)

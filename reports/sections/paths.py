"""How long the paths of the gradient are, in a figure and in numbers."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from ..charts.switches import chart_script, chart_style
from ..figures.paths import paths
from ..html.paths_table import path_rows, paths_caption
from ..html.picture import Pictures
from ..html.template import render
from .charts import charts
from .results import Results
from .section import Draw, Section

TITLE = "Share of the gradient by path length"


def _figures(results: Results) -> Mapping[str, Draw]:
    return {"paths": lambda: paths(results.table, roles=results.roles)}


def _html(results: Results, pictures: Pictures) -> Markup | None:
    rows = path_rows(results.table)
    if not rows or "paths" not in pictures.drawn:
        return None
    drawn = charts(pictures, [("paths", TITLE, paths_caption(results.table))])
    return render("sections/paths.html", charts=drawn, rows=rows)


PATHS = Section(
    name="paths",
    title="How long are the paths?",
    question="Does the gradient come back through few blocks or through many, and do its paths point the same way?",
    html=_html,
    figures=_figures,
    place=43,
    script=chart_script(),
    style=chart_style(),
)

"""Every file beside the page: tables, and each figure with its numbers."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote

from markupsafe import Markup

from ..html.picture import Pictures
from ..html.template import render
from .results import Results
from .section import Section

TABLES = {
    "measures.csv": "every number, one a row",
    "measures.parquet": "the same for programs, with types",
    "summaries.parquet": "means of retention, and the iterative depth of every network",
    "groups.parquet": "means of groups of networks, and their differences",
    "power.parquet": "which measures tell the controls apart",
    "power.md": "the same in words",
    "study.toml": "the study file",
    "manifest.json": "settings, seeds, fingerprints and versions, and a hash of every file",
}
"""Files beside a page, and what is in them."""
KINDS = ("SVG", "PNG", "CSV")


class FigureFiles(NamedTuple):
    """A figure, and the address of its file of each kind, "" for none."""

    name: str
    addresses: list[str]


def _html(results: Results, pictures: Pictures) -> Markup | None:
    there = {"manifest.json", "measures.csv", *results.files}
    figures = []
    for name in pictures.drawn:
        of = dict(pictures.files(name))
        figures.append(FigureFiles(name, [of.get(kind, "") for kind in KINDS]))
    return render(
        "sections/data.html",
        tables=[(quote(name), name, what) for name, what in TABLES.items() if name in there],
        kinds=KINDS,
        figures=figures,
    )


DATA = Section(
    name="data",
    title="Data",
    question="In which files are the numbers and the figures?",
    html=_html,
    place=80,
)

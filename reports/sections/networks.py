"""Each network by itself: how it was measured, its figures, its blocks in numbers, and what is undefined."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import pandas as pd
from markupsafe import Markup

from ..figures.lenses import lenses
from ..figures.overview import overview
from ..html.blocks_table import blocks, headlines, undefined
from ..html.conditions import facts
from ..html.picture import Picture, Pictures, known
from ..html.template import render
from ..rows import about_states
from .results import Results
from .section import Draw, Section
from .together import beyond_pairing


def _figures(results: Results) -> Mapping[str, Draw]:
    draws: dict[str, Draw] = {}
    for manifest in results.manifests:
        name = manifest["network"]["name"]
        rows = results.rows(name)
        draws[f"overview {name}"] = partial(overview, rows, target=results.target)
        if len(about_states(rows)):
            draws[f"lenses {name}"] = partial(lenses, rows)
    return draws


def _html(results: Results, pictures: Pictures) -> Markup | None:
    if not results.manifests:
        return None
    parts = []
    for manifest, notes in zip(results.manifests, results.notes, strict=True):
        name = manifest["network"]["name"]
        rows = results.rows(name)
        headings, numbers = blocks(rows, results.target)
        parts.append(
            {
                "name": name,
                "facts": facts(rows, manifest),
                "notes": notes,
                "pictures": _pictures(name, rows, results.target, pictures),
                "headings": headings,
                "blocks": numbers,
                "undefined": undefined(rows),
            }
        )
    return render("sections/networks.html", parts=parts)


def _pictures(name: str, rows: pd.DataFrame, target: str, pictures: Pictures) -> list[Picture]:
    lines = headlines(rows, target)
    result = f"efficiency {lines[0].efficiency}; {beyond_pairing(lines)}" if lines else ""
    title = f"{name}, descent share, efficiency, l2 ratio and gain against depth"
    return known(
        pictures.of(f"overview {name}", title, result),
        pictures.of(f"lenses {name}", f"{name}, how well lenses read each state"),
    )


NETWORKS = Section(
    name="networks",
    title="Each network",
    question="What came out for one network, block by block, and what is undefined there?",
    html=_html,
    figures=_figures,
    place=50,
)

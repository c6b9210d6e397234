"""Each network by itself, folded: how it was measured, its figures, its numbers by choice, and what is undefined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

from markupsafe import Markup

from ..figures.lenses import lenses
from ..figures.overview import overview
from ..html.blocks_table import Cell, undefined
from ..html.choices import Axis, Choice, choices
from ..html.conditions import facts
from ..html.matrices import Matrix, matrices, shades
from ..html.picture import Picture, Pictures, known
from ..html.sizes import sizes
from ..html.template import render, text_of
from ..rows import about_states
from .results import Manifest, Results
from .section import Draw, Section
from .together import beyond_pairing

MOST_CHOICES = 8
"""Choices that one set of radio buttons may have; the style knows as many."""


class Part(NamedTuple):
    """One network.

    Attributes:
        facts: of the measurement; ``notes``: what to know before the numbers.
        axes, tables: numbers about directions, by choice; ``sizes``: headings and rows of the other numbers.
        undefined: sentences about what has no value.
    """

    name: str
    facts: Sequence[tuple[str, str]]
    notes: Sequence[str]
    pictures: Sequence[Picture]
    axes: Sequence[Axis]
    tables: Sequence[Choice]
    sizes: tuple[Sequence[str], Sequence[tuple[str, Sequence[Cell]]]]
    matrices: Sequence[Matrix]
    undefined: Sequence[str]


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
    parts = [
        _part(results, manifest, notes, pictures)
        for manifest, notes in zip(results.manifests, results.notes, strict=True)
    ]
    return render("sections/networks.html", networks=parts)


def _part(results: Results, manifest: Manifest, notes: Sequence[str], pictures: Pictures) -> Part:
    name = str(manifest["network"]["name"])
    rows = results.rows(name)
    axes, tables = choices(rows)
    return Part(
        name,
        facts(rows, manifest),
        notes,
        _pictures(name, results, pictures),
        axes,
        tables,
        sizes(rows, results.target),
        matrices(rows, results.lens_target),
        undefined(rows),
    )


def _pictures(name: str, results: Results, pictures: Pictures) -> list[Picture]:
    lines = [line for line in results.headlines if line.network == name]
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
    script=text_of("sections/networks.js"),
    style=render("sections/networks.css", shades=shades(), most=MOST_CHOICES),
)

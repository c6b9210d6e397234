"""The part of the page about each network, folded: facts, figures, numbers by choice, and transfer matrices."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import pandas as pd
from markupsafe import Markup

from ..figures.lenses import lenses
from ..figures.overview import overview
from ..rows import about_blocks, about_states
from .blocks_table import Cell, undefined
from .choices import Axis, Choice, choices
from .conditions import Manifest, facts
from .matrices import Matrix, matrices, shades
from .picture import Picture, Pictures
from .rendered import rendered
from .sizes import sizes

MOST_CHOICES = 8
"""Choices that one set of radio buttons may have; the style knows as many."""


class NetworkPart(NamedTuple):
    """One network.

    Attributes:
        number: on the page, from 1.
        facts: of the measurement; ``notes``: what to know before the numbers.
        axes, tables: numbers about directions, by choice; ``sizes``: headings and rows of the other numbers.
        undefined: sentences about what has no value.
    """

    number: int
    name: str
    facts: Sequence[tuple[str, str]]
    notes: Sequence[str]
    pictures: Sequence[Picture]
    axes: Sequence[Axis]
    tables: Sequence[Choice]
    sizes: tuple[Sequence[str], Sequence[tuple[str, Sequence[Cell]]]]
    matrices: Sequence[Matrix]
    undefined: Sequence[str]


def networks(
    table: pd.DataFrame,
    manifests: Sequence[Manifest],
    notes: Sequence[Sequence[str]],
    target: str,
    pictures: Pictures,
) -> Markup | None:
    """Each network, one after the other; None where none was probed.

    Args:
        table: of the results.
        manifests: of each network, in the order of the page; ``notes``: for each, what a reader needs to know first.
        target: what the losses shown are taken against.
        pictures: figures drawn before.
    """
    if not manifests:
        return None
    parts = [
        _part(number, table, manifest, said, target, pictures)
        for number, (manifest, said) in enumerate(zip(manifests, notes, strict=True), 1)
    ]
    return rendered("networks.html", networks=parts, shades=shades(), most=MOST_CHOICES)


def _part(
    number: int, table: pd.DataFrame, manifest: Manifest, notes: Sequence[str], target: str, pictures: Pictures
) -> NetworkPart:
    name = str(manifest["network"]["name"])
    rows = table[table["model"] == name]
    axes, tables = choices(rows)
    measured = len(about_blocks(rows)) > 0
    return NetworkPart(
        number,
        name,
        facts(rows, manifest),
        notes,
        _pictures(name, rows, target, pictures),
        axes,
        tables,
        sizes(rows, target),
        matrices(rows, "model" if target == "model" else "label"),
        undefined(rows) if measured else [],
    )


def _pictures(name: str, rows: pd.DataFrame, target: str, pictures: Pictures) -> list[Picture]:
    """Its figures, as far as the results have what they show."""
    title = f"{name}, descent share, efficiency, l2 ratio and gain against depth"
    found = [pictures.of(f"overview {name}", title, "", partial(overview, rows, target=target))]
    if len(about_states(rows)):
        title = f"{name}, how well lenses read each state"
        found.append(pictures.of(f"lenses {name}", title, "", partial(lenses, rows)))
    return [picture for picture in found if picture is not None]

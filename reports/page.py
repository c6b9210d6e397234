"""The page of a comparison: figures, a table of every block, and in words what is undefined. One file, no script."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader
from matplotlib.figure import Figure
from PIL import Image

from .overview import comparison, overview
from .series import choose
from .summary import Cell, blocks, headlines, undefined


@dataclass(frozen=True)
class Picture:
    """A figure inside a page: a data address, and what it shows for those who cannot see it."""

    source: str
    alt: str


@dataclass(frozen=True)
class Section:
    """What the page says of one network."""

    name: str
    facts: Sequence[tuple[str, str]]
    picture: Picture
    columns: Sequence[str]
    blocks: Sequence[tuple[str, Sequence[Cell]]]
    undefined: Sequence[str]
    notes: Sequence[str]


def page(
    table: pd.DataFrame, manifests: Sequence[dict[str, Any]], notes: Sequence[Sequence[str]], target: str = "label"
) -> str:
    """The page of one or several results.

    Args:
        table: their joint table.
        manifests: of each network, in the table's order.
        notes: for each, what a reader should be told before its numbers.
        target: what the losses shown are taken against.

    Returns:
        HTML, complete in itself; every name in it is escaped.
    """
    environment = Environment(loader=PackageLoader("reports"), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    sections = [
        _section(table[table["model"] == m["network"]["name"]], m, note, target)
        for m, note in zip(manifests, notes, strict=True)
    ]
    together = _picture(
        comparison(table, target=target), "descent share and efficiency of all networks against relative depth"
    )
    return environment.get_template("report.html").render(
        headlines=headlines(table, target),
        together=together,
        sections=sections,
        version=manifests[0]["circumstances"]["itinf"],
    )


def _section(rows: pd.DataFrame, manifest: dict[str, Any], notes: Sequence[str], target: str) -> Section:
    network, data, settings = manifest["network"], manifest["data"], manifest["settings"]
    accuracy = choose(rows, ("accuracy",), null="observed", subset="all")
    units, clusters = (int(accuracy[column].max()) for column in ("n_units", "n_clusters"))
    facts = [
        ("weights", f"{network['weights']} ({network['dtype']}, fingerprint {network['fingerprint'][:12]})"),
        (
            "data",
            f"{data['name']}: {units:,} {data['unit']}s in {clusters:,} clusters, seed {settings['seed']}",
        ),
        ("nulls", f"pairs inside groups of {settings['group']} clusters; {settings['untrained']} untrained networks"),
        ("intervals", f"95 %, over clusters; {settings['replicates']} bootstrap replicates"),
        ("measured in", f"{manifest['seconds']:.0f} s"),
    ]
    columns, found = blocks(rows, target)
    picture = _picture(
        overview(rows, target=target), f"{network['name']}: descent share, efficiency, l2 ratio and gain against depth"
    )
    return Section(network["name"], facts, picture, columns, found, undefined(rows), notes)


def _picture(figure: Figure, alt: str) -> Picture:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=170)
    small = io.BytesIO()
    Image.open(file).convert("RGB").quantize(256).save(small, format="png", optimize=True)
    return Picture("data:image/png;base64," + base64.b64encode(small.getvalue()).decode(), alt)

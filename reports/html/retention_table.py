"""What transfers, in one row per network: what the page prints beside its heat-maps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import pandas as pd

from ..labels import MATCHED, ROTATED, UNTRAINED
from ..lens_numbers import LensNumbers, estimates

HEADINGS = (
    "own lenses, one state away",
    "… all pairs",
    "… all pairs, channels matched",
    "one lens, that depth left out",
    "… depths rotated",
    "untrained: own lenses, all pairs",
    "… one lens, left out",
    "units used, widest interval",
)


class RetentionRow(NamedTuple):
    """A network and the cells of its row, one under each heading."""

    network: str
    cells: list[str]


def retention_rows(
    table: pd.DataFrame, summaries: pd.DataFrame, manifests: Iterable[dict[str, Any]]
) -> list[RetentionRow]:
    """Mean retentions of every network, and how many units they took.

    Args:
        table: a results table with transfers.
        summaries: of the same transfers.
        manifests: of the transfers of trained networks.
    """
    r, known = LensNumbers(table, summaries), {m["network"]["name"]: m for m in manifests}
    return [RetentionRow(name, [*_means(r, name), _cost(known.get(name))]) for name in r.networks]


def _means(r: LensNumbers, name: str) -> list[str]:
    found = (
        r.moved(name, 1),
        r.moved(name),
        r.moved(name, form=MATCHED),
        r.one_lens(name),
        r.one_lens(name, null=ROTATED),
        r.moved(name, target="model", null=UNTRAINED),
        r.one_lens(name, "model", UNTRAINED),
    )
    return [", ".join(e.text() for e in estimates(rows)) or "–" for rows in found]


def _cost(manifest: dict[str, Any] | None) -> str:
    """Units used and the precision they reached, beside the one that was asked for where it is not reached."""
    if manifest is None:
        return "–"
    asked = "" if manifest["stopped"] else f", ± {manifest['settings']['precision']:g} asked"
    return f"{manifest['units']:,} {manifest['data']['unit']}s, ± {manifest['reached']:.3f}{asked}"

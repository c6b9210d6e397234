"""The page's table of retention: one row per network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    table: pd.DataFrame, summaries: pd.DataFrame, manifests: Iterable[Mapping[str, Any]]
) -> list[RetentionRow]:
    """Mean retentions of every network, and how many units they took.

    Args:
        table: a results table with transfers.
        summaries: of the same transfers.
        manifests: of the transfers of trained networks.
    """
    numbers, manifest_of = LensNumbers(table, summaries), {m["network"]["name"]: m for m in manifests}
    return [
        RetentionRow(name, [*_means(numbers, name), _units_used(manifest_of.get(name))]) for name in numbers.networks
    ]


def _means(numbers: LensNumbers, name: str) -> list[str]:
    summaries = (
        numbers.transferred(name, 1),
        numbers.transferred(name),
        numbers.transferred(name, form=MATCHED),
        numbers.one_lens(name),
        numbers.one_lens(name, null=ROTATED),
        numbers.transferred(name, target="model", null=UNTRAINED),
        numbers.one_lens(name, "model", UNTRAINED),
    )
    return [", ".join(e.text() for e in estimates(rows)) or "–" for rows in summaries]


def _units_used(manifest: Mapping[str, Any] | None) -> str:
    """Units used and the precision reached; beside it the precision asked for, where it was not reached."""
    if manifest is None:
        return "–"
    asked = "" if manifest["stopped"] else f", ± {manifest['settings']['precision']:g} asked"
    return f"{manifest['units']:,} {manifest['data']['unit']}s, ± {manifest['reached']:.3f}{asked}"

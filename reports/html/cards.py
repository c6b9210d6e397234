"""The cards on top of the page: one a network, with its blocks, its data, its size and how well it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import pandas as pd
from markupsafe import Markup

from ..labels import UNTRAINED
from ..numbers import Estimate
from ..rows import about_blocks
from ..verdict.network import NO, YES, Network, networks_of
from .conditions import NOT_RECORDED, Manifest
from .strip import Blocks, strip

ROLES = {YES: "control: trained yes", NO: "control: trained no"}


class Sample(NamedTuple):
    """Some of the data of a network: up to three pictures as data URLs, or a line of text."""

    pictures: Sequence[str] = ()
    text: str = ""


class Card(NamedTuple):
    """One network in words.

    Attributes:
        colours: on light and on dark paper, "" for none.
        strip, blocks: its blocks, drawn and in words.
        scores: (what, score) of held-out data, from the card of its weights.
    """

    name: str
    role: str
    colours: tuple[str, str]
    strip: Markup
    blocks: str
    kind: str
    size: str
    data: str
    sample: Sample
    accuracy: str
    chance: str
    scores: Sequence[tuple[str, str]]


def cards(
    table: pd.DataFrame,
    manifests: Sequence[Manifest],
    power: pd.DataFrame | None = None,
    samples: Mapping[str, Sample] | None = None,
    colours: Mapping[str, tuple[str, str]] | None = None,
) -> list[Card]:
    """The cards, controls first, as the columns of the verdict table.

    Args:
        table: of the results; ``manifests``: of each network.
        power: the table of power, which knows the controls; None without.
        samples: name -> some of its data; ``colours``: name -> its colours on light and on dark paper.
    """
    by_name = {str(manifest["network"]["name"]): manifest for manifest in manifests}
    most = max((max(_blocks(table, name, m).widths, default=0) for name, m in by_name.items()), default=0)
    return [
        _card(
            network,
            table[table["model"] == network.name],
            by_name[network.name],
            most,
            (samples or {}).get(network.name, Sample()),
            (colours or {}).get(network.name, ("", "")),
        )
        for network in networks_of(table, manifests, power)
    ]


def _card(
    network: Network, rows: pd.DataFrame, manifest: Manifest, most: int, sample: Sample, colours: tuple[str, str]
) -> Card:
    about, data = manifest.get("about") or {}, manifest.get("data") or {}
    blocks = _blocks(rows, network.name, manifest)
    return Card(
        network.name,
        ROLES.get(network.role, ""),
        colours,
        strip(blocks, most),
        blocks.words,
        _kind(network, rows, manifest),
        f"{_count(about['parameters'])} parameters" if "parameters" in about else f"size {NOT_RECORDED}",
        str(data.get("name", NOT_RECORDED)),
        sample,
        _accuracy(rows, str(data.get("unit", "unit"))),
        _chance(rows, about, network.modality),
        [(str(what), _score(str(what), score)) for what, score in (about.get("scores") or {}).items()],
    )


def _blocks(table: pd.DataFrame, name: str, manifest: Manifest) -> Blocks:
    """From the manifest; of an older one from the table, which knows where states change their width."""
    about: Mapping[str, Any] = manifest.get("about") or {}
    if len(shapes := about.get("shapes", [])) > 1 and len(widths := about.get("widths", [])) == len(shapes):
        changes = [before != after for before, after in pairwise(shapes[1:])]
        return Blocks([int(width) for width in widths[1:]], list(accumulate(changes, initial=0)))
    rows = about_blocks(table[table["model"] == name]).drop_duplicates("block_index").sort_values("block_index")
    return Blocks([], [int(segment) for segment in rows["segment"]])


def _kind(network: Network, rows: pd.DataFrame, manifest: Manifest) -> str:
    """As "image network, CifarResNet, with skips, weights specimen"."""
    skips = rows["skips"].dropna()
    words = [
        f"{network.modality} network" if network.modality else "",
        str((manifest.get("about") or {}).get("family", "")),
        "" if skips.empty else "with skips" if skips.iloc[0] else "without skips",
        f"untrained ({manifest['network'].get('weights')})" if network.untrained else "",
    ]
    return ", ".join(filter(None, words))


def _count(number: int) -> str:
    """As "0.55 M"."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return str(number)


def _accuracy(rows: pd.DataFrame, unit: str) -> str:
    """With its interval and number of units."""
    found = _rows_of_accuracy(rows, "observed")
    if found.empty:
        return f"accuracy {NOT_RECORDED}"
    row = found.iloc[0]
    number = Estimate(100 * row["mean"], 50 * (row["hi"] - row["lo"])).text(most=1)
    return f"{number} % of {int(row['n_units']):,} {unit}s right"


def _chance(rows: pd.DataFrame, about: Mapping[str, Any], modality: str) -> str:
    """What is right by chance: a guess among all outputs, and untrained copies."""
    outputs, untrained = about.get("outputs"), _rows_of_accuracy(rows, UNTRAINED)
    noun = "tokens" if modality == "language" else "classes"
    said = [f"a guess among {outputs:,} {noun} {100 / outputs:.2g} %"] if outputs else []
    said += [f"untrained {100 * untrained['mean'].max():.2g} %"] if len(untrained) else []
    return f"chance: {'; '.join(said)}" if said else f"chance {NOT_RECORDED}"


def _rows_of_accuracy(rows: pd.DataFrame, null: str) -> pd.DataFrame:
    chosen = rows[(rows["measure"] == "accuracy") & (rows["null"] == null) & rows["subset"].isin(["all", ""])]
    return chosen[chosen["target"].isin(["label", ""]) & chosen["mean"].notna()]


def _score(what: str, score: float) -> str:
    return f"{100 * score:.1f} %" if "accuracy" in what else f"{score:.3g}"

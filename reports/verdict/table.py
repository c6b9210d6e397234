"""The verdict table: claims by networks, controls first, each row with what its controls are worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from markupsafe import Markup

from ..labels import UNTRAINED
from .beside import Circumstances, sources_of
from .claim import Claim
from .controls import remark, told_apart, untold
from .depth import ITERATIVE_DEPTH
from .network import Network, networks_of
from .places import MARGIN
from .sentence import sentence
from .sparkline import sparkline
from .words import MEANINGS, Verdict, Word


@dataclass(frozen=True)
class Cell:
    """One verdict, with its sparkline.

    Attributes:
        section: id of the part about the network, where the page has no section with the claim's figure; "" for no link.
        told: whether the row's controls can be told apart.
    """

    verdict: Verdict
    line: Markup
    section: str
    told: bool


@dataclass(frozen=True)
class Row:
    """One claim, with a remark on its controls."""

    claim: Claim
    cells: Sequence[Cell]
    remark: str


@dataclass(frozen=True)
class VerdictTable:
    """What the template shows; ``untrained`` says whether untrained copies were measured."""

    sentence: str
    networks: Sequence[Network]
    rows: Sequence[Row]
    remarks: Sequence[str]
    key: Sequence[tuple[str, str]]
    untrained: bool

    margin = MARGIN

    @property
    def controls(self) -> bool:
        """Whether there are any."""
        return any(network.role for network in self.networks)


def verdict_table(
    table: pd.DataFrame,
    summaries: pd.DataFrame | None,
    manifests: Sequence[Mapping[str, Any]],
    claims: Mapping[str, Callable[[], Claim]],
    power: pd.DataFrame | None = None,
    target: str = "label",
    groups: pd.DataFrame | None = None,
    members: Mapping[str, Sequence[str]] | None = None,
) -> VerdictTable | None:
    """The verdicts on all networks; None without networks or claims.

    Args:
        table, summaries: of a comparison.
        manifests: of each network, in the order of the page.
        claims: name in the registry -> what opens the claim. An error in one of them becomes a remark.
        power: the table of power; None without controls.
        target: what the losses shown are taken against.
        groups: the table of groups of networks; ``members``: group -> names of its networks.
    """
    if not manifests or not claims:
        return None
    networks = networks_of(table, manifests, power)
    of = {manifest["network"]["name"]: manifest for manifest in manifests}
    about = {n.name: _circumstances(n, of[n.name]) for n in networks}
    sources = sources_of([n.name for n in networks], table, summaries, target, groups, members, about)
    sections = {manifest["network"]["name"]: f"network-{k}" for k, manifest in enumerate(manifests, 1)}
    rows, remarks, top = [], [], ""
    for name, opens in claims.items():
        try:
            claim = opens()
            judged = {model: claim.decide(claim.find(source)) for model, source in sources.items()}
            if claim.optional and all(verdict.word is Word.UNDEFINED for verdict in judged.values()):
                continue
            told = told_apart(claim, judged, networks, power)
            cells = [_cell(claim, judged[n.name], told[n.modality], sections[n.name]) for n in networks]
            rows.append(Row(claim, cells, remark(told)))
        except Exception as error:  # an error in somebody else's claim must not prevent the page
            remarks.append(f"The claim {name!r} could not be decided ({type(error).__name__}: {error}).")
            continue
        if claim is ITERATIVE_DEPTH:
            top = sentence(networks, judged, told)
    rows.sort(key=lambda row: (row.claim.order, row.claim.name))
    key = [(word.shape, meaning) for word, meaning in MEANINGS.items()]
    return VerdictTable(top, networks, rows, remarks, key, bool((table["null"] == UNTRAINED).any()))


def _circumstances(network: Network, manifest: Mapping[str, Any]) -> Circumstances:
    data, about = (manifest.get(name) or {} for name in ("data", "about"))
    count = about.get("parameters")
    return Circumstances(
        data.get("name"), network.untrained, count if isinstance(count, int) else None
    )  # edited by hand


def _cell(claim: Claim, verdict: Verdict, told: str, section: str) -> Cell:
    line = sparkline(verdict.curve, verdict.need, claim.scale, verdict.nulls)
    return Cell(_answered(claim, verdict), line, "" if verdict.word is Word.UNDEFINED else section, not untold(told))


def _answered(claim: Claim, verdict: Verdict) -> Verdict:
    """With the answer of a question that has answers of its own; where it holds is kept."""
    if not claim.says:
        return verdict
    rest = verdict.rest.removeprefix(", beyond every null")
    if verdict.word is Word.MIXED:
        return replace(verdict, rest=rest.replace("yes", claim.says.get(Word.YES, "yes"), 1))
    answer = claim.says.get(Word.YES if verdict.word is Word.PART else verdict.word)
    return replace(verdict, lead=answer, rest=rest) if answer else verdict

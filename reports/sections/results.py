"""All that a page is made from: tables, manifests and notes, without weights or data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from ..html.blocks_table import Headline, headlines
from ..html.examples import Examples
from ..html.onset_table import OnsetRow, onset_rows
from ..verdict.claim import Claim
from ..verdict.table import VerdictTable, verdict_table

Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class Results:
    """One or several results, or transfers alone.

    Attributes:
        table: their joint table, with the rows of transfers of their lenses where there are some.
        manifests: of each network, in the table's order.
        notes: for each, what a reader needs to know before its numbers.
        target: what the losses shown are taken against.
        summaries: of the transfers, empty without; ``transfers``: the manifests of those of trained networks.
        remarks: why a network has no lenses.
        groups: the table of groups of networks, None where there are none; ``group_notes``: what to know before it;
            ``members``: group -> names of its networks.
        power: the table of power; None where there are no controls.
        added: names of figures that do not come with itinf; ``failed``: why such a figure or section is missing.
        joined: what became of results that come from several folders.
        paired: names of networks that were measured on the same clusters, for each such set of clusters.
        study: text of the study file, "" without one; ``files``: paths of the files beside the page, as far as they are known.
        examples: name of a network -> its examples, or a sentence that says why there are none; others have none recorded.
        claims: rows of the verdict table: name -> what opens the claim.
    """

    table: pd.DataFrame
    manifests: Sequence[Manifest]
    notes: Sequence[Sequence[str]]
    target: str = "label"
    summaries: pd.DataFrame = field(default_factory=pd.DataFrame)
    transfers: Sequence[Manifest] = ()
    remarks: Sequence[str] = ()
    groups: pd.DataFrame | None = None
    group_notes: Sequence[str] = ()
    members: Mapping[str, Sequence[str]] = field(default_factory=dict)
    power: pd.DataFrame | None = None
    added: Sequence[str] = ()
    failed: Sequence[str] = ()
    joined: Sequence[str] = ()
    paired: Sequence[Sequence[str]] = ()
    study: str = ""
    files: Sequence[str] = ()
    examples: Mapping[str, Examples | str] = field(default_factory=dict)
    claims: Mapping[str, Callable[[], Claim]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Of the networks."""
        return [manifest["network"]["name"] for manifest in self.manifests or self.transfers]

    @property
    def version(self) -> str:
        """The itinf that measured the first of the results; "" where it was not recorded."""
        sittings = [sitting for m in (*self.manifests, *self.transfers) for sitting in m.get("history") or []]
        return str((sittings[0].get("circumstances") or {}).get("itinf", "")) if sittings else ""

    @property
    def roles(self) -> dict[str, str]:
        """Name of a control -> its role."""
        return {} if self.power is None else dict(zip(self.power["model"], self.power["role"], strict=True))

    @property
    def lens_target(self) -> str:
        """The target of the numbers through lenses."""
        return "model" if self.target == "model" else "label"

    @cached_property
    def verdict(self) -> VerdictTable | None:
        """The verdict table."""
        return verdict_table(
            self.table,
            self.summaries,
            self.manifests,
            self.claims,
            self.power,
            self.target,
            self.groups,
            self.members,
        )

    @cached_property
    def headlines(self) -> Sequence[Headline]:
        """Each network in one row: its accuracy, and how many of its blocks descend more often than each null."""
        return headlines(self.table, self.target)

    @cached_property
    def onsets(self) -> Sequence[OnsetRow]:
        """Where iterative inference begins in each network."""
        return onset_rows(self.table, self.summaries, self.roles)

    def rows(self, name: str) -> pd.DataFrame:
        """The table of one network."""
        return self.table[self.table["model"] == name]

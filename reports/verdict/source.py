"""The tables of one network, from which claims take their numbers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import pandas as pd

from ..labels import UNTRAINED
from ..selector import Selector
from .places import NOTHING, Number, Place, Untrained, mean_of, numbers


class PlainGroup(NamedTuple):
    """A group of networks without skips, beside a group with skips.

    Attributes:
        name: of the group; ``minus``: "skips − plain", and how many trained networks are in each, in words.
        means: its rows in the table of groups.
        differences: rows of the group with skips − this one; their intervals are over trained networks.
    """

    name: str
    minus: str
    means: pd.DataFrame
    differences: pd.DataFrame


@dataclass(frozen=True)
class Source:
    """One network.

    Attributes:
        table: its rows of the results table, with those of its transfers and untrained copies.
        summaries: its rows of the summaries; empty where nothing was transferred.
        target: what losses are taken against.
        twins: if it has skips, the networks of the same page that are alike but for the skips.
        groups: if it is in a group of networks with skips, the groups alike without.
    """

    table: pd.DataFrame
    summaries: pd.DataFrame
    target: str = "label"
    twins: tuple[Source, ...] = ()
    groups: tuple[PlainGroup, ...] = ()

    @property
    def name(self) -> str:
        """Of the network; "" of an empty table."""
        return str(self.table["model"].iloc[0]) if len(self.table) else ""

    def rows(self, measure: str, **values: str) -> pd.DataFrame:
        """Rows of a measure in order of depth; of all units and its target unless said otherwise, of no lens or part.

        Args:
            measure: name of the measure; **values: column -> value.
        """
        wanted = {
            "subset": "all",
            "target": self.target,
            "null": "observed",
            "lens": "",
            "part": "",
            "form": "",
        } | values
        return self._selector.of_measure(measure).where(**wanted)

    @cached_property
    def _selector(self) -> Selector:
        return Selector(self.table.sort_values(["block_index", "state_index"]))

    def why_not(self, measure: str) -> str:
        """Why a measure has no value, or was not measured."""
        rows = self._selector.of_measure(measure).rows
        found = rows.loc[rows["reason"] != "", "reason"]
        return str(found.mode().iloc[0]) if len(found) else "it was not measured"

    def effects(self, measure: str, null: str, ceiling: bool = False, **values: str) -> list[Place]:
        """Blocks or states with the paired effect of a measure against a null.

        Args:
            measure, null: names; **values: column -> value.
            ceiling: whether the measure cannot exceed 1, so that a null near it leaves no room.
        """
        found = self.rows(f"{measure}_effect", null=null, **values)
        levels = by_place(self.rows(measure, null=null, **values)) if ceiling else {}
        return [
            Place(at, effect, level=levels.get(at, NOTHING).mean, reason=reason)
            for (at, effect), reason in zip(by_place(found).items(), found["reason"], strict=True)
        ]

    def against_untrained(self, measure: str, **values: str) -> Untrained | None:
        """A measure beside that of untrained copies."""
        return beside_untrained(self.rows(measure, **values), self.rows(measure, **values | {"null": UNTRAINED}))


def beside_untrained(observed: pd.DataFrame, untrained: pd.DataFrame) -> Untrained | None:
    """The mean over depth beside that of the untrained copy with the highest; None where one of them has no value."""
    here = _known(observed)
    copies = [mean_of(known) for _, rows in untrained.groupby("null_seed") if (known := _known(rows))]
    return Untrained(max(copies).mean, mean_of(here).minus(max(copies))) if copies and here else None


def by_place(rows: pd.DataFrame) -> dict[int, Number]:
    """Block or state -> its number, in order of depth; ``rows`` are one curve."""
    column = "block_index" if rows["block_index"].notna().any() else "state_index"
    return dict(zip(rows[column].astype(int), numbers(rows), strict=True))


def _known(rows: pd.DataFrame) -> list[Number]:
    return [one for one in numbers(rows) if one.mean == one.mean]

"""The networks of a page, each with those that are alike but for the skips: twins, and groups of trained networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import pandas as pd

from ..lens_numbers import LensNumbers
from .source import PlainGroup, Source

LEAST_SHARE = 0.9
"""Of the parameters of the larger of two twins, what the smaller has at least: shortcuts may have some."""


class Circumstances(NamedTuple):
    """What twins have in common besides their states.

    Attributes:
        data: its name; ``untrained``: whether the weights are random.
        parameters: how many, None where it is not known: a network whose blocks share one set of weights is no twin.
    """

    data: str | None
    untrained: bool
    parameters: int | None

    def allow(self, other: Circumstances) -> bool:
        """Whether the two networks can be twins."""
        sizes = sorted(one.parameters for one in (self, other) if one.parameters)
        return self[:2] == other[:2] and (len(sizes) < 2 or sizes[0] >= LEAST_SHARE * sizes[1])


def sources_of(
    names: Sequence[str],
    table: pd.DataFrame,
    summaries: pd.DataFrame | None,
    target: str = "label",
    groups: pd.DataFrame | None = None,
    members: Mapping[str, Sequence[str]] | None = None,
    circumstances: Mapping[str, Circumstances] | None = None,
) -> dict[str, Source]:
    """Name -> the tables of one network, and what it is compared with.

    Args:
        names: of the networks; ``table``, ``summaries``: of all of them; ``target``: what losses are taken against.
        groups: the table of groups, None without; ``members``: group -> names of its networks.
        circumstances: name -> what twins must have in common besides their states; None for nothing.
    """
    whole = pd.DataFrame() if summaries is None else summaries
    numbers = LensNumbers(table, whole)
    kept = {name: whole if whole.empty else whole[whole["model"] == name] for name in names}
    alone = {name: Source(table[table["model"] == name], kept[name], target) for name in names}
    twins = {
        name: [
            one
            for one in numbers.alike_without_skips(name)
            if one in alone and (circumstances is None or circumstances[name].allow(circumstances[one]))
        ]
        for name in names
    }
    return {
        name: replace(
            source,
            twins=tuple(alone[twin] for twin in twins[name]),
            groups=() if groups is None else _plain_groups(name, groups, members or {}, twins),
        )
        for name, source in alone.items()
    }


def _plain_groups(
    name: str, groups: pd.DataFrame, members: Mapping[str, Sequence[str]], twins: Mapping[str, Sequence[str]]
) -> tuple[PlainGroup, ...]:
    """The groups without skips beside a network's own group: every network of one is a twin of every one of the other."""
    own = next((group for group, names in members.items() if name in names), None)
    if own is None:
        return ()
    common = set.intersection(*(set(twins.get(one, ())) for one in members[own]))
    lacking = [group for group, names in members.items() if common.issuperset(names)]
    return tuple(_beside(own, group, groups) for group in lacking)


def _beside(having: str, lacking: str, groups: pd.DataFrame) -> PlainGroup:
    forward = groups[(groups["group"] == having) & (groups["minus"] == lacking)]
    backward = groups[(groups["group"] == lacking) & (groups["minus"] == having)]  # as the study names them
    turned = backward.assign(
        mean=-backward["mean"],
        lo=-backward["hi"],
        hi=-backward["lo"],
        networks=backward["networks_minus"],
        networks_minus=backward["networks"],
    )
    rows = forward if len(forward) else turned
    counts = f"{rows['networks'].max()} and {rows['networks_minus'].max()} trained networks" if len(rows) else ""
    means = groups[(groups["group"] == lacking) & (groups["minus"] == "")]
    return PlainGroup(lacking, f"{having} − {lacking}, {counts}", means, rows)

"""Groups of networks in words: for the console, for a notebook, and what a reader needs to know before the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from .groups import HEADLINES, correspond
from .notebook import ranged


def group_notes(
    table: pd.DataFrame, groups: Mapping[str, Sequence[str]], data: Mapping[str, str] | None = None
) -> list[str]:
    """What a reader needs to know about the groups before their numbers: one sentence for each, and doubts.

    Args:
        table: the joint table; ``groups``: group -> names of its networks.
        data: network -> name of the data it was measured on; None for the same data.
    """
    notes = []
    for group, names in groups.items():
        one = " One network says nothing about other trainings: it has no interval."
        rough = {1: one, 2: " Two networks give an interval of 1 degree of freedom, which is very wide."}
        notes.append(f"{group}: {', '.join(names)}.{rough.get(len(names), '')}")
        if not correspond(table, names):
            notes.append(f"{group}: its networks have other blocks each, so it has no numbers of single blocks.")
        if len(measured := dict.fromkeys((data or {}).get(name, "") for name in names)) > 1:
            notes.append(f"{group}: its networks were measured on different data ({', '.join(measured)}).")
    return notes


def group_lines(rows: pd.DataFrame, notes: Sequence[str]) -> list[str]:
    """The headlines of a table of groups as text: a line for every group, and for every difference of two.

    Args:
        rows: from ``group_table``; ``notes``: from ``group_notes``.
    """
    lines = [
        "Groups, ± half a 95 % interval over networks, not over images or sequences",
        *(f"  {note}" for note in notes),
    ]
    for headline in HEADLINES:
        of = rows[(rows["headline"] == headline) & rows["mean"].notna()]
        lines += [f"  {headline}", *(f"    {_said(row)}" for _, row in of.iterrows())] if len(of) else []
    return lines


def group_answers(rows: pd.DataFrame) -> list[str]:
    """One sentence for every two groups: how the numbers that answer first differ, over networks."""
    told = rows[(rows["minus"] != "") & (rows["headline"] != "") & rows["mean"].notna()]
    sentences = []
    for _, of in told.groupby(["group", "minus"], sort=False):
        numbers = [f"{row['headline']} {_interval(row)} (p = {row['p']:.2g})" for _, row in of.iterrows()]
        least = of.iloc[0]
        sentences.append(
            f"{_name(least)}, over {least['networks']} and {least['networks_minus']} networks (least p {least['least_p']:.2g}): "
            f"{'; '.join(numbers)}."
        )
    return sentences


def shown_groups(rows: pd.DataFrame) -> list[dict[str, str]]:
    """The headlines of a table of groups, one in each row of a small table: heading -> cell."""
    made = []
    for headline in HEADLINES:
        of = rows[(rows["headline"] == headline) & rows["mean"].notna()]
        cells = {
            _name(row): _interval(row) + (f", p = {row['p']:.2g}" if row["p"] > 0 else "") for _, row in of.iterrows()
        }
        made += [{"mean over blocks or states": headline} | cells] if cells else []
    return made


def _said(row: pd.Series) -> str:
    count = f"{row['networks']} and {row['networks_minus']}" if row["minus"] else row["networks"]
    p = "" if np.isnan(row["p"]) else f", permutation p = {row['p']:.2g} (least possible {row['least_p']:.2g})"
    reason = f", {row['reason']}" if row["reason"] else ""
    return f"{_name(row):<24} {_interval(row)} ({count} networks{p}{reason})"


def _name(row: pd.Series) -> str:
    return f"{row['group']} − {row['minus']}" if row["minus"] else str(row["group"])


def _interval(row: pd.Series) -> str:
    return ranged(row["mean"], row["lo"], row["hi"], bool(row["minus"]) or row["measure"].endswith("_effect"))

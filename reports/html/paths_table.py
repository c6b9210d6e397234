"""The path lengths of every network in numbers, and what they say in a sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from ..figures.paths import by_length, effective_lengths, of_first_state
from ..numbers import Estimate, number
from ..verdict.sentence import named

TAILS = (0.05, 0.95)


class PathRow(NamedTuple):
    """One network from one state on, in words."""

    network: str
    state: str
    steps: str
    effective: str
    untrained: str
    middle: str
    norms: str
    sampled: str


def path_rows(table: pd.DataFrame) -> list[PathRow]:
    """One row for each network and first state of a segment, in the order of the table."""
    shares, sampled = by_length(table), by_length(table, "sampled_path_norm")
    at = ["model", "update", "state_index"]
    found = []
    for place, of in shares[shares["null"] == "observed"].groupby(at, sort=False):
        here = _at(table, at, place)
        peak = _at(sampled, at, place)
        peak = peak[peak["null"] == "observed"]
        first = of.iloc[0]
        steps = "blocks" if first["update"] == "branch" else "parts"
        found.append(
            PathRow(
                str(first["model"]),
                str(first["state"]),
                f"{int(first['longest'])} {steps}",
                _estimate(here, "effective_path_length", "", "observed"),
                _estimate(here, "effective_path_length", "", "untrained"),
                _middle(of),
                _estimate(here, "path_norm", "all lengths", "observed"),
                "" if peak.empty else f"{number(float(peak['mean'].max()), 2)} at {_peak(peak)}",
            )
        )
    return found


def paths_caption(table: pd.DataFrame) -> str:
    """In which networks the effective length is below or above half of the longest path, by its interval."""
    longest = by_length(table).groupby(["model", "update", "state_index"])["longest"].first()
    rows = of_first_state(effective_lengths(table))
    sides: dict[str, list[str]] = {"shorter": [], "longer": [], "not told apart from it": []}
    for one in rows[rows["null"] == "observed"].to_dict("records"):
        most = int(longest[one["model"], one["update"], one["state_index"]])
        words = f"{named(str(one['model']))} ({number(float(one['mean']), 1)} of {most})"
        side = "shorter" if one["hi"] < most / 2 else "longer" if one["lo"] > most / 2 else "not told apart from it"
        sides[side].append(words)
    told = [f"{side} in {', '.join(networks)}" for side, networks in sides.items() if networks]
    return f"Effective length against half of the longest path: {'; '.join(told)}." if told else ""


def _at(rows: pd.DataFrame, columns: Sequence[str], place: object) -> pd.DataFrame:
    assert isinstance(place, tuple)
    for column, value in zip(columns, place, strict=True):
        rows = rows[rows[column] == value]
    return rows


def _estimate(rows: pd.DataFrame, measure: str, form: str, null: str) -> str:
    chosen = rows[(rows["measure"] == measure) & (rows["form"] == form) & (rows["null"] == null)].dropna(subset="mean")
    texts = []
    for one in chosen.to_dict("records"):
        half = (float(one["hi"]) - float(one["lo"])) / 2
        texts.append(
            Estimate(float(one["mean"]), half).text(most=2) if math.isfinite(half) else number(float(one["mean"]), 2)
        )
    return ", ".join(texts)


def _middle(shares: pd.DataFrame) -> str:
    """The lengths at which the added-up shares pass 5 and 95 %."""
    added = shares["mean"].cumsum()
    low, high = (int(shares["length"][added >= tail].iloc[0]) if (added >= tail).any() else -1 for tail in TAILS)
    return f"{low} … {high}" if min(low, high) >= 0 else ""


def _peak(rows: pd.DataFrame) -> int:
    return int(rows["length"].loc[rows["mean"].idxmax()])

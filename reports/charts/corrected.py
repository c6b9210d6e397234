"""What came out in the charts of the section on errors, each in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ..figures.beliefs import moved
from ..figures.bits import own_bits
from ..figures.later_response import OTHER_PLACE, OTHER_TOKEN, SHARE, effects
from ..figures.recovery import DETOUR, INFORMATION, INSERTED, KEPT, RANDOM, by_place, insertions, processes
from ..figures.signed import written
from ..numbers import Estimate, counted, number
from ..verdict.sentence import named


def bits_caption(table: pd.DataFrame, networks: Sequence[str]) -> str:
    """From how many bits to how many, and at how many blocks they fall."""
    said = []
    for name in networks:
        own = own_bits(table[table["model"] == name])
        if len(own) > 1:
            falls = int((own["mean"].diff().dropna() < 0).sum())
            ends = f"{number(float(own['mean'].iloc[0]), 2)} to {number(float(own['mean'].iloc[-1]), 2)}"
            said.append(f"{named(name)} {ends}, less at {falls} of {counted(len(own) - 1, 'block')}")
    return _sentence("Bits by the network's own readout, first depth to last", said)


def later_caption(table: pd.DataFrame) -> str:
    """The state at which most is subtracted, beside other places and tokens there."""
    rows, said = effects(table), []
    for name, mine in rows.groupby("model", sort=False):
        known = mine[(mine["null"] == "observed")].dropna(subset="mean")
        if known.empty:
            continue
        most = known.loc[known["mean"].idxmin()]
        beside = [f"{_thousandths(most)} at state {int(most['state_index'])}"]
        for null, words in ((OTHER_PLACE, "other place"), (OTHER_TOKEN, "other token")):
            there = mine[(mine["null"] == null) & (mine["state_index"] == most["state_index"])].dropna(subset="mean")
            beside += [f"{words} {written(float(there['mean'].iloc[0]))}"] if len(there) else []
        said.append(f"{named(str(name))} {' ('.join(beside[:2])}{'; ' if beside[2:] else ''}{'; '.join(beside[2:])}"
                    f"{')' if beside[1:] else ''}")  # fmt: skip
    return _sentence("Most is subtracted, in thousandths of a nat per nat", said)


def share_caption(table: pd.DataFrame) -> str:
    """The largest ρ of each network with its interval."""
    rows, said = effects(table, SHARE), []
    for name, mine in rows[rows["null"] == "observed"].dropna(subset="mean").groupby("model", sort=False):
        most = mine.loc[mine["mean"].abs().idxmax()]
        within = f" [{number(most['lo'], 2)}, {number(most['hi'], 2)}]" if pd.notna(most["lo"]) else ""
        said.append(f"{named(str(name))} {number(most['mean'], 2)}{within}")
    return _sentence("At the state where it is farthest from 0", said)


def kept_caption(table: pd.DataFrame) -> str:
    """What is kept at the first place and at the last, after random tokens and after a detour."""
    said = []
    detour = by_place(table, KEPT, DETOUR).dropna(subset="mean")
    for name, mine in by_place(table, KEPT, INSERTED).dropna(subset="mean").groupby("model", sort=False):
        ends = [f"{number(float(one['mean']), 2)} at {one['subset']}" for _, one in mine.iloc[[0, -1]].iterrows()]
        other = detour[(detour["model"] == name) & (detour["subset"] == mine["subset"].iloc[0])]
        after = f" (after a detour of its own {number(float(other['mean'].iloc[0]), 2)} at first)" if len(other) else ""
        said.append(f"{named(str(name))} {' and '.join(ends)}{after}")
    return _sentence("Kept of what the old context was worth", said)


def surprise_caption(table: pd.DataFrame) -> str:
    """Surprise of the first and the last insertion by process, and what own tokens carry of the insertions."""
    said = []
    carries = table[
        (table["measure"] == INFORMATION) & (table["subset"] == "own tokens") & (table["null"] == "observed")
    ]
    for name in dict.fromkeys(table["model"]):
        told = []
        for process in sorted(processes(table), key=lambda one: one == RANDOM):
            mine = insertions(table[table["model"] == name], process).dropna(subset="mean")
            if len(mine) > 1:
                ends = f"{number(float(mine['mean'].iloc[0]), 1)} to {number(float(mine['mean'].iloc[-1]), 1)}"
                own = carries[(carries["model"] == name) & (carries["form"] == process)].dropna(subset="mean")
                tell = f", own tokens carry {_estimate(own.iloc[0])} bits of it" if len(own) else ""
                told.append(f"{process} {ends}{tell}")
        said += [f"{named(str(name))}: {'; '.join(told)}"] if told else []
    return _sentence("First insertion to last, in bits", said)


def excess_caption(table: pd.DataFrame) -> str:
    """How many blocks go too far, move as beliefs do, or go on in one direction."""
    said = []
    for name in dict.fromkeys(table["model"]):
        found = moved(table[table["model"] == name])
        best = None if found is None else found.best.dropna(subset="lo")
        if best is None or best.empty:
            continue
        far, small = int((best["lo"] > 0).sum()), int((best["hi"] < 0).sum())
        lens = str(best["lens"].iloc[0])
        by = f"through {lens} lenses" if lens else "by its own readout"
        said.append(f"{named(str(name))} ({by}) {far} above 0, {small} below, of {counted(len(best), 'block')}")
    return _sentence("At the best temperature", said)


def _thousandths(row: pd.Series) -> str:
    half = (row["hi"] - row["lo"]) / 2
    return written(float(row["mean"])) + (f" ± {number(1000 * half, 1)}" if pd.notna(half) else "")


def _estimate(row: pd.Series) -> str:
    return Estimate(float(row["mean"]), float(row["hi"] - row["lo"]) / 2).text(most=2)


def _sentence(lead: str, said: Sequence[str]) -> str:
    return f"{lead}: {'; '.join(said)}." if said else ""

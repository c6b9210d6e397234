"""What each of the figures that carry the comparison says, in a sentence decided from its numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from ..figures.distance import means_by_distance
from ..figures.readable import own_readings, with_something_to_keep
from ..labels import LEFT_OUT, UNTRAINED
from ..numbers import counted, number, signed
from ..verdict.sentence import named
from ..verdict.states import LEAST_BITS
from ..verdict.words import Verdict, Word

HALF = 0.5
MOST = 6
"""Networks that one clause names, at most."""


def onset_caption(judged: Mapping[str, Verdict]) -> str:
    """Over how much of its depth each network writes one prediction in one code that is used and improved.

    Args:
        judged: name -> verdict on the iterative depth.
    """
    shares = [f"{_percent(v.size.mean)} of {named(n)}" for n, v in judged.items() if v.word in (Word.YES, Word.PART)]
    return _sentence(
        "One prediction, in one code, used and improved",
        {
            "over the last": shares,
            "in untrained copies as far in": _of(judged, Word.SAME),
            "nowhere in": _of(judged, Word.NO),
            "cannot be told of": _of(judged, Word.OPEN, Word.FEW),
        },
    )


def distance_caption(table: pd.DataFrame, networks: Iterable[str]) -> str:
    """How far away, on average over pairs of states, the lens of another state tells at least half."""
    means = means_by_distance(table, "observed", "label")
    untrained = with_something_to_keep(means_by_distance(table, UNTRAINED, "model"), table)
    reaching: list[str] = []
    same, some, none = [], [], []
    for name in networks:
        of = means[(means["model"] == name) & ~means["input"]]
        if of.empty:
            continue
        reaches = [_reach(segment) for _, segment in of.groupby("segment")]
        far = [reach for reach in reaches if reach > 0]
        if not far:
            none.append(named(name))
        elif _no_more(of, untrained[(untrained["model"] == name) & ~untrained["input"]]):
            same.append(named(name))
        elif len(far) < len(reaches):
            some.append(f"{len(far)} of {counted(len(reaches), 'segment')} of {named(name)}")
        else:
            reaching.append(
                f"{_percent(min(far))} of the depth away in {named(name)}"
                if not reaching
                else f"{_percent(min(far))} in {named(name)}"
            )
    return _sentence(
        "Other states that own lenses tell half of or more, on average",
        {
            "up to": reaching,
            "in": some,
            "as many in untrained copies of": same,
            "not even one state away in": none,
        },
    )


def one_lens_caption(judged: Mapping[str, Verdict], table: pd.DataFrame) -> str:
    """Which states of each network one lens reads that was fitted without them.

    Args:
        judged: name -> verdict on the claim that one lens reads all depths.
        table: of results.
    """
    kept = table[(table["measure"] == "retention") & (table["lens"] == LEFT_OUT)]
    kept = kept[(kept["target"] == "label") & (kept["null"] == "observed") & (kept["state_index"] > 0)]
    least, most = (kept.groupby("model")["mean"].agg(of) for of in ("min", "max"))

    def ranged(name: str) -> str:
        return f"{named(name)} ({_short(least[name])} … {_short(most[name])})"

    parts = [f"{_where(v)} of {named(name)}" for name, v in judged.items() if v.word in (Word.PART, Word.MIXED)]
    return _sentence(
        "What one lens reads",
        {
            "every state of": [ranged(name) for name, v in judged.items() if v.word is Word.YES],
            "": parts,
            "no more than a null in": _of(judged, Word.SAME),
            "less than half of": _of(judged, Word.LITTLE),
            "nothing of": _of(judged, Word.NO, Word.REVERSE),
            "cannot be told of": _of(judged, Word.OPEN, Word.FEW, Word.NO_ROOM),
        },
    )


def descent_caption(judged: Mapping[str, Verdict]) -> str:
    """At which blocks of each network steps go down the loss more often than another unit's steps would.

    Args:
        judged: name -> verdict on the claim that steps go down the loss.
    """
    everywhere = [f"{named(name)} ({signed(v.size.mean, 2)})" for name, v in judged.items() if v.word is Word.YES]
    parts = [
        f"at {_where(v)} of {named(name)}" + (" and less often at others" if "the reverse" in v.rest else "")
        for name, v in judged.items()
        if v.word in (Word.PART, Word.MIXED)
    ]
    return _sentence(
        "Steps that go down the loss more often than other units' steps would (pairing)",
        {
            "at every measured block of": everywhere,
            "": parts,
            "no more often than in untrained copies in": _of(judged, Word.SAME),
            "as often in": _of(judged, Word.NO),
            "less often in": _of(judged, Word.REVERSE),
            "cannot be told of": _of(judged, Word.OPEN, Word.FEW, Word.NO_ROOM),
        },
    )


def readable_caption(table: pd.DataFrame, networks: Iterable[str]) -> str:
    """After how much of the depth own lenses tell half of what they tell at the end."""
    rows = own_readings(table, "observed", "label").dropna(subset="mean")
    found: list[tuple[float, str]] = []
    little = []
    for name in networks:
        of = rows[rows["model"] == name].sort_values("state_index")
        if of.empty:
            continue
        if of["mean"].iloc[-1] < LEAST_BITS:
            little.append(named(name))
            continue
        below = of["mean"].to_numpy(float) < HALF * float(of["mean"].iloc[-1])
        first = int(np.flatnonzero(below)[-1]) + 1 if below.any() else 0
        if first < len(of):
            found.append((float(of["depth"].iloc[first]), named(name)))
    found.sort(key=lambda one: one[0])
    said = [
        f"in the input of {name}" if share == 0 else f"after {_percent(share)} of depth in {name}"
        for share, name in found
    ]
    return _sentence(
        "Half of the bits at the end can be read", {"": said, f"the end tells less than {LEAST_BITS:g} bits in": little}
    )


def _of(judged: Mapping[str, Verdict], *words: Word) -> list[str]:
    return [named(name) for name, verdict in judged.items() if verdict.word in words]


def _where(verdict: Verdict) -> str:
    """As "the last 6 of 10 states"."""
    return verdict.rest.partition(";")[0].strip(",: ").removeprefix("yes ").removeprefix("in ")


def _reach(segment: pd.DataFrame) -> float:
    """The share of depth up to which means are at least half, by their intervals; 0 if one state away they are not."""
    share = 0.0
    for one in segment.sort_values("distance").to_dict("records"):
        if not (one["mean"] if pd.isna(one["lo"]) else one["lo"]) >= HALF:
            break
        share = float(one["share"])
    return share


def _no_more(observed: pd.DataFrame, untrained: pd.DataFrame) -> bool:
    """Whether untrained copies keep as much at half of the distances or more."""
    at = ["segment", "distance"]
    beside = observed.set_index(at)[["lo"]].join(untrained.groupby(at)["hi"].max(), how="inner")
    return len(beside) > 0 and 2 * int((beside["lo"] > beside["hi"]).sum()) <= len(beside)


def _sentence(lead: str, clauses: Mapping[str, Sequence[str]]) -> str:
    """What it is about, then clauses that name networks, with semicolons between them; "" without any."""
    told = [f"{words} {_listed(names)}".strip() for words, names in clauses.items() if names]
    return f"{lead}: {'; '.join(told)}." if told else ""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= MOST else f"{', '.join(names[:MOST])} and {len(names) - MOST} more"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _short(value: float) -> str:
    return number(value, 2).replace("0.", ".", 1) if abs(value) < 0.995 else number(value, 2)

"""The words of the verdict table, each with a shape, and the one rule that decides them.

A word is decided from what every block or state says, never from a mean over them: a mean of two segments, one full and one
empty, is of neither. What is beyond every null at all places is a yes; at the first or last ones, a yes in part.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from ..numbers import Estimate, counted, number, signed
from .places import MARGIN, NOTHING, Number, Place, Says, Untrained, mean_of

CLEARLY = 2
"""A network says yes, or the reverse, where so many times more places do than say the opposite; else it is mixed."""


class Word(Enum):
    """A shape and its word."""

    YES = "●", "yes"
    PART = "◐", "yes, in part"
    SAME = "◇", "yes, but a null too"
    NO = "○", "no"
    REVERSE = "▼", "the reverse"
    MIXED = "⇅", "mixed"
    LITTLE = "◔", "less than half"
    OPEN = "≈", "cannot be told"
    FEW = "?", "too few units"
    NO_ROOM = "▢", "no room"
    UNDEFINED = "–", "not defined"

    @property
    def shape(self) -> str:
        return self.value[0]


MEANINGS = {
    Word.YES: "yes, at all blocks or states, beyond every null",
    Word.PART: "yes, in the first or last blocks or states, or in as many as it says",
    Word.SAME: "yes, but no more than the null that it names",
    Word.NO: f"no: the interval lies within ± {MARGIN}",
    Word.REVERSE: "the reverse",
    Word.MIXED: "some blocks or states say yes, others the reverse, in no order",
    Word.LITTLE: "more than nothing, less than the half that is needed",
    Word.OPEN: "the interval is too wide for any of these",
    Word.FEW: "too few units for an interval",
    Word.NO_ROOM: "no room: the null itself is at .95 or above",
    Word.UNDEFINED: "not defined or not measured, and why",
}
"""What each word means, for the key below the table."""


@dataclass(frozen=True)
class Evidence:
    """What a claim is decided from, for one network.

    Attributes:
        places: its blocks or states, in order of depth.
        noun: "block" or "state"; ``unit`` of the numbers, such as "bits".
        null: the nulls that judge, and their numbers, in words.
        untrained: the number of untrained copies; None where there is nothing to compare.
        reason: why there are no places.
    """

    places: Sequence[Place] = ()
    noun: str = "block"
    unit: str = ""
    null: str = ""
    untrained: Untrained | None = None
    reason: str = ""


@dataclass(frozen=True)
class DepthEvidence:
    """What the iterative depth of one network is decided from.

    Attributes:
        depth: the iterative depth; ``blocks``: how many there are.
        null: the depths at other thresholds and of untrained copies, in words.
        untrained: the upper end of the interval of an untrained copy; None without one.
        curve: as in ``Verdict``.
        reason: why there is none.
    """

    depth: Number = NOTHING
    blocks: int = 0
    null: str = ""
    untrained: float | None = None
    curve: tuple[tuple[int, float, bool], ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Verdict:
    """One cell: a word, what it says in full, the number it rests on, its null, and the curve of its sparkline.

    Attributes:
        lead, rest: together what it says in full.
        size: the number; NaN where there is none.
        number: the same in words, with its interval.
        curve: (place, value, whether it counts for a yes).
        need: threshold in the curve.
        nulls: lower and upper end of a null at each place of the curve, NaN where there is none.
    """

    word: Word
    lead: str
    rest: str = ""
    size: Number = NOTHING
    number: str = ""
    null: str = ""
    curve: tuple[tuple[int, float, bool], ...] = ()
    need: float = 0.0
    nulls: tuple[tuple[float, float], ...] = ()

    @property
    def text(self) -> str:
        return self.lead + self.rest


def decide(evidence: Evidence) -> Verdict:
    """The verdict of one claim on one network."""
    by_word: dict[Says, list[Place]] = {says: [p for p in evidence.places if p.says is says] for says in Says}
    known = [p for p in evidence.places if p.says not in (Says.UNDEFINED, Says.FEW)]
    without = [p for p in evidence.places if p.says is Says.FEW]
    size = mean_of([p.effect for p in (known or without)])
    word, lead, rest = _word(evidence, by_word, known, size)
    curve = tuple((p.at, p.effect.mean, p.says is Says.ABOVE) for p in evidence.places)
    need = evidence.places[0].need if evidence.places else 0.0
    beside = [evidence.null] if evidence.null else []
    if evidence.untrained is not None:
        beside.append(f"untrained {number(evidence.untrained.level, 2)}{evidence.unit}")
    null = "" if word is Word.UNDEFINED else "; ".join(beside)
    nulls = tuple(p.null_ends for p in evidence.places)
    return Verdict(word, lead, rest, size, _written(size, need, evidence.unit), null, curve, need, nulls)


def _word(
    evidence: Evidence, by_word: dict[Says, list[Place]], known: list[Place], size: Number
) -> tuple[Word, str, str]:
    """The word and its text; ``known`` are the places with an interval, ``size`` their mean."""
    if not known:
        if by_word[Says.FEW]:
            return Word.FEW, "too few units", ""
        reasons = [place.reason for place in evidence.places if place.reason] or [evidence.reason]
        why = max(reasons, key=reasons.count).removeprefix("undefined: ") or "it was not measured"
        return Word.UNDEFINED, "not defined", f", because {why}"
    noun, full = evidence.noun, by_word[Says.NO_ROOM]
    if len(full) * 2 > len(known):
        return Word.NO_ROOM, "no room", f": the null is at .95 or above{_where(full, known, noun)}"
    known = [place for place in known if place.says is not Says.NO_ROOM]
    above, below, same = by_word[Says.ABOVE], by_word[Says.BELOW], by_word[Says.SAME]
    reverse = f"; the reverse{_where(below, known, noun)}" if below else ""
    small = sum(abs(place.effect.mean) for place in known) / len(known) <= MARGIN  # large ones may cancel
    if len(above) < len(known) and small and size.lo >= -MARGIN and size.hi <= MARGIN:
        return Word.NO, "no", (f"; yes{_where(above, known, noun)}" if above else "") + reverse
    if below and size.hi < 0 and len(below) >= CLEARLY * len(above):
        return Word.REVERSE, "the reverse", _where(below, known, noun) + (f"; yes in {len(above)}" if above else "")
    if above:
        return _yes(evidence, known, above, below)
    if same:
        names = dict.fromkeys(name for place in same for name in place.not_passed)
        return Word.SAME, "yes", f", but {' and '.join(names)} too,{_where(same, known, noun)}{reverse}"
    if by_word[Says.LITTLE] and len(by_word[Says.LITTLE] + by_word[Says.FLAT]) * 2 > len(known):
        return Word.LITTLE, "less than half", reverse
    return Word.OPEN, "cannot be told", f": {number(size.lo, 2)} … {number(size.hi, 2)}{reverse}"


def _yes(evidence: Evidence, known: list[Place], above: list[Place], below: list[Place]) -> tuple[Word, str, str]:
    """The word where at least one place is beyond every null."""
    untrained = evidence.untrained
    reverse = f"; the reverse in {len(below)}" if below else ""
    where = _where(above, known, evidence.noun)
    if untrained is not None and not untrained.over.lo > 0:
        return Word.SAME, "yes", f", but untrained too{reverse}"
    if len(above) == len(known):
        whole = len(above) == len(evidence.places)
        return (
            Word.YES,
            "yes",
            ", beyond every null" + ("" if whole else f", in {len(above)} of {len(evidence.places)}"),
        )
    if len(above) < CLEARLY * len(below) or (below and " the " not in where):
        return Word.MIXED, "mixed", f": yes{where}{reverse}"
    return Word.PART, "yes", f",{where}{reverse}"


def _where(some: list[Place], known: list[Place], noun: str) -> str:
    """As " in the last 3 of 8 blocks"; "" for all."""
    count, of = len(some), f"of {counted(len(known), noun)}"
    if count == len(known):
        return f" in all {counted(count, noun)}"
    for end, places in (("last", known[-count:]), ("first", known[:count])):
        if some == places:
            return f" in the {end} {of}" if count == 1 else f" in the {end} {count} {of}"
    return f" in {count} {of}"


def decide_depth(evidence: DepthEvidence) -> Verdict:
    """The verdict on iterative depth: an interval that reaches 0 tells nothing."""
    depth = evidence.depth
    written = number(depth.mean, 2) if depth.mean == depth.mean else ""
    if depth.lo < depth.hi:
        written += f" ({number(depth.lo, 2)} … {number(depth.hi, 2)})"
    return Verdict(*_depth_word(evidence, depth), depth, written, evidence.null, evidence.curve, 0.5)


def _depth_word(evidence: DepthEvidence, depth: Number) -> tuple[Word, str, str]:
    if math.isnan(depth.mean):
        return Word.UNDEFINED, "not defined", f", because {evidence.reason}"
    if math.isnan(depth.lo):
        return Word.FEW, "too few units", ""
    if depth.hi <= MARGIN:
        return Word.NO, "no", ""
    if depth.lo <= 0:
        return Word.OPEN, "cannot be told", f": {number(depth.lo, 2)} … {number(depth.hi, 2)}"
    if evidence.untrained is not None and depth.lo <= evidence.untrained:
        return Word.SAME, "yes", ", but untrained too"
    last = round(depth.mean * evidence.blocks)
    if last == evidence.blocks:
        return Word.YES, "yes", ", over all blocks"
    return Word.PART, "yes", f", over the last {last} of {counted(evidence.blocks, 'block')}"


def _written(size: Number, need: float, unit: str) -> str:
    """With a sign where it is a difference."""
    if math.isnan(size.mean):
        return ""
    if math.isnan(size.half):
        return (number if need else signed)(size.mean, 2) + unit
    return Estimate(size.mean, size.half).text(sign=not need, most=2) + unit

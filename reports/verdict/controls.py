"""Whether a row of the verdict table tells the controls apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from .claim import Claim
from .network import NO, YES, Network
from .words import Verdict, Word

TELLS, CANNOT, OTHER_WAY, NOT_TESTED = "tells", "cannot tell", "points the other way", "not tested"


def told_apart(
    claim: Claim, judged: Mapping[str, Verdict], networks: Sequence[Network], power: pd.DataFrame | None
) -> dict[str, str]:
    """Modality -> "tells", "cannot tell", "points the other way" or "not tested"; "" without controls of both kinds.

    Both the numbers and the words must tell: a row in which a control that should fail passes fully tells nothing. The
    table of power knows of the numbers where it has the same ones; elsewhere its rule is applied here.
    """
    found = {}
    for modality in dict.fromkeys(network.modality for network in networks):
        of = [n for n in networks if n.modality == modality]
        yes, no = ([judged[n.name] for n in of if n.role == role] for role in (YES, NO))
        numbers = _by_power(claim, modality, power) or _by_numbers(yes, no)
        found[modality] = "" if not (yes and no) else CANNOT if numbers == TELLS and not _by_words(yes, no) else numbers
    return found


def _by_power(claim: Claim, modality: str, power: pd.DataFrame | None) -> str:
    """The worst verdict of the table of power on the numbers of a claim; "" where it has none."""
    if power is None:
        return ""
    found = power[power["measure"].isin(claim.power) & (power["modality"] == modality) & (power["verdict"] != "")]
    verdicts = list(dict.fromkeys(found["verdict"]))
    return next((verdict for verdict in verdicts if verdict != TELLS), TELLS if verdicts else "")


def _by_numbers(yes: Sequence[Verdict], no: Sequence[Verdict]) -> str:
    """By the intervals of the numbers in the row."""
    pairs = [(a.size, b.size) for a in yes for b in no if not (math.isnan(a.size.lo) or math.isnan(b.size.lo))]
    if not pairs:
        return NOT_TESTED
    sides = {int(a.lo > b.hi) - int(a.hi < b.lo) for a, b in pairs}
    return TELLS if sides == {1} else OTHER_WAY if sides == {-1} else CANNOT


def _by_words(yes: Sequence[Verdict], no: Sequence[Verdict]) -> bool:
    """Whether every control that should pass does, and none that should fail passes as fully or more."""
    least, most = min(map(_rank, yes)), max(map(_rank, no))
    return least > most or least == most == 1


def _rank(verdict: Verdict) -> int:
    """How much of a yes a word is."""
    return {Word.YES: 2, Word.PART: 1}.get(verdict.word, 0)


def untold(verdict: str) -> bool:
    """Whether controls were compared and cannot be told apart."""
    return verdict in (CANNOT, OTHER_WAY)


def remark(told: Mapping[str, str]) -> str:
    """What a row's controls say of it, where it does not tell them apart; "" otherwise."""
    words = {CANNOT: "cannot be told apart", OTHER_WAY: "point the other way", NOT_TESTED: "cannot be compared"}
    of = {what: [m for m, verdict in told.items() if verdict == what] for what in words}
    return "; ".join(f"{' and '.join(of[what])} controls {words[what]}" for what in words if of[what])

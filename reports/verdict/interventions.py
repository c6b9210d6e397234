"""Questions about blocks that are left out, or in another order: do the answers stay?"""

from __future__ import annotations

from ..labels import UNTRAINED
from ..numbers import number
from .claim import Claim
from .places import NOTHING, Place, mean_of
from .source import Source, by_place
from .words import Evidence, Word

NEED = 0.5
"""More than half of the answers stay."""


def _staying(source: Source, form: str, null: str) -> Evidence:
    rows = source.rows("agreement", form=form, target="")
    nulls = by_place(source.rows("agreement", form=form, target="", null=null))
    places = [
        Place(at, one, need=NEED, null=nulls.get(at, NOTHING), reason=reason)
        for (at, one), reason in zip(by_place(rows).items(), rows["reason"], strict=True)
    ]
    beside = [one for one in nulls.values() if one.mean == one.mean]
    told = f"{null} {number(mean_of(beside).mean, 2)}" if beside else ""
    return Evidence(
        places, null=told, reason="it was not measured" if rows.empty else str(rows["reason"].mode().iloc[0])
    )


LEFT_OUT = Claim(
    "can any one block be left out?",
    "Without any one block, do more than half of the answers stay?",
    lambda source: _staying(source, "lesion", "pairing"),
    nulls="pairing",
    anchor="interventions",
    order=130,
    is_question=True,
    optional=True,
    says={Word.YES: "yes", Word.LITTLE: "no: less than half stay", Word.NO: "no: hardly any stay"},
    scale=(0.0, 1.0),
)
SWAPPED = Claim(
    "can neighbours change places?",
    "With two neighbouring blocks in the other order, do more than half of the answers stay?",
    lambda source: _staying(source, "swap", UNTRAINED),
    nulls="untrained",
    anchor="interventions",
    order=131,
    is_question=True,
    optional=True,
    says={Word.YES: "yes", Word.LITTLE: "no: less than half stay", Word.NO: "no: hardly any stay"},
    scale=(0.0, 1.0),
)

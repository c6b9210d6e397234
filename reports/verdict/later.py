"""A question about errors carried forward: is what was predicted earlier subtracted later, as strongly as error correction needs?"""

from __future__ import annotations

from ..labels import UNTRAINED
from ..numbers import number
from .claim import Claim
from .places import Number, Place, mean_of
from .source import Source, by_place
from .words import Evidence, Word

NEED = 0.5
"""More than half of what error correction would subtract. From a state on only later blocks can, so there is less to need."""
OTHER_PLACE = "other-place"


def _subtracted(source: Source) -> Evidence:
    rows = source.rows("subtracted_share", target="")
    rows = rows[rows["depth"] < 1]  # nothing follows the last state
    beyond = by_place(source.rows("later_response_effect", target="", null=OTHER_PLACE))
    places = [
        Place(
            state,
            share,
            need=NEED * (1 - depth),
            others=((OTHER_PLACE, _less(beyond[state])),) if state in beyond else (),
            reason=reason,
        )
        for (state, share), depth, reason in zip(by_place(rows).items(), rows["depth"], rows["reason"], strict=True)
    ]
    effects = source.rows("later_response", target="", null=OTHER_PLACE)
    told = [one for one in by_place(effects[effects["statistic"] == "mean"]).values() if one.mean == one.mean]
    null = f"χ at another place {number(mean_of(told).mean, 4)}" if told else ""
    return Evidence(places, noun="state", null=null, reason=source.why_not("subtracted_share"))


def _less(effect: Number) -> Number:
    """How far below the null an effect lies: what is subtracted is negative."""
    return Number(-effect.mean, -effect.hi, -effect.lo, -effect.band_hi, -effect.band_lo)


SUBTRACTED = Claim(
    "does it correct its own predictions?",
    "Is what was predicted earlier subtracted later, as strongly as error correction needs: the subtracted share above half of the "
    "share of blocks that follow, and more than from another place?",
    _subtracted,
    nulls=f"{OTHER_PLACE}; an {UNTRAINED} network teaches nothing",
    anchor="predictive",
    order=132,
    is_question=True,
    optional=True,
    says={Word.LITTLE: "no: less than half as strongly"},
    scale=(-0.5, 1.0),
)

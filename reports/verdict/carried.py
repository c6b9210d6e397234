"""The question whether later blocks write in the code of an early lens, or its answer is carried along."""

from __future__ import annotations

from ..labels import OWN_LENSES
from ..numbers import number
from .claim import Claim
from .places import Place, mean_of, numbers
from .source import Source
from .words import Evidence, Word


def _written(source: Source) -> Evidence:
    lens = next((kind for kind in OWN_LENSES if len(source.rows("surplus", lens=kind))), OWN_LENSES[0])
    found, at_most = (source.rows(name, lens=lens) for name in ("surplus", "carried_at_most"))
    found, at_most = (
        rows[(rows["state_index"] == rows["state_index"].max()) & (rows["fitted_at"] > 0)].sort_values("fitted_at")
        for rows in (found, at_most)
    )
    places = [
        Place(int(at), one, reason=why)
        for at, one, why in zip(found["fitted_at"], numbers(found), found["reason"], strict=True)
    ]
    alone = mean_of([one for one in numbers(at_most) if one.mean == one.mean]).mean
    return Evidence(
        places,
        noun="state",
        null=f"carried at most {number(alone, 2)}" if alone == alone else "",
        reason=source.why_not("surplus"),
    )


WRITTEN = Claim(
    "do blocks write in an early lens's code?",
    "At the last state, does the lens of an earlier one tell more than where it was fitted (surplus above 0)? Only blocks that "
    "write in its code can bring that; what is carried along cannot.",
    _written,
    nulls="what would be retained if the blocks between left its code alone",
    anchor="carried",
    order=135,
    is_question=True,
    optional=True,
    says={
        Word.YES: "yes: more than was there",
        Word.NO: "no: as much as was there",
        Word.REVERSE: "the reverse: they overwrite it",
    },
)

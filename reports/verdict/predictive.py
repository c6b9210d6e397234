"""Questions about errors: is old context used again after noise, and does depth move as a belief that gathers evidence?"""

from __future__ import annotations

import pandas as pd

from ..figures.beliefs import BEST, MOVEMENT, moved
from ..figures.recovery import INSERTED, KEPT, by_place
from ..numbers import number
from .claim import Claim
from .places import Place, mean_of, numbers
from .source import Source
from .words import Evidence, Word

NEED = 0.5


def _recovers(source: Source) -> Evidence:
    rows = by_place(source.table, KEPT, INSERTED)
    places = [
        Place(int(k), one, need=NEED, reason=why)
        for k, one, why in zip(rows["k"], numbers(rows), rows["reason"], strict=True)
    ]
    return Evidence(places, noun="place", reason=source.why_not(KEPT))


def _over_reacts(source: Source) -> Evidence:
    """Excess as a share of the movement, which has no unit; a sign is that of the excess."""
    found = moved(source.table)
    if found is None:
        return Evidence([], reason=source.why_not("excess_movement"))
    rows = _shares(found.best, found.table, BEST)
    places = [
        Place(int(at), one, reason=why)
        for at, one, why in zip(rows["block_index"], numbers(rows), rows["reason"], strict=True)
    ]
    read = [one for one in numbers(_shares(found.read, found.table, "")) if one.mean == one.mean]
    return Evidence(places, null=f"as read {number(mean_of(read).mean, 2)}" if read else "")


def _shares(rows: pd.DataFrame, table: pd.DataFrame, form: str) -> pd.DataFrame:
    """Excess movement divided by the squared movement of the same block."""
    moves = table[(table["measure"] == MOVEMENT) & (table["form"] == form) & (table["null"] == "observed")]
    size = moves.set_index("block_index")["mean"].reindex(rows["block_index"]).to_numpy(float)
    return rows.assign(**{name: rows[name] / size for name in ("mean", "lo", "hi", "band_lo", "band_hi")})


RECOVERS = Claim(
    "is old context used again after noise?",
    "Behind inserted random tokens, is more than half of what the old context was worth there again?",
    _recovers,
    nulls="a fresh start, which is 0",
    anchor="predictive",
    order=137,
    is_question=True,
    optional=True,
    says={Word.YES: "yes: more than half", Word.LITTLE: "no: less than half"},
    scale=(0.0, 1.0),
)
OVER_REACTS = Claim(
    "do blocks move too far?",
    "Do predictions move more from depth to depth than evidence would move them (excess movement above 0, as a share of the "
    "movement), each depth at its best temperature?",
    _over_reacts,
    nulls="a belief that gathers evidence, which is 0",
    anchor="predictive",
    order=138,
    is_question=True,
    optional=True,
    says={
        Word.YES: "yes: too far, and back",
        Word.NO: "no: as evidence moves a belief",
        Word.REVERSE: "the reverse: on in one direction",
    },
)

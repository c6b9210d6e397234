"""Claims about what can be read at states: by one lens, by a neighbour's, used later, corrected where wrong.

State 0, before the first block, is left out: it holds the input and no prediction yet.
"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from ..labels import LEFT_OUT, OWN_LENSES, ROTATED, SHARED, UNTRAINED
from ..numbers import number
from ..rows import fitted_at_one_state, own_lens
from .claim import Claim
from .places import NOTHING, Number, Place, Untrained, mean_of, numbers
from .source import Source, beside_untrained, by_place
from .words import Evidence

NEED = 0.5
"""The middle between nothing and all of it, as for the iterative depth."""
LEAST_BITS = 0.5
"""An untrained network whose own lenses tell less has nothing that another lens could keep."""
NO_TRANSFER = "its lenses were not read at other states"


def _one_lens(source: Source) -> Evidence:
    kept, rotated = (after_input(source.rows("retention", lens=LEFT_OUT, null=n)) for n in ("observed", ROTATED))
    beside = by_place(rotated)
    places = [
        replace(
            place,
            others=(("rotated depths", place.effect.minus(beside[place.at])),) if place.at in beside else (),
            null=beside.get(place.at, NOTHING),
        )
        for place in _places(kept)
    ]
    level = mean_of([one for one in beside.values() if one.mean == one.mean]).mean  # NaN without a value
    return Evidence(
        places,
        noun="state",
        null=f"rotated {number(level, 2)}" if level == level else "",
        untrained=_keeps_more(source, LEFT_OUT),
        reason=source.why_not("retention") if len(kept) else NO_TRANSFER,
    )


def _keeps_more(source: Source, lens: str) -> Untrained | None:
    """Retention of the final answer, beside that of an untrained copy; None where that has too little to keep."""
    untrained = {"target": "model", "null": UNTRAINED}
    told = pd.concat([own_lens(source.rows("readable", lens=kind, **untrained)) for kind in OWN_LENSES])
    if told.empty or not told["mean"].mean() >= LEAST_BITS:
        return None
    here, there = (source.rows("retention", lens=lens, target="model", null=n) for n in ("observed", UNTRAINED))
    if lens in OWN_LENSES:
        here, there = _neighbours(here), _neighbours(there)
    return beside_untrained(after_input(here), after_input(there))


def _neighbour(source: Source) -> Evidence:
    lens = next((kind for kind in OWN_LENSES if len(source.rows("retention", lens=kind))), OWN_LENSES[0])
    cells = after_input(_neighbours(source.rows("retention", lens=lens)))
    near: dict[int, list[Number]] = {}  # by the lens of the state before, and of the state after
    for state, one in zip(cells["state_index"].astype(int), numbers(cells), strict=True):
        near.setdefault(state, []).extend([one] if one.mean == one.mean else [])
    why = dict(zip(cells["state_index"].astype(int), cells["reason"], strict=True))
    places = [Place(state, mean_of(near[state]), NEED, reason=why[state]) for state in sorted(near)]
    return Evidence(
        places,
        noun="state",
        untrained=_keeps_more(source, lens),
        reason=source.why_not("retention") if len(cells) else NO_TRANSFER,
    )


def _neighbours(cells: pd.DataFrame) -> pd.DataFrame:
    """Cells one state away from where their lens was fitted, neither of them state 0."""
    cells = fitted_at_one_state(cells)
    near = (cells["state_index"] - cells["fitted_at"]).abs() == 1
    return cells[near & (cells["fitted_at"] > 0)]


def _used(source: Source) -> Evidence:
    lens = "" if source.rows("persistence", statistic="ratio")["mean"].notna().any() else SHARED
    found = {m: _inner(source.rows(m, statistic="ratio", lens=lens)) for m in ("persistence", "carried_alone", "kept")}
    kept = by_place(found["kept"])
    carried_alone = by_place(found["carried_alone"])
    places = [
        replace(
            place,
            others=(("carried alone", _change(kept[place.at])),) if place.at in kept else (),
            null=carried_alone.get(place.at, NOTHING),
        )
        for place in _places(found["persistence"])
    ]
    alone = mean_of([one for one in carried_alone.values() if one.mean == one.mean]).mean
    carried = f"carried alone {number(alone, 2)}" if alone == alone else "carried alone not defined"
    return Evidence(
        places,
        noun="state",
        null=carried + (", through one lens" if lens else ""),
        untrained=beside_untrained(
            found["persistence"],
            _inner(source.rows("persistence", statistic="ratio", lens=lens, null=UNTRAINED)),
        ),
        reason=source.why_not("persistence"),
    )


def _change(kept: Number) -> Number:
    """How far what is kept is from 1, whether later blocks take it back or reinforce it."""
    one = Number(1.0, 1.0, 1.0, 1.0, 1.0)
    return kept.minus(one) if kept.mean > 1 else one.minus(kept)


def _corrected(source: Source) -> Evidence:
    found = _inner(source.rows("selectivity", statistic="ratio", target="wrong"))
    return Evidence(
        _places(found, need=0.0),
        noun="state",
        reason=source.why_not("selectivity"),
    )


def _places(rows: pd.DataFrame, need: float = NEED) -> list[Place]:
    """States with a value that is held against what is needed."""
    return [
        Place(at, one, need, reason=why) for (at, one), why in zip(by_place(rows).items(), rows["reason"], strict=True)
    ]


def after_input(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows about states, without state 0."""
    return rows[rows["state_index"] > 0]


def _inner(rows: pd.DataFrame) -> pd.DataFrame:
    """Without the last state, too, where any network has 1, or 0."""
    return rows[(rows["state_index"] > 0) & (rows["depth"] < 1)]


ONE_LENS = Claim(
    "one lens reads all depths",
    "Does one lens, fitted without a state, tell there at least half of what the state's own lens tells?",
    _one_lens,
    nulls="half, rotated depths, untrained",
    anchor="four-figures",
    power=("retention of one lens, the state left out", "retention of one lens, beyond rotated depths"),
    order=30,
    scale=(0.0, 1.0),
)
USED = Claim(
    "what is read is used later",
    "Does at least half of a nudge of what is read arrive at the end (persistence), and do later blocks respond to it?",
    _used,
    nulls="half, carried alone, untrained",
    anchor="four-figures",
    power=("persistence of the label, mean over states", "persistence over carried alone"),
    order=40,
    scale=(0.0, 2.0),
)
CORRECTED = Claim(
    "corrected where wrong",
    "Do later blocks take back a unit's own error more than they take back other units' errors (selectivity)?",
    _corrected,
    nulls="pairing: other units' errors",
    power=("selectivity: the own error taken back more than others' errors",),
    order=50,
    scale=(-0.3, 0.3),
)
NEIGHBOUR = Claim(
    "a neighbour's lens reads it",
    "Does the lens of the state before or after tell at least half of what the state's own lens tells?",
    _neighbour,
    nulls="half, untrained",
    anchor="four-figures",
    power=("retention one state away, as lenses are",),
    order=60,
    scale=(0.0, 1.0),
)

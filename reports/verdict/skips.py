"""The claim that skips matter: one lens reads more of a network with them than of one that is alike but for them.

A twin is one trained network, so an interval over units holds for that pair of trainings alone. Groups of trained networks decide
where there are some: their intervals are over trainings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import pandas as pd

from ..labels import LEFT_OUT, MATCHED, OWN_LENSES
from ..lens_numbers import LensNumbers
from ..numbers import number, signed
from ..rows import fitted_at_one_state
from .claim import Claim
from .places import NOTHING, Number, Place, mean_of, numbers
from .source import PlainGroup, Source, by_place
from .states import NO_TRANSFER, after_input
from .words import Evidence, Verdict, Word, decide

NO_TWIN = (
    "no network here, on the same data, has as many states of as many widths, about as many parameters and no skips"
)
NOT_IN_ALL = "not every network of the groups has a value"
PAIR, PAIRS = "for this pair of trainings", "for these trainings"
SETTLED = (Word.YES, Word.PART, Word.SAME, Word.NO, Word.REVERSE, Word.MIXED)


class Without(NamedTuple):
    """A twin, or a group of them.

    Attributes:
        name: of it.
        kept: state -> what one lens retains there; ``over``: how much more the network with skips, or its group, retains.
        why: state -> why there is no difference.
        matched: mean difference of what own lenses retain at other states, channels matched, over all pairs of states.
    """

    name: str
    kept: dict[int, Number]
    over: dict[int, Number]
    why: dict[int, str]
    matched: Number


@dataclass(frozen=True)
class Compared:
    """What decides; ``holds`` says for what, "" for training in general."""

    evidence: Evidence
    holds: str = ""


def _skips(source: Source) -> Compared:
    own = after_input(source.rows("retention", lens=LEFT_OUT))
    has = LensNumbers(source.table, source.summaries).skips.get(source.name)
    if not has or own.empty or not source.twins:
        why = "whether it has skips was not recorded" if has is None else "it has no skips" if not has else ""
        return Compared(Evidence(noun="state", reason=why or (NO_TWIN if len(own) else NO_TRANSFER)))
    twins = _highest_first([_twin(source, twin, own) for twin in source.twins])
    groups = _highest_first([_group(source, group, own) for group in source.groups])
    groups = [one for one in groups if any(math.isfinite(over.lo) for over in one.over.values())]
    if not groups:
        which = f"highest of {len(twins)} twins, " if len(twins) > 1 else "twin "
        return Compared(_evidence(own, twins, [which + _told(twins[0])]), PAIRS if len(twins) > 1 else PAIR)
    minus = next(group.minus for group in source.groups if group.name == groups[0].name)
    beside = f"{PAIR}, {twins[0].name}: {_written(_mean(twins[0].over))}"
    return Compared(_evidence(own, groups, [minus, _told(groups[0]), beside]))


def _evidence(own: pd.DataFrame, several: Sequence[Without], told: Sequence[str]) -> Evidence:
    """By state, beyond the one that retains most, and beyond the others where they have a value."""
    first, *others = several
    places = [
        Place(
            at,
            first.over.get(at, NOTHING),
            level=first.kept.get(at, NOTHING).mean,
            others=tuple((one.name, one.over[at]) for one in others if not math.isnan(one.over.get(at, NOTHING).mean)),
            reason=first.why.get(at, ""),
        )
        for at in own["state_index"].astype(int)
    ]
    return Evidence(places, noun="state", null="; ".join(told))


def _twin(source: Source, twin: Source, own: pd.DataFrame) -> Without:
    rows = after_input(twin.rows("retention", lens=LEFT_OUT))
    here, there = by_place(own), by_place(rows)
    why = dict(zip(here, own["reason"], strict=True))
    why |= {at: f"{twin.name}: {_bare(text)}" for at, text in zip(there, rows["reason"], strict=True) if text}
    over = {at: here[at].minus(there[at]) for at in here if at in there}
    pairs, beside = (
        _by_pair(pd.concat([one.rows("retention", lens=lens, form=MATCHED) for lens in OWN_LENSES]))
        for one in (source, twin)
    )
    matched = {pair: kept.minus(beside[pair]) for pair, kept in pairs.items() if pair in beside}
    return Without(twin.name, there, over, why, _mean(matched))


def _by_pair(rows: pd.DataFrame) -> dict[tuple[int, int], Number]:
    """(state, state at which its lens was fitted) -> what is retained; without state 0."""
    cells = after_input(fitted_at_one_state(rows))
    cells = cells[cells["fitted_at"] > 0]
    return dict(
        zip(
            zip(cells["state_index"].astype(int), cells["fitted_at"].astype(int), strict=True),
            numbers(cells),
            strict=True,
        )
    )


def _group(source: Source, group: PlainGroup, own: pd.DataFrame) -> Without:
    kept, over = (_one_lens(rows, source.target) for rows in (group.means, group.differences))
    why = {at: NOT_IN_ALL for at in own["state_index"].astype(int) if at not in over}
    cells = _where(group.differences, {"measure": "retention", "form": MATCHED, "target": source.target})
    matched = _by_pair(_prepared(cells[cells["state_index"].notna() & cells["fitted_at"].notna()]))
    return Without(group.name, kept, over, why, _mean(matched))


def _one_lens(rows: pd.DataFrame, target: str) -> dict[int, Number]:
    """State -> what one lens retains there, or a difference of it."""
    kept = _where(rows, {"measure": "retention", "lens": LEFT_OUT, "form": "", "target": target, "direction": ""})
    kept = after_input(kept[kept["state_index"].notna()]).sort_values("state_index")
    return dict(zip(kept["state_index"].astype(int), numbers(_prepared(kept)), strict=True))


def _where(rows: pd.DataFrame, values: dict[str, object]) -> pd.DataFrame:
    for column, value in (values | {"null": "observed", "subset": "all"}).items():
        rows = rows[rows[column].eq(value).fillna(False).astype(bool)]
    return rows


def _prepared(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows whose units are trained networks; for their bands, as many as the smaller group has."""
    fewest = rows["networks"].where(rows["networks_minus"] == 0, rows[["networks", "networks_minus"]].min(axis=1))
    return rows.assign(n_clusters=fewest, band_lo=math.nan, band_hi=math.nan)


def _highest_first(several: Sequence[Without]) -> list[Without]:
    """The one that retains most first: what is not beyond it is not beyond all. Those without a value are left out."""
    known = [one for one in several if not math.isnan(_mean(one.over).mean)]
    return sorted(known or several, key=lambda one: -_mean(one.kept).mean)


def _mean(found: Mapping[Any, Number]) -> Number:
    return mean_of([one for one in found.values() if not math.isnan(one.mean)])


def _told(one: Without) -> str:
    """It, what it retains, and the difference with channels matched, in which no order of channels counts."""
    matched = "" if math.isnan(one.matched.mean) else f"; channels matched, all pairs {_written(one.matched)}"
    return f"{one.name} {number(_mean(one.kept).mean, 2)}{matched}"


def _written(one: Number) -> str:
    return signed(one.mean, 2) + ("" if math.isnan(one.half) else f" ± {number(one.half, 2)}")


def _bare(reason: str) -> str:
    return reason.removeprefix("undefined: ")


def decide_skips(found: Compared) -> Verdict:
    """As other claims; what holds for one pair of trainings says so, and never that it is beyond every null."""
    verdict = decide(found.evidence)
    if verdict.word is Word.FEW or not found.holds or verdict.word not in SETTLED:
        return verdict
    return replace(verdict, rest=f"{verdict.rest.replace(', beyond every null', '', 1)}, {found.holds}")


SKIPS = Claim(
    "skips matter",
    "Does one lens, fitted without a state, keep more of what the state's own lens tells than in a network alike but for the skips?",
    _skips,
    nulls="a twin without skips, or a group of trained ones",
    anchor="four-figures",
    order=80,
    optional=True,
    decide=decide_skips,
)

"""Every word of the verdict table on tables made by hand, beside what a naive rule would have said.

The naive rule is the mean over all blocks or states of what was measured, minus the mean of the null, above 0 or not;
where a half is needed, the mean above ½ or not.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from reports.verdict.blocks import DESCENT, GAINS, ORDER, OWN_OR_CLASS
from reports.verdict.source import Source
from reports.verdict.states import CORRECTED, NEIGHBOUR, ONE_LENS, USED
from reports.verdict.words import Word
from verdict_tables import NAN, NO_SUMMARIES, corrected, descent, gains, neighbour, one_lens, order, used


def said(claim, of):
    verdict = claim.decide(claim.find(of))
    return verdict.word, verdict.text


def in_classes(effect, half=0.03, **options):
    return descent(effect, half, null="same-target", **options)


EFFECTS = {
    "descent": (DESCENT, descent, "block"),
    "gains": (GAINS, gains, "block"),
    "corrected": (CORRECTED, corrected, "state"),
    "own or class": (OWN_OR_CLASS, in_classes, "block"),
    "order": (ORDER, order, "block"),
}
WORDS = [  # the effect of four blocks or states, half of its interval; word, rest of the text, and what the naive rule says
    ([0.3, 0.2, 0.3, 0.2], 0.05, Word.YES, ", beyond every null", "yes"),
    ([0.0, 0.0, 0.4, 0.3], 0.01, Word.PART, ", in the last 2 of 4 {}s", "yes"),  # a mixture: no place has the mean
    ([0.0, 0.0, 0.0, 0.4], 0.01, Word.PART, ", in the last of 4 {}s", "yes"),
    ([0.4, 0.3, 0.3, 0.0], 0.01, Word.PART, ", in the first 3 of 4 {}s", "yes"),
    ([0.4, 0.0, 0.0, 0.3], 0.01, Word.PART, ", in 2 of 4 {}s", "yes"),
    ([-0.3, 0.4, 0.3, 0.3], 0.05, Word.PART, ", in the last 3 of 4 {}s; the reverse in 1", "yes"),
    ([0.015, 0.01, 0.012, 0.015], 0.004, Word.NO, "", "yes"),  # every interval is above 0, and none is of any size
    ([0.05, 0.0, 0.0, 0.0], 0.004, Word.NO, "; yes in the first of 4 {}s", "yes"),
    ([-0.3, -0.2, -0.3, -0.2], 0.05, Word.REVERSE, " in all 4 {}s", "no"),
    ([-0.3, 0.0, -0.3, 0.0], 0.01, Word.REVERSE, " in 2 of 4 {}s", "no"),
    ([0.6, -0.3, 0.6, -0.3], 0.05, Word.MIXED, ": yes in 2 of 4 {}s; the reverse in 2", "yes"),
    ([0.3, 0.3, -0.3, -0.3], 0.01, Word.MIXED, ": yes in the first 2 of 4 {}s; the reverse in 2", "no"),  # their mean is 0
    ([0.03, 0.02, 0.03, 0.04], 0.1, Word.OPEN, ": −0.07 … 0.13", "yes"),  # the size alone says nothing
    ([0.05, 0.05, 0.05, 0.05], 0.044, Word.OPEN, ": 0.01 … 0.09", "yes"),  # beyond 0 one by one, not all at once
    ([0.3, 0.2, 0.3, 0.2], NAN, Word.FEW, "", "yes"),
]  # fmt: skip


@pytest.mark.parametrize("kind", EFFECTS)
@pytest.mark.parametrize(("effect", "half", "word", "rest", "naive"), WORDS)
def test_effects(kind, effect, half, word, rest, naive):
    claim, made, noun = EFFECTS[kind]
    assert naive == ("yes" if sum(effect) > 0 else "no")
    found, text = said(claim, made(effect, half))
    assert found is word and text.endswith(rest.format(noun))
    assert len(text) > len(rest.format(noun))


@pytest.mark.parametrize("kind", ["descent", "own or class", "order"])
def test_no_room_is_not_the_reverse(kind):
    claim, made, _ = EFFECTS[kind]
    effect = [-0.03, -0.02, -0.03, 0.0]  # naive: the reverse
    word, text = said(claim, made(effect, 0.005, level=0.97))
    assert word is Word.NO_ROOM and text == "no room: the null is at .95 or above in all 4 blocks"
    assert said(claim, made(effect, 0.005, level=0.94))[0] is Word.REVERSE


def test_bits_have_no_ceiling():
    assert said(GAINS, gains([0.3, 0.3], level=0.97))[0] is Word.YES


@pytest.mark.parametrize(("kind", "level"), [("descent", 0.5), ("gains", 0.5)])
def test_untrained_too(kind, level):
    claim, made, _ = EFFECTS[kind]
    assert said(claim, made([0.3] * 4, untrained=0.2)) == (Word.YES, "yes, beyond every null")
    assert said(claim, made([0.3] * 4, untrained=0.8)) == (Word.SAME, "yes, but untrained too")  # naive: yes, by .3
    assert said(claim, made([0.3] * 4, untrained=0.77))[0] is Word.SAME  # less, and not by more than the intervals
    assert said(claim, made([0.0] * 4, 0.01, untrained=0.9)) == (Word.NO, "no")  # an effect in the untrained alone


def test_pairs_decide_and_not_two_intervals():
    unpaired = descent([0.0] * 4, 0.01, level=0.5, observed=0.7)  # over other units than the null: naive .20, yes
    assert said(DESCENT, unpaired)[0] is Word.NO
    paired = descent([0.05] * 4, 0.01, level=0.5)  # intervals of .55 ± .03 and .50 ± .03 overlap: naive no
    assert said(DESCENT, paired)[0] is Word.YES


NEEDS_HALF = {"one lens": (ONE_LENS, one_lens), "neighbour": (NEIGHBOUR, neighbour), "used": (USED, used)}
HALVES = [
    ([0.9, 0.8, 0.9, 0.7], 0.05, Word.YES, "yes, beyond every null", "yes"),
    ([0.1, 0.15, 0.9, 0.9], 0.01, Word.PART, "yes, in the last 2 of 4 states", "yes"),  # two segments: mean .51
    ([0.9, 0.8, 0.1, 0.1], 0.05, Word.PART, "yes, in the first 2 of 4 states", "no"),
    ([0.3, 0.4, 0.3, 0.2], 0.05, Word.LITTLE, "less than half", "no"),
    ([0.0, 0.01, 0.0, -0.01], 0.005, Word.NO, "no", "no"),
    ([-0.2, -0.3, -0.2, -0.3], 0.05, Word.REVERSE, "the reverse in all 4 states", "no"),
    ([0.55, 0.5, 0.55, 0.6], 0.2, Word.OPEN, "cannot be told: 0.35 … 0.75", "yes"),
    ([0.9, 0.8, 0.9, 0.7], NAN, Word.FEW, "too few units", "yes"),
]  # fmt: skip


@pytest.mark.parametrize("kind", NEEDS_HALF)
@pytest.mark.parametrize(("values", "half", "word", "text", "naive"), HALVES)
def test_half_is_needed(kind, values, half, word, text, naive):
    claim, made = NEEDS_HALF[kind]
    assert naive == ("yes" if sum(values) / 4 > 0.5 else "no")
    assert said(claim, made(values, half)) == (word, text)


def test_one_lens_is_held_against_rotated_depths_and_untrained():
    high = [0.9] * 4
    assert said(ONE_LENS, one_lens(high, rotated=0.6))[0] is Word.YES
    found = said(ONE_LENS, one_lens(high, rotated=0.88))  # naive: .9, yes
    assert found == (Word.SAME, "yes, but rotated depths too, in all 4 states")
    assert said(ONE_LENS, one_lens(high, untrained=0.95)) == (Word.SAME, "yes, but untrained too")
    assert said(ONE_LENS, one_lens(high, untrained=0.95, bits=0.4))[0] is Word.YES  # there is nothing to keep in it


def test_used_responds_to_more_than_the_stream():
    assert said(USED, used([0.8] * 4, carried=0.8)) == (Word.SAME, "yes, but carried alone too, in all 4 states")
    assert said(USED, used([0.6] * 4, carried=0.8))[0] is Word.YES  # later blocks take part of it back
    assert said(USED, used([1.2] * 4, carried=0.8))[0] is Word.YES  # or reinforce it
    assert said(USED, used([0.8] * 4, untrained=0.9)) == (Word.SAME, "yes, but untrained too")


def test_states_that_cannot_be_nudged_are_not_in_the_mean_of_carried_alone():
    """The readout fits the last states alone; the others have no value."""
    found = used([NAN, NAN, 0.8, 0.9], carried=1.0)
    table = found.table.copy()
    table.loc[(table["measure"] == "carried_alone") & (table["state_index"] < 3), "mean"] = NAN
    table.loc[(table["measure"] == "carried_alone") & (table["state_index"] >= 3), "mean"] = 0.7
    assert "carried alone 0.70" in USED.decide(USED.find(Source(table, found.summaries))).null
    table.loc[table["measure"] == "carried_alone", "mean"] = NAN
    assert USED.find(Source(table, found.summaries)).null == "carried alone not defined"


def test_undefined_says_why():
    bare = replace(descent([0.1]), table=descent([0.1]).table.iloc[:0])
    for claim in (DESCENT, OWN_OR_CLASS, ORDER, USED, CORRECTED):
        assert said(claim, bare) == (Word.UNDEFINED, "not defined, because it was not measured")
    undefined = one_lens([NAN] * 4, reason="undefined: the last state predicts nothing")
    assert said(ONE_LENS, undefined) == (Word.UNDEFINED, "not defined, because the last state predicts nothing")
    assert said(GAINS, bare) == (Word.UNDEFINED, "not defined, because it was not read through one lens")


def test_bands_of_the_table_are_used_where_there_are_any():
    wide = descent([0.1] * 4, 0.01)
    rows = wide.table["measure"] == "descent_share_effect"
    wide.table.loc[rows, ["band_lo", "band_hi"]] = [-0.1, 0.3]
    assert said(DESCENT, wide)[0] is Word.OPEN


def test_the_number_and_its_null():
    verdict = DESCENT.decide(DESCENT.find(descent([0.3, 0.1], [0.04, 0.02], level=0.5)))
    assert verdict.number == "+0.20 ± 0.03"  # means of both
    assert verdict.null == "readout gradient: share 0.70, pairing 0.50"
    beside = DESCENT.decide(DESCENT.find(descent([0.3, 0.1], untrained=0.25)))
    assert beside.null == "readout gradient: share 0.70, pairing 0.50; untrained 0.25"
    assert verdict.curve == ((1, 0.3, True), (2, 0.1, True))


def test_carried_alone_without_a_value_is_said_and_is_no_number():
    whole = used([0.8] * 4, carried=0.6)
    null = USED.decide(USED.find(whole)).null
    assert null == "carried alone 0.60"
    alone = whole.table["measure"].isin(["carried_alone", "kept"])
    some = whole.table.assign(mean=whole.table["mean"].where(~alone | (whole.table["state_index"] != 2)))
    assert USED.decide(USED.find(Source(some, NO_SUMMARIES))).null == "carried alone 0.60"  # the mean of those with one
    none = whole.table.assign(mean=whole.table["mean"].where(~alone))
    assert USED.decide(USED.find(Source(none, NO_SUMMARIES))).null == "carried alone not defined"

"""Captions of the four figures, from tables made by hand."""

import pandas as pd
import pytest

from lens_tables import moved
from reports.charts.captions import distance_caption, one_lens_caption, onset_caption, readable_caption
from reports.verdict.places import Number
from reports.verdict.words import Verdict, Word

NAN = float("nan")


def depth(word: Word, share: float) -> Verdict:
    return Verdict(word, "", "", Number(share, share, share))


def test_iterative_depth():
    judged = {
        "a": depth(Word.YES, 1.0), "b, seed 1": depth(Word.PART, 0.75), "c": depth(Word.NO, 0.0),
        "d": depth(Word.SAME, 0.5), "e": depth(Word.OPEN, 0.25), "f": depth(Word.FEW, 0.25),
    }  # fmt: skip
    assert onset_caption(judged) == (
        "One prediction, in one code, used and improved: over the last 100 % of a, 75 % of “b, seed 1”; in untrained "
        "copies as far in d; nowhere in c; cannot be told of e, f."
    )
    assert onset_caption({"c": judged["c"]}) == "One prediction, in one code, used and improved: nowhere in c."
    assert onset_caption({}) == ""


def test_more_networks_than_a_clause_names():
    judged = {f"n{k}": depth(Word.NO, 0.0) for k in range(9)}
    assert (
        onset_caption(judged)
        == "One prediction, in one code, used and improved: nowhere in n0, n1, n2, n3, n4, n5 and 3 more."
    )


def network(name, segments, kept, **options) -> pd.DataFrame:
    """Five states or so; intervals are ± .02."""
    return moved(name, segments, kept, missing=(), **options)[0]


FIVE = (0, 0, 0, 0, 0)


def test_how_far_own_lenses_reach():
    table = pd.concat([
        network("far", FIVE, lambda i, j: 0.9),
        network("near", FIVE, lambda i, j: 0.9 if abs(i - j) == 1 else 0.51),  # ± .02, so not above one half
        network("none", FIVE, lambda i, j: 0.1),
        network("input", FIVE, lambda i, j: 0.9 if 0 in (i, j) else 0.1),  # state 0 is left out
        network("staged", (0, 0, 0, 1, 1), lambda i, j: 0.9 if i < 3 else 0.2),
    ])  # fmt: skip
    assert distance_caption(table, ["far", "near", "none", "input", "staged", "absent"]) == (
        "Other states that own lenses tell half of or more, on average: up to 75 % of the depth away in far, 25 % in near; in "
        "1 of 2 segments of staged; not even one state away in none, input."
    )


@pytest.mark.parametrize("told, as_well", [(0.6, True), (0.4, False)])
def test_untrained_copies_count_where_they_have_half_a_bit(told, as_well):
    table = network("net", FIVE, lambda i, j: 0.9)
    untrained = table["null"] == "untrained"
    table.loc[untrained & (table["measure"] == "readable"), "mean"] = told
    kept = untrained & (table["measure"] == "retention") & (table["lens"] == "affine")
    for column, value in (("mean", 0.9), ("lo", 0.88), ("hi", 0.92)):
        table.loc[kept, column] = value
    caption = distance_caption(table, ["net"])
    assert caption == (
        "Other states that own lenses tell half of or more, on average: "
        + ("as many in untrained copies of net." if as_well else "up to 75 % of the depth away in net.")
    )  # fmt: skip


def test_one_lens():
    table = pd.concat(
        [network(name, FIVE, lambda i, j: 0.9) for name in ("whole", "part", "mixed", "same", "no", "few")]
    )
    judged = {
        "whole": Verdict(Word.YES, "yes", ", beyond every null"),
        "part": Verdict(Word.PART, "yes", ", in the last 3 of 4 states; the reverse in 1"),
        "mixed": Verdict(Word.MIXED, "mixed", ": yes in 2 of 4 states; the reverse in 2 of 4 states"),
        "same": Verdict(Word.SAME, "yes", ", but untrained too"),
        "no": Verdict(Word.NO, "no"),
        "few": Verdict(Word.FEW, "too few units"),
    }
    # states 1 … 4 keep .6 … .9
    assert one_lens_caption(judged, table) == (
        "What one lens reads: every state of whole (.60 … .90); the last 3 of 4 states of part, 2 of 4 states of mixed; no more "
        "than a null in same; nothing of no; cannot be told of few."
    )


def test_half_of_the_bits():
    late = network("late", FIVE, lambda i, j: 0.9)  # tells 1, 2, 3, 4, 5 bits: 3 are half of 5
    early = late.assign(model="early", mean=late["mean"].where(late["measure"] != "readable", 3.0))
    little = late.assign(model="little", mean=late["mean"].where(late["measure"] != "readable", 0.4))
    back = late.assign(model="back")
    own = (back["measure"] == "readable") & (back["fitted_at"] == back["state_index"]) & (back["target"] == "label")
    back.loc[own & (back["state_index"] == 1), "mean"] = 4.0  # and 3 again after it; state 2 falls below
    back.loc[own & (back["state_index"] == 2), "mean"] = 2.0
    table = pd.concat([late, early, little, back])
    assert readable_caption(table, ["late", "early", "little", "back"]) == (
        "Half of the bits at the end can be read: in the input of early, after 50 % of depth in late, after 75 % of depth in "
        "back; the end tells less than 0.5 bits in little."
    )
    assert readable_caption(table[:0], ["late"]) == ""

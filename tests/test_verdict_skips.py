"""Whether skips matter: every word beside twins, groups of trained networks that overrule them, and who is a twin.

The naive rule is the mean over states of the network minus that of its twin, above 0 or not.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from itinf.results import report
from itinf.results.comparison import Comparison
from itinf.results.groups import group_table
from lens_tables import moved
from pages import page
from reports.verdict.beside import sources_of
from reports.verdict.skips import SKIPS
from reports.verdict.table import verdict_table
from reports.verdict.words import Word
from tables import BLANK
from test_page import manifest
from verdict_tables import NAN, skipping

PAIR = ", for this pair of trainings"


def judged(source):
    return SKIPS.decide(SKIPS.find(source))


def said(source):
    verdict = judged(source)
    return verdict.word, verdict.text


WORDS = [  # what one lens retains in four states, in the twin, half of each interval; word, text, and what the naive rule says
    ([0.9] * 4, [0.1] * 4, 0.03, Word.YES, "yes" + PAIR, "yes"),
    ([0.1, 0.1, 0.9, 0.9], [0.1] * 4, 0.01, Word.PART, "yes, in the last 2 of 4 states" + PAIR, "yes"),
    ([0.9, 0.1, 0.1, 0.1], [0.1] * 4, 0.01, Word.PART, "yes, in the first of 4 states" + PAIR, "yes"),
    ([0.9, 0.1, 0.9, 0.1], [0.5] * 4, 0.03, Word.MIXED, "mixed: yes in 2 of 4 states; the reverse in 2" + PAIR, "no"),
    ([0.105] * 4, [0.1] * 4, 0.002, Word.NO, "no" + PAIR, "yes"),  # the interval is above 0, and of no size
    ([0.1] * 4, [0.9] * 4, 0.03, Word.REVERSE, "the reverse in all 4 states" + PAIR, "no"),
    ([0.6] * 4, [0.5] * 4, 0.06, Word.OPEN, "cannot be told: −0.02 … 0.22", "yes"),  # each interval leaves out the other's mean
    ([1.0] * 4, [0.97] * 4, 0.01, Word.NO_ROOM, "no room: the null is at .95 or above in all 4 states", "yes"),
    ([0.9] * 4, [0.1] * 4, NAN, Word.FEW, "too few units", "yes"),
]  # fmt: skip


@pytest.mark.parametrize(("kept", "twin", "half", "word", "text", "naive"), WORDS)
def test_beside_a_twin(kept, twin, half, word, text, naive):
    assert naive == ("yes" if np.mean(kept) - np.mean(twin) > 1e-9 else "no")
    assert said(skipping(kept, twin, half=half)) == (word, text)
    assert "beyond every null" not in text


def test_half_widths_are_added_and_state_0_is_left_out():
    verdict = judged(skipping([0.9, 0.7], [0.1, 0.2], half=0.03))
    assert verdict.number == "+0.65 ± 0.06" and verdict.null == "twin twin1 0.15"
    assert [at for at, *_ in verdict.curve] == [1, 2] and verdict.size.half == pytest.approx(0.06)
    both = judged(skipping([0.9, 0.7], [0.1, 0.2], matched=(0.5, 0.2)))  # half-widths of .1 each
    assert both.null == "twin twin1 0.15; channels matched, all pairs +0.30 ± 0.20"
    assert "channels" not in judged(skipping([0.9, 0.7], [0.1, 0.2], matched=(0.5,))).null


def test_beyond_each_of_several_twins():
    high = [0.9] * 4
    assert said(skipping(high, [0.1] * 4, [0.3] * 4)) == (Word.YES, "yes, for these trainings")
    beside = judged(skipping([0.5] * 4, [0.1] * 4, [0.48] * 4))  # naive: .5 − .29, yes
    assert (beside.word, beside.null) == (Word.OPEN, "highest of 2 twins, twin2 0.48")
    first, second = [0.1, 0.1, 0.8, 0.8], [0.7, 0.7, 0.1, 0.1]
    assert said(skipping([0.9, 0.9, 0.4, 0.4], first, second)) == (
        Word.MIXED, "mixed: yes in the first 2 of 4 states; the reverse in 2, for these trainings"
    )  # fmt: skip
    other = skipping(
        [0.9] * 4, [0.7] * 4, [0.1, 0.9, 0.9, 0.1]
    )  # beyond the highest in all states, not beyond the other
    assert said(other) == (Word.PART, "yes, in 2 of 4 states, for these trainings")
    none = skipping(high, [0.1] * 4, [NAN] * 4)
    assert said(none) == (Word.YES, "yes" + PAIR), "a twin without values hides nothing"


def test_what_is_not_defined_says_why():
    def why(source):
        word, text = said(source)
        assert word is Word.UNDEFINED
        return text.removeprefix("not defined, because ")

    two = [0.9, 0.9], [0.1, 0.1]
    assert why(skipping(*two, has=False)) == "it has no skips"
    assert why(skipping(*two, has=None)) == "whether it has skips was not recorded"
    assert why(skipping(two[0])).startswith("no network here, on the same data, has as many states")
    found = skipping(*two)
    bare = found.table.assign(lens="affine")
    assert why(replace(found, table=bare)) == "its lenses were not read at other states"
    lost = skipping(two[0], [NAN, NAN], reason="undefined: the last state predicts nothing")
    assert why(lost) == "twin1: the last state predicts nothing"


def trained(kept, segments=(0, 0, 0, 0), half=0.02):
    """Tables of networks: name -> (whether it has skips, what one lens retains at states 1 … 3)."""
    tables, summaries = [], []
    for name, (skips, values) in kept.items():
        table, summary = moved(name, segments, matched=True, untrained=False)
        one = (table["lens"] == "shared, left out") & (table["measure"] == "retention") & (table["null"] == "observed")
        shown = table["state_index"].map(dict(enumerate([0.5, *values]))).astype(float)
        ends = {"mean": shown, "lo": shown - half, "hi": shown + half}
        table = table.assign(skips=skips, **{c: table[c].where(~one, ends[c]) for c in ends})
        blocks = [
            BLANK | {"model": name, "modality": "image", "skips": skips, "block_index": k, "depth": k / 3, "mean": 0.0}
            | {"measure": "alignment", "segment": segments[k]}
            for k in (1, 2, 3)
        ]  # fmt: skip
        tables += [table, pd.DataFrame(blocks).astype(table.dtypes)]
        summaries.append(summary)
    return pd.concat(tables, ignore_index=True), pd.concat(summaries, ignore_index=True)


def row(kept, groups=None, data=None, weights=None, tables=None, sizes=None):
    """Name -> verdict; {} where the row is left out."""
    table, summaries = tables or trained(kept)
    manifests = [manifest(n, (data or {}).get(n, "glyphs"), (weights or {}).get(n, "specimen")) for n in kept]
    for one in manifests if sizes else ():
        one["about"] = {"parameters": sizes.get(one["network"]["name"])}
    found = None if groups is None else group_table(table, summaries, groups)
    made = verdict_table(
        table, summaries, manifests, {"skips": lambda: SKIPS}, groups=found, members=groups
    )  # fmt: skip
    assert not made.remarks
    return {
        network.name: cell.verdict for one in made.rows for network, cell in zip(made.networks, one.cells, strict=True)
    }


TWO = {"with": (True, [0.9] * 3), "without": (False, [0.1] * 3)}


def test_twins_of_a_page():
    found = row(TWO)
    assert found["with"].text == "yes" + PAIR and found["with"].null.startswith("twin without 0.10; channels matched")
    assert found["without"].text == "not defined, because it has no skips"
    assert row({"with": TWO["with"], "more": (True, [0.1] * 3)}) == {}, "the row is left out"
    assert row(TWO, data={"with": "cifar10"}) == {}, "another task"
    assert row(TWO, weights={"without": "random:0"}) == {}, "an untrained network is no twin of a trained one"
    assert row(TWO, sizes={"with": 20_000, "without": 180_000}) == {}, "blocks that share their weights"
    assert row(TWO, sizes={"with": 182_000, "without": 180_000}) == row(TWO, sizes={"with": 182_000}) == found, (
        "shortcuts"
    )
    other = zip(trained({"with": TWO["with"]}), trained({"without": TWO["without"]}, (0, 0, 1, 1)), strict=True)
    assert row(TWO, tables=[pd.concat(both) for both in other]) == {}, "other widths"
    unlabelled = [frame[frame["target"] == "model"] for frame in trained(TWO)]
    assert sources_of(["with"], *unlabelled)["with"].twins == (), "no table of it was asked for"
    assert len(sources_of([*TWO], *unlabelled, target="model")["with"].twins) == 1


MANY = {
    "a": (True, [0.9, 0.8, 0.9]), "b": (True, [0.88, 0.83, 0.9]), "c": (True, [0.91, 0.79, 0.87]),
    "d": (False, [0.1, 0.2, 0.1]), "e": (False, [0.12, 0.18, 0.1]), "f": (False, [0.11, 0.21, 0.13]),
}  # fmt: skip
GROUPS = {"skips": ["a", "b", "c"], "plain": ["d", "e", "f"]}


def test_groups_speak_of_training():
    found = row(MANY, GROUPS)
    assert found["a"].text == found["b"].text == "yes, beyond every null"
    of = [np.mean([MANY[n][1] for n in GROUPS[g]], axis=0) for g in GROUPS]
    np.testing.assert_allclose([value for _, value, _ in found["a"].curve], of[0] - of[1])
    ends = [
        stats.ttest_ind(*([MANY[n][1][k] for n in GROUPS[g]] for g in GROUPS), equal_var=False).confidence_interval()
        for k in range(3)
    ]
    np.testing.assert_allclose([found["a"].size.lo, found["a"].size.hi], np.mean(ends, axis=0))
    assert found["a"].null.startswith("skips − plain, 3 and 3 trained networks; plain 0.14")
    assert found["a"].null.endswith("for this pair of trainings, f: +0.72 ± 0.04")  # the one that retains most
    assert found["d"].text == "not defined, because it has no skips"
    turned = row(MANY, dict(reversed(GROUPS.items())))
    assert turned["a"].text == found["a"].text and turned["a"].null == found["a"].null
    np.testing.assert_allclose(turned["a"].size, found["a"].size)


def test_groups_overrule_twins():
    """One training with skips did well and the others did not: a yes beside its twins, and none over trainings."""
    lucky = MANY | {"b": (True, [0.1, 0.2, 0.1]), "c": (True, [0.3, 0.2, 0.2])}
    assert row(lucky)["a"].text == "yes, for these trainings"  # naive over images
    found = row(lucky, GROUPS)["a"]
    assert found.word is Word.OPEN and "for this pair of trainings, f: +0.72 ± 0.04" in found.null


def test_where_groups_cannot_decide_twins_do():
    one = {"skips": ["a"], "plain": ["d"]}  # no interval over trainings
    assert row(MANY, one)["a"].text == "yes, for these trainings"
    mixed = {"skips": ["a", "b", "d"], "plain": ["e", "f"]}  # not all with skips
    assert row(MANY, mixed)["a"].text == "yes, for these trainings"
    assert row(MANY, {"skips": ["a", "b"], "other": ["c", "d"]})["a"].text == "yes, for these trainings"
    alone = row(MANY, {"skips": ["a", "b"], "plain": ["d", "e"]})["c"]  # in no group
    assert alone.text == "yes, for these trainings"


def test_a_state_that_not_every_network_has():
    tables = trained(MANY)
    table = tables[0]
    lost = (table["model"] == "e") & (table["lens"] == "shared, left out") & (table["state_index"] == 2)
    ends = ["mean", "lo", "hi"]
    gone = table.assign(**{name: table[name].mask(lost) for name in ends})
    found = row(MANY, GROUPS, tables=(gone, tables[1]))["a"]
    assert found.text == "yes, beyond every null, in 2 of 3" and np.isnan(found.curve[1][1])


def test_the_page_shows_it():
    table, summaries = trained(MANY)
    groups = group_table(table, summaries, GROUPS)
    options = {"summaries": summaries, "groups": groups, "group_notes": ["note"], "claims": {"skips": lambda: SKIPS}}
    shown = partial(page, table, [manifest(n, weights="specimen") for n in MANY], [[] for _ in MANY], **options)
    assert "skips − plain, 3 and 3 trained networks" in shown(members=GROUPS)
    assert "for these trainings" in shown()


def test_members_of_groups_reach_the_page(monkeypatch):
    asked = {}
    monkeypatch.setattr(report.registry, "page", lambda name: lambda *_, **others: asked.update(others))
    table, summaries = trained(MANY)

    class Made(Comparison):
        runs, transfers, notes = (), (), ()
        groups, roles = GROUPS, {}
        power, group_notes, joined, paired, examples = None, [], [], [], {}

        def __init__(self):
            pass

    Made.table, Made.summaries = table, summaries
    report._page(Made(), [], [])
    assert asked["members"] == GROUPS and len(asked["groups"])

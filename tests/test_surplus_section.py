"""Carried or written: the chart and its caption hold the table's numbers, and the question is answered from them."""

from __future__ import annotations

import re
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

import itinf
from itinf.errors import NothingToDrawError
from lens_oracles import evidence, gathering
from pages import page
from reports.charts.marks import marks_of
from reports.figures.surplus import NAMES, carried_by_distance, surplus
from reports.numbers import number, signed
from reports.sections.carried import CARRIED, read_caption
from reports.verdict.carried import WRITTEN
from reports.verdict.table import verdict_table
from reports.verdict.words import Word
from test_page import Read, manifest
from verdict_tables import NAN, curve, source


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Pieces of evidence that add up; the same without counterfactual states."""
    with torch.no_grad():
        network = gathering()
        lens = itinf.fit(network, evidence(300, 3, 1), batch=300)
        made = itinf.transfer(
            network, lens, evidence(96, 3, 2), counterfactual=True, precision=0.0, replicates=10, rotations=0
        ).table
    few = made[made["form"].isin(["", "gauge-matched"])]
    return pd.concat([made.assign(model="all"), few.assign(model="few")], ignore_index=True)


def cells(table, model, measure, form=""):
    rows = table[(table["model"] == model) & (table["measure"] == measure) & (table["form"] == form)]
    rows = rows[(rows["target"] == "label") & (rows["lens"] == "affine") & (rows["fitted_at"] > 0)]
    return rows[rows["state_index"] > rows["fitted_at"]].assign(distance=rows["state_index"] - rows["fitted_at"])


def test_means_by_distance_are_those_of_the_table(table):
    found = carried_by_distance(table)
    assert set(found["what"][found["model"] == "all"]) == set(NAMES)
    for one in found.itertuples():
        measure, form = (
            (one.what, "") if one.what in ("retention", "carried_at_most", "surplus") else ("retention", one.what)
        )
        rows = cells(table, one.model, measure, form)
        rows = rows[rows["distance"] == one.distance]
        assert (one.mean, one.lo, one.hi) == pytest.approx(tuple(rows[["mean", "lo", "hi"]].mean()))
        assert one.pairs == len(rows) == 3 - one.distance and one.share == pytest.approx(one.distance / 3)


def test_the_chart_holds_them_and_draws_what_was_read(table):
    figure = surplus(table)
    for name, count in (("all", 6), ("few", 3)):
        marks = [one for one in marks_of(figure).every if one.name == name]
        assert [one.label for one in marks] == ["1 state later", "2 states later"]
        assert all(len(one.readings) == count and one.readings[0].name == "retention" for one in marks)
    assert set(figure.numbers["model"]) == {"all", "few"}
    with pytest.raises(NothingToDrawError, match="with pairs"):
        surplus(table[table["fitted_at"] == table["state_index"]])


def test_the_caption_says_them(table):
    far = {
        m: cells(table, "few", m).query("distance == 2")["mean"].iloc[0]
        for m in ("retention", "carried_at_most", "surplus")
    }
    said = read_caption(table)
    assert said.endswith(
        f"few {number(far['retention'], 2)} ({number(far['carried_at_most'], 2)} if its code were left alone, surplus "
        f"{signed(far['surplus'], 2)})."
    )
    alone = [
        cells(table, "all", "retention", form).query("distance == 2")["mean"].iloc[0] for form in ("carried", "written")
    ]
    assert f"; carried alone {number(alone[0], 2)}, written alone {number(alone[1], 2)})" in said
    assert read_caption(table[table["measure"] != "surplus"]) == ""


def test_the_page_has_the_section_with_one_chart_or_two(table):
    text = page(table, [manifest("all"), manifest("few")], [[], []], sections={"carried": lambda: CARRIED})
    assert [f["id"] for f in Read(text).of("figure")] == ["figure-surplus"]
    assert "Carried or written" in Read(text).inside("h2") and "tr&nbsp;Cov" not in text
    nothing = page(table.iloc[:0], [manifest("all")], [[]], sections={"carried": lambda: CARRIED})
    assert 'id="carried"' not in nothing


def reads_last(values, half=0.03, at_most=0.6):
    """A network whose lenses of states 0 … read the last state with these surpluses; that of state 0 does not count."""
    every, last = [-0.9, *values], len(values) + 1
    here = {"lens": "affine", "lens_of": list(range(len(every))), "state_index": last, "states": True}
    halves = half if isinstance(half, float) else [0.03, *half]
    earlier = curve("surplus", [-0.5], lens="affine", lens_of=[1], state_index=last - 1, states=False)
    return source(
        curve("surplus", every, halves, **here), curve("carried_at_most", [at_most] * len(every), **here), earlier
    )


WORDS = [  # surplus of the lenses of four states; word, text
    ([0.3, 0.2, 0.3, 0.2], 0.05, Word.YES, "yes, beyond every null"),
    ([0.3, 0.2, 0.3, 0.0], 0.01, Word.PART, "yes, in the first 3 of 4 states"),
    ([-0.3, -0.2, -0.3, -0.2], 0.05, Word.REVERSE, "the reverse in all 4 states"),
    ([0.01, 0.0, -0.01, 0.01], 0.005, Word.NO, "no"),
    ([0.5, -0.3, 0.5, -0.3], 0.05, Word.MIXED, "mixed: yes in 2 of 4 states; the reverse in 2"),  # their mean is .1
    ([0.05, 0.04, 0.05, 0.06], 0.2, Word.OPEN, "cannot be told: −0.15 … 0.25"),
    ([0.3, 0.2, 0.3, 0.2], NAN, Word.FEW, "too few units"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "half", "word", "text"), WORDS)
def test_words_of_the_question(values, half, word, text):
    verdict = WRITTEN.decide(WRITTEN.find(reads_last(values, half)))
    assert (verdict.word, verdict.text) == (word, text)
    assert verdict.null == "carried at most 0.60" and [place for place, _, _ in verdict.curve] == [1, 2, 3, 4]


def test_the_question_is_answered_in_the_table(table):
    asked = {WRITTEN.name: partial(lambda one: one, WRITTEN)}
    made = verdict_table(table, None, [manifest("all")], asked)
    (row,) = made.rows
    at_end = cells(table, "all", "surplus")
    at_end = at_end[at_end["state_index"] == 3]["mean"]
    assert row.cells[0].verdict.size.mean == pytest.approx(np.mean(at_end)) and len(at_end) == 2
    assert re.match("yes: more than was there", row.cells[0].verdict.text)
    assert not verdict_table(table[table["measure"] != "surplus"], None, [manifest("all")], asked).rows

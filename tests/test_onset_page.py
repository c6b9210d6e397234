"""What page, figure and console say of the onset: the numbers of the summaries, and what fails before it."""

import pandas as pd
import pytest

from itinf.errors import NothingToDrawError
from reports.figures.onset import onset
from reports.html.answers import answers
from reports.html.onset_table import onset_rows
from reports.onset_numbers import onset_curves
from reports.verdict.depth import ITERATIVE_DEPTH
from reports.verdict.source import Source
from reports.verdict.words import Word
from test_onset_oracles import made, oracle


@pytest.fixture(scope="module")
def both():
    """Evidence that adds up in one code, and a network whose start knows nothing of the goal, under names of their own."""
    tables, summaries = [], []
    for name in ("gathering", "descending", "turning"):
        one = made(*oracle(name))
        tables.append(one.table.assign(model=name))
        summaries.append(one.summaries.assign(model=name))
    return pd.concat(tables, ignore_index=True), pd.concat(summaries, ignore_index=True)


def test_rows(both):
    rows = {row.network.partition(" (")[0]: row for row in onset_rows(*both, {"turning": "no", "gathering": "yes"})}
    assert list(rows) == ["gathering", "turning", "descending"]  # controls first: yes, then no
    assert rows["gathering"].network == "gathering (control: yes)"
    assert rows["gathering"].depth.startswith("1.00 (") and rows["gathering"].onset == "0 of 3"
    assert rows["gathering"].before == "–" and " then +" in rows["gathering"].bits
    assert rows["descending"].depth.startswith("0.80 (") and rows["descending"].onset == "1 of 5"
    assert rows["descending"].before.startswith("state 0: one lens retains ")
    assert rows["turning"].depth.startswith("0.00 (") and (rows["turning"].onset, rows["turning"].bits) == ("none", "–")
    assert rows["turning"].before.startswith("state ")
    assert {row.read_by for row in rows.values()} == {"own readout"}


def test_numbers_are_those_of_the_summaries(both):
    table, summaries = both
    for curves in onset_curves(table, summaries):
        found = summaries[(summaries["model"] == curves.model) & (summaries["form"] == "1/2")].set_index("measure")
        assert curves.number("iterative_depth")["mean"] == found.loc["iterative_depth", "mean"]
        assert len(curves.used) == curves.states and len(curves.gains) == curves.states - 1


def test_the_first_answer(both):
    first = answers(*both)[0]
    assert first.startswith("Iterative depth, ")
    assert (
        "gathering 1.00 (" in first and "after block 0 of 3" in first and "turning 0.00 (0.00 … 0.00), at none" in first
    )


def test_the_verdict(both):
    table, summaries = (of[of["model"] == "descending"] for of in both)
    verdict = ITERATIVE_DEPTH.decide(ITERATIVE_DEPTH.find(Source(table, summaries)))
    assert (verdict.word, verdict.text) == (Word.PART, "yes, over the last 4 of 5 blocks")
    assert verdict.size.mean == pytest.approx(0.8) and verdict.number.startswith("0.80")
    assert [full for _, _, full in verdict.curve] == [False, True, True, True, True, True]  # states 0 … 5, onset 1
    assert verdict.null.startswith("at thresholds ⅓ ")


def test_the_figure(both):
    figure = onset(both[0], summaries=both[1])
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == ["gathering: 1.00", "descending: 0.80", "turning: 0.00"]
    shaded = [patch for patch in shown[1].patches if patch.get_alpha()]
    assert len(shaded) == 1 and shaded[0].get_x() == pytest.approx(0.2)
    assert not [patch for patch in shown[2].patches if patch.get_alpha()]
    with pytest.raises(NothingToDrawError):
        onset(both[0], summaries=both[1][:0])

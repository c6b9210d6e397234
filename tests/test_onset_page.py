"""What page, figure and console say of the onset: the numbers of the summaries, and what fails before it."""

from dataclasses import replace

import pandas as pd
import pytest

from itinf.errors import NothingToDrawError
from reports.figures.onset import Strips, onset
from reports.html.answers import answers
from reports.html.onset_table import onset_rows
from reports.onset_numbers import OnsetCurves, onset_curves
from reports.verdict.depth import ITERATIVE_DEPTH
from reports.verdict.source import Source
from reports.verdict.words import Word
from tables import BLANK
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
    curves = next(one for one in onset_curves(*both) if one.model == "descending")
    assert [float(text.partition(" (")[0]) for text in rows["descending"].others] == pytest.approx(
        [curves.number("iterative_depth", threshold)["mean"] for threshold in ("1/3", "2/3")], abs=0.005
    )
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
    figure = onset(both[0], summaries=both[1], roles={"descending": "yes", "turning": "no"})
    marks = figure.marks.every
    assert list(dict.fromkeys(mark.name for mark in marks)) == ["descending", "turning", "gathering"]  # controls on top
    at_onset = {mark.name: mark.label.split(",")[0] for mark in marks if mark.label.endswith(", the onset")}
    assert at_onset == {"descending": "state 1", "gathering": "state 0"}
    assert sum(mark.label.endswith("after the onset") for mark in marks if mark.name == "descending") == 4
    bold = [text.get_text() for text in figure.axes[0].texts if text.get_fontweight() == "bold"][1:]
    assert [words.split()[-1] for words in bold] == ["0.80", "0.00", "1.00"]
    with pytest.raises(NothingToDrawError):
        onset(both[0], summaries=both[1][:0])


def test_what_hover_says_is_in_the_table(both):
    table = both[0]
    figure = onset(table, summaries=both[1])
    for mark in figure.marks.every:
        rows = table[(table["model"] == mark.name) & (table["form"] == "") & (table["target"] == "label")]
        at = int(mark.label.split(",")[0].removeprefix("state "))
        kept = rows[
            (rows["measure"] == "retention") & (rows["lens"] == "shared, left out") & (rows["state_index"] == at)
        ]
        used = rows[(rows["measure"] == "persistence") & (rows["statistic"] == "ratio") & (rows["state_index"] == at)]
        gain = rows[(rows["measure"] == "prediction_gain_effect") & (rows["block_index"] == at + 1)]
        wanted = [
            kept[kept["null"] == "observed"],
            used[(used["null"] == "observed") & (used["lens"] == "")],
            gain[gain["lens"] == ""],
        ]
        read = [(reading.mean, reading.lo, reading.hi) for reading in mark.readings]
        assert len(read) == (2 if at == rows["state_index"].max() else 3)
        for found, row in zip(read, wanted, strict=False):
            assert found == pytest.approx(tuple(row[["mean", "lo", "hi"]].iloc[0]), nan_ok=True)


def curves(code, used, gains):
    """A network with these curves, whose intervals are ± .1."""

    def rows(values, column, first):
        return pd.DataFrame([
            BLANK | {column: first + k, "mean": v, "lo": v - 0.1, "hi": v + 0.1, "n_clusters": 800} for k, v in enumerate(values)
        ])  # fmt: skip

    return OnsetCurves("net", None, "", pd.DataFrame(), rows(code, "state_index", 0), rows(used, "state_index", 0),
                       rows(gains, "block_index", 1), len(code), "")  # fmt: skip


def test_cells_say_what_holds():
    says = Strips(curves([float("nan"), 0.49, 0.5, 0.9], [0.2, 0.6, 0.4, 1.0], [0.5, 0.05, -0.5])).says
    assert says["code"] == ["no value", "fails", "holds", "holds"]
    assert says["used"] == ["fails", "holds", "fails", "holds"]
    assert says["gains"] == ["holds", "neither", "fails"]  # and none of the last state


def test_states_inside_branches_are_no_cells():
    """The path has states 0, 2 and 3; one lens reads state 1, too."""
    inside = curves([0.9, 0.8, 0.2, 0.9], [0.9, 0.9, 0.9, 0.9], [0.5, 0.5])
    inside = replace(inside, states=3, used=inside.used[inside.used["state_index"] != 1])
    assert Strips(inside).states == [0, 2, 3]
    assert Strips(inside).says["code"] == ["holds", "fails", "holds"]


@pytest.mark.parametrize("measure", ["retention", "persistence", "prediction_gain_effect"])
def test_a_table_that_lacks_a_curve_is_shown_without_it(both, measure):
    table = both[0][both[0]["measure"] != measure]
    figure = onset(table, summaries=both[1])
    names = {"retention": "one lens", "persistence": "persistence", "prediction_gain_effect": "gain"}
    for mark in figure.marks.every:
        of = {reading.name.startswith(names[measure]): reading for reading in mark.readings}
        assert True not in of or (of[True].mean != of[True].mean and of[True].reason == "not measured")

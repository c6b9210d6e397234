"""The sections on borderline units and on iterative convergence, and the questions of the verdict table about them."""

from functools import partial

import pytest

import itinf
import tiny
from itinf.errors import NothingToDrawError
from pages import page
from reports.figures.borderline import borderline, of_repeats
from reports.sections.borderline import BORDERLINE
from reports.sections.convergence import CONVERGENCE, INDICES
from reports.verdict.convergence import HELPED, ITERATES
from reports.verdict.table import verdict_table
from test_overview import made
from test_page import Read, manifest

SECTIONS = {"borderline": lambda: BORDERLINE, "convergence": lambda: CONVERGENCE}
PROBES = [itinf.Borderline(at_end=True), itinf.Convergence(), itinf.Repeat(last_alone=True)]


@pytest.fixture(scope="module")
def table():
    return tiny.probed(*tiny.opened("token", 40), probes=PROBES).table.assign(model="lm")


def number(table, measure, **columns):
    rows = table[table["measure"] == measure]
    for column, value in columns.items():
        rows = rows[rows[column] == value]
    assert len(rows) == 1
    return rows.iloc[0]


def test_the_sections_say_what_the_table_holds(table):
    text = page(table, [manifest("lm")], [[]], sections=SECTIONS)
    read = Read(text)
    assert {"Between two answers", "One step, again and again?"} <= set(read.inside("h2"))
    assert [f["id"] for f in read.of("figure")] == ["figure-borderline"]
    before, after = (
        number(table, "borderline_accuracy", subset="borderline at 0", null="observed", state_index=state)
        for state in (0, 2)
    )
    cells = read.inside("td")
    for row in (before, after):
        assert any(cell.startswith(f"{row['mean']:.2f}") for cell in cells)
    for measure, form, words in INDICES:
        value = number(table, measure, form=form, null="observed")["mean"]
        place = cells[-len(INDICES) :][INDICES.index((measure, form, words))]
        if value != value:
            assert place == "–"
        else:
            assert float(place.partition(" ")[0].replace("−", "-")) == pytest.approx(value, abs=0.05), (measure, form)


def test_the_figure_follows_units_after_their_choice(table):
    marks = borderline(table).marks()["marks"]
    assert [label for _, _, _, label, _ in marks] == ["state 0, wte + wpe", "state 1, h.0", "state 2, h.1"] or len(
        marks
    ) == 3
    assert set(borderline(table).numbers["null"]) == {"observed", "same p_y", "order-shuffled"}


def test_whether_repeats_help_is_decided_from_what_they_gain(table):
    asked = {HELPED.name: partial(lambda one: one, HELPED)}
    (row,) = verdict_table(table, None, [manifest("lm")], asked).rows
    best, size = number(table, "accuracy_cost", form="repeat best", subset="borderline at 2"), row.cells[0].verdict.size
    assert size.mean == pytest.approx(-best["mean"]) and size.lo == pytest.approx(-best["hi"])
    gained = of_repeats(table).iloc[0]
    assert gained["lo"] <= gained["mean"] <= gained["hi"]


def test_what_converges_and_stays_says_yes(table):
    """By hand: early, and no loss if it runs on."""
    ideal = table.copy()
    for measure, value in (("convergence_index", 0.6), ("divergence_index", -0.1)):
        ideal.loc[ideal["measure"] == measure, ["mean", "lo", "hi"]] = [value, value - 0.05, value + 0.05]
    asked = {ITERATES.name: partial(lambda one: one, ITERATES)}
    (row,) = verdict_table(ideal, None, [manifest("lm")], asked).rows
    assert row.cells[0].verdict.word.value[1] == "yes"
    assert [value for _, value, _ in row.cells[0].verdict.curve] == pytest.approx([0.8, 1.1])


def test_without_their_probes_there_are_no_sections():
    other = made("net", depth=2)
    shown = {s["id"] for s in Read(page(other, [manifest("net")], [[]], sections=SECTIONS)).of("section")}
    assert not shown & {"borderline", "convergence"}
    with pytest.raises(NothingToDrawError, match="No unit was borderline"):
        borderline(other)
    asked = {claim.name: partial(lambda one: one, claim) for claim in (ITERATES, HELPED)}
    assert not verdict_table(other, None, [manifest("net")], asked).rows

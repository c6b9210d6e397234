"""The section on similarity: its chart has the table's numbers, its caption says them."""

import pytest

import itinf
from itinf.errors import NothingToDrawError
from pages import page
from reports.charts.marks import marks_of
from reports.figures.similarity import similarity
from reports.numbers import number
from reports.sections.alike import ALIKE, alike_caption
from test_page import manifest
from tiny import opened, probed


@pytest.fixture(scope="module")
def table():
    return probed(*opened("token"), probes=[itinf.Similarity()], untrained=1).table


def rows(table, null):
    chosen = (table["measure"] == "similarity") & (table["form"] == "gauge-fixed") & (table["null"] == null)
    return table[chosen].sort_values("state_index")["mean"]


def test_marks_are_the_numbers_of_the_table(table):
    marks = marks_of(similarity(table)).every
    for place, null in enumerate(("observed", "same-target", "untrained")):
        assert [mark.readings[place].mean for mark in marks] == pytest.approx(list(rows(table, null)))
    with pytest.raises(NothingToDrawError, match="measure the probe similarity"):
        similarity(table[table["measure"] == "concentration"])


def test_the_caption_says_what_the_middle_state_has(table):
    observed, alone = (rows(table, null).iloc[1] for null in ("observed", "same-target"))
    assert alike_caption(table) == (
        f"Half-way, the similarity with the last state is gpt2 {number(observed, 2)} ({number(alone, 2)} by class or next "
        "token alone)."
    )
    assert alike_caption(table.iloc[:0]) == ""


def test_the_section_is_on_the_page_where_similarity_was_measured(table):
    text = page(table, [manifest("gpt2")], [[]], sections={"alike": lambda: ALIKE})
    assert text.count('id="figure-similarity"') == 1 and "a high similarity is no common code" in text
    assert 'id="alike"' not in page(table.iloc[:0], [manifest("gpt2")], [[]], sections={"alike": lambda: ALIKE})

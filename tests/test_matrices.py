"""Transfer matrices as tables of the page."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from itinf.results.schema import results_table
from reports.html.matrices import MOST, matrices, shades
from reports.html.template import render, text_of
from reports.sections.networks import Part
from tables import BLANK

PART = Part("net", (), (), (), (), (), ((), ()), (), ())
LITTLE = "own lens tells under 5 %"


def cell(fitted: int, read: int, mean: float, half: float = 0.03, **columns: Any) -> dict[str, Any]:
    return BLANK | {
        "model": "net", "modality": "image", "state": f"after {read}", "state_index": read, "depth": read / 9,
        "segment": 0, "lens": "affine", "fitted_at": fitted, "measure": "retention", "statistic": "ratio", "unit": "image",
        "mean": mean, "lo": mean - half, "hi": mean + half, "n_units": 1400,
    } | columns  # fmt: skip


def table(*rows: dict[str, Any]) -> pd.DataFrame:
    return results_table(rows)


ROWS = [
    cell(0, 0, 1.0),
    cell(0, 1, 0.504),
    cell(1, 0, float("nan"), reason=LITTLE),
    cell(1, 1, 1.0),
    cell(2, 2, -0.004),
]


def test_numbers_stand_at_their_lens_and_state() -> None:
    (found,) = matrices(table(*ROWS))
    assert (found.kind, found.about) == ("as it is", "retention of the label, as it is; 1,400 images")
    assert [(state, name) for state, name, _ in found.rows] == [(0, "after 0"), (1, "after 1"), (2, "after 2")]
    texts = [[one.text for one in cells] for *_, cells in found.rows]
    assert texts == [["1.00", ".50", ""], ["a", "1.00", ""], ["", "", ".00"]]
    at = found.rows[0][2][1]
    assert at.colour == "v10" and at.says == "lens of state 0 at state 1: 0.504 ± 0.030"
    assert found.rows[0][2][2].colour == "", "states that no lens fits both of have no cell"


def test_a_missing_cell_is_hatched_and_its_reason_is_said_once() -> None:
    (found,) = matrices(table(*ROWS, cell(0, 2, float("nan"), reason=LITTLE), cell(2, 0, float("nan"))))
    assert list(found.reasons) == [("a", "x0", LITTLE), ("b", "x1", "no reason recorded")]
    assert found.rows[1][2][0].says == f"lens of state 1 at state 0: {LITTLE}"
    assert [found.rows[2][2][0].text, found.rows[0][2][2].colour] == ["b", "x0"]


def test_untrained_copies_have_a_matrix_of_what_they_answer_themselves() -> None:
    untrained = [row | {"null": "untrained", "null_seed": 0, "target": "model"} for row in ROWS[:2]]
    found = matrices(table(*ROWS, *untrained))
    assert [(one.code, one.kind) for one in found] == [("r0", "as it is"), ("r1", "untrained")]
    assert "the network's own final answer" in found[1].about


def test_lenses_that_were_read_at_home_alone_or_very_many_states_have_no_matrix() -> None:
    assert matrices(table(*[cell(k, k, 1.0) for k in range(3)])) == []
    assert matrices(table(cell(0, MOST, 0.5), cell(0, 0, 1.0))) == []
    assert matrices(table(cell(0, 0, 1.0)).iloc[:0]) == []


def luminance(colour: str) -> float:
    """Of WCAG 2."""
    whole = "".join(2 * digit for digit in colour[1:]) if len(colour) == 4 else colour[1:]
    parts = [int(whole[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_every_number_stands_out_against_its_colour() -> None:
    assert [name for name, *_ in shades()] == [f"v{step}" for step in range(21)]
    for name, colour, ink in shades():
        assert re.fullmatch("#[0-9a-f]{6}", colour)
        low, high = sorted((luminance(colour), luminance(ink)))
        assert (high + 0.05) / (low + 0.05) >= 4.5, name


def test_the_script_finds_what_it_reads_out() -> None:
    """It looks for cells with a title in a scrolling region of a matrix."""
    assert 'querySelectorAll(".matrix")' in text_of("sections/networks.js") and "td[title]" in text_of(
        "sections/networks.js"
    )
    part = PART._replace(matrices=matrices(table(*ROWS)))
    text = str(render("sections/networks.html", networks=[part]))
    matrix = text[text.index('<div class="matrix') :]
    assert 'class="wide"' in matrix and matrix.count(" title=") == 5 + 3, "cells, and headings of states"

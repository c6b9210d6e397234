"""Rows are chosen by the values of columns, in the table's order."""

import pandas as pd

from reports.selector import Selector

ROWS = pd.DataFrame({
    "measure": ["a", "b", "a", "a"],
    "null": ["", "pairing", "", "pairing"],
    "seed": pd.array([1, None, None, 1], "Int64"),
    "at": [0.5, float("nan"), 0.5, 0.5],
})  # fmt: skip


def test_rows_with_all_of_the_values():
    selector = Selector(ROWS)
    assert list(selector.where(null="").index) == [0, 2]
    assert list(selector.where(null="", seed=1, at=0.5).index) == [0]
    assert list(selector.where().index) == [0, 1, 2, 3]
    assert selector.where(null="none").empty


def test_rows_of_one_measure():
    selector = Selector(ROWS)
    assert list(selector.of_measure("a").where(null="pairing").index) == [3]
    assert selector.of_measure("c").where(null="pairing").empty
    assert selector.of_measure("a") is selector.of_measure("a")

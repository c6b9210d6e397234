"""No page says what only a machine says: nan, None, inf."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from itinf.results import report
from lens_tables import moved
from pages import page
from reports.numbers import Estimate, number, signed
from test_onset_oracles import made as measured
from test_onset_oracles import oracle
from test_overview import made
from test_page import Read, manifest
from test_prediction_figure import walked

MACHINE = re.compile(r"\b(nan|NaN|None|inf|NaT)\b|<NA>|dtype: ")
CODE = ("script", "style", "pre", "code")
"""What is shown as code, such as the settings of a probe, may hold any word."""


def said(text: str) -> list[str]:
    """Words between tags and in their attributes that only a machine says, with their surroundings."""
    read = Read(text)
    words = [data for inside, data in read.words if inside not in CODE]
    words += [str(value) for _, attributes in read.tags for value in attributes.values() if value]
    return [one[max(0, m.start() - 40) : m.end() + 40] for one in words for m in MACHINE.finditer(one)]


@pytest.fixture(scope="module")
def whole() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Steps, lenses, persistence and an onset of two networks, with blocks and states without a value."""
    one = measured(*oracle("descending"))
    lenses, kept = moved("net", (0, 0, 0, 1, 1, 1, 1))
    tables = [one.table.assign(model="descending"), made("net"), walked("net", depth=6), lenses]
    summaries = [one.summaries.assign(model="descending"), kept]
    return pd.concat(tables, ignore_index=True), pd.concat(summaries, ignore_index=True)


def shown(table: pd.DataFrame, summaries: pd.DataFrame) -> str:
    names = ["descending", "net"]
    transfers: list[Any] = [
        manifest(n) | {"units": 9, "reached": 0.1, "stopped": True, "settings": {"precision": 0.05}} for n in names
    ]
    return page(
        table, [manifest(n) for n in names], [[], []], summaries=summaries, transfers=transfers, claims=report._openers("claims"),
        power=pd.DataFrame({"model": names, "role": ["yes", "no"], "modality": "image", "measure": "iterative depth", "verdict": ""}),
    )  # fmt: skip


def test_the_page_says_none_of_them(whole: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    assert said("<p>carried alone nan</p>") and said('<p title="None">infers</p>') and not said("<p>infers</p>")
    assert not said(shown(*whole))


@pytest.mark.parametrize("lost", ["intervals", "carried alone", "values"])
def test_nor_where_numbers_are_missing(whole: tuple[pd.DataFrame, pd.DataFrame], lost: str) -> None:
    table, summaries = (one.copy() for one in whole)
    if lost == "intervals":
        for one in (table, summaries):
            one[["lo", "hi"]] = np.nan
    elif lost == "carried alone":
        table.loc[table["measure"].isin(["carried_alone", "kept"]), ["mean", "lo", "hi"]] = np.nan
    else:
        for one in (table, summaries):
            one.loc[one.index % 2 == 0, ["mean", "lo", "hi"]] = np.nan
    assert not said(shown(table, summaries))


def test_numbers_that_are_none() -> None:
    assert (number(np.nan), signed(np.nan, 2), Estimate(np.nan, 0.1).text()) == ("no value",) * 3
    assert (number(-np.inf, 2), signed(np.inf)) == ("−∞", "+∞")
    assert (number(-0.001, 2), signed(0.0, 1), Estimate(0.5, np.nan).text()) == ("0.00", "+0.0", "0.500")

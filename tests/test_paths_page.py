"""The section on path lengths: its figure, table and sentence, from networks whose shares are known."""

import re

import pandas as pd
import pytest
import torch

import itinf
from itinf.errors import NothingToDrawError
from oracles import normal
from pages import page
from path_oracles import linear
from reports.figures.paths import binomial, paths
from reports.html.paths_table import path_rows, paths_caption
from reports.sections.paths import PATHS
from reports.verdict.paths import SHORT_PATHS
from reports.verdict.source import Source
from reports.verdict.words import Word
from test_page import manifest
from tiny import Items, opened, probed


@pytest.fixture(scope="module")
def table():
    """Branches a quarter of their skips, twice them, and as strong as they; and a tiny language model, in parts."""
    data = Items("image", normal(24, 4, 1, 1), torch.arange(24) % 3)
    tables = [
        probed(linear([factor] * 4).named(name), data, probes=[itinf.Paths()], untrained=untrained).table
        for name, factor, untrained in (("weak", 0.25, 1), ("strong", 2.0, 0), ("even", 1.0, 0))
    ]
    network, sequences = opened("token")
    tables.append(probed(network.named("lm"), sequences, probes=[itinf.Paths(parts=True)]).table)
    whole = pd.concat(tables, ignore_index=True)
    even = (whole["model"] == "even") & (whole["measure"] == "effective_path_length")
    whole.loc[even, ["lo", "hi"]] = [1.9, 2.1]  # no unit differs from another, so that intervals are points
    return whole


def test_the_figure_shows_the_shares_before_the_binomial(table):
    figure = paths(table, roles={"strong": "yes"})
    marks = figure.marks()
    assert next(iter(marks["networks"].values())) == "strong"
    shown = {}
    for line, _, _, label, readings in marks["marks"]:
        name = marks["networks"][str(marks["lines"][line][0])]
        shown.setdefault(name, []).append((label, [number for _, number, *_ in readings]))
    assert [label for label, _ in shown["weak"]] == [f"paths through {k} of 4 blocks" for k in range(5)]
    assert shown["lm"][0][0] == "paths through 0 of 4 parts of blocks"
    weak = [0.4096, 0.4096, 0.1536, 0.0256, 0.0016]
    even = [1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16]
    # nothing of the weak network is drawn at random, so that its untrained copy is itself
    assert [numbers for _, numbers in shown["weak"]] == [
        pytest.approx(list(x)) for x in zip(weak, even, weak, strict=True)
    ]
    assert [numbers[0] for _, numbers in shown["even"]] == pytest.approx(even) == list(binomial(4))
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert {"0.8 of 4", "2.7 of 4", "2.0 of 4"} <= set(texts)
    assert set(figure.numbers["measure"]) == {"path_share"}


def test_the_table_has_the_numbers_of_every_network(table):
    rows = {row.network: row for row in path_rows(table)}
    weak = rows["weak"]
    assert (weak.steps, weak.middle, weak.sampled) == ("4 blocks", "0 … 2", "0.41 at 0")
    assert weak.effective.startswith("0.80") and weak.untrained.startswith("0.80") and weak.norms.startswith("1.00")
    assert rows["lm"].steps == "4 parts" and rows["lm"].untrained == "" and rows["lm"].effective != ""


def test_the_sentence_compares_with_half_of_the_longest_path(table):
    said = paths_caption(table[table["model"] != "lm"])
    assert said == (
        "Effective length against half of the longest path: shorter in weak (0.8 of 4); longer in strong (2.7 of 4); "
        "not told apart from it in even (2.0 of 4)."
    )
    assert paths_caption(table.iloc[:0]) == ""


def test_short_paths_are_a_question_of_the_verdict_table(table):
    verdicts = {}
    for name, rows in table.groupby("model"):
        found = SHORT_PATHS.decide(SHORT_PATHS.find(Source(rows, pd.DataFrame())))
        verdicts[name] = (found.word, found.number, found.null)
    word, size, null = verdicts["weak"]  # as short as its untrained copy: 0.8 of 4 is 60 % below 2
    assert word is Word.SAME and size.startswith("+0.60") and null == "effective length 0.8 of 4; untrained 0.60"
    word, size, null = verdicts["strong"]
    assert word is Word.REVERSE and size.startswith("−0.33") and null == "effective length 2.7 of 4"
    assert verdicts["even"][0] is Word.OPEN
    nothing = SHORT_PATHS.decide(SHORT_PATHS.find(Source(table.iloc[:0], pd.DataFrame())))
    assert nothing.word is Word.UNDEFINED and "not measured" in nothing.text


def test_the_section_is_on_the_page_where_paths_were_measured(table):
    names = list(table["model"].unique())
    text = page(table, [manifest(name) for name in names], [[]] * 4, sections={"paths": lambda: PATHS})
    assert text.count('id="figure-paths"') == 1 and len(re.findall(r"<tr><th scope=\"row\">", text)) == 4
    without = table[table["measure"] == "effective_path_length"]
    assert "figure-paths" not in page(
        without, [manifest(name) for name in names], [[]] * 4, sections={"paths": lambda: PATHS}
    )
    with pytest.raises(NothingToDrawError, match="measure the probe paths"):
        paths(without)

"""The four figures on the page: drawn once, each with its verdict, and shown where the results have what it needs."""

import re

import pandas as pd
import pytest

from lens_tables import moved
from pages import opened, page
from reports.charts.switches import chart_script
from reports.sections.four_figures import FOUR_FIGURES
from test_onset_oracles import made, oracle
from test_page import Read, manifest

SECTIONS = {"four-figures": lambda: FOUR_FIGURES}


@pytest.fixture(scope="module")
def both():
    """A network with an onset and another whose lenses were moved, in one table."""
    one = made(*oracle("descending"))
    table, summaries = moved("net")
    return (
        pd.concat([one.table.assign(model="descending"), table], ignore_index=True),
        pd.concat([one.summaries.assign(model="descending"), summaries], ignore_index=True),
    )


def test_all_four(both):
    table, summaries = both
    manifests = [manifest("descending"), manifest("net")]
    text = page(table, manifests, [[], []], summaries=summaries, sections=SECTIONS)
    read = Read(text)
    assert [f["id"] for f in read.of("figure")] == [
        "figure-onset",
        "figure-distance",
        "figure-one_lens",
        "figure-readable",
    ]
    captions = [" ".join(c.split()) for c in re.findall(r"<figcaption>(.*?)</figcaption>", text, re.DOTALL)]
    assert captions[0].startswith("One prediction, in one code, used and improved: over the last 80 % of descending.")
    assert captions[1].startswith("Other states that own lenses tell half of or more, on average: ")
    assert [a["href"] for a in read.of("a") if a["href"].endswith(".csv")][:4] == [
        f"figures/{name}.csv" for name in ("onset", "distance", "one_lens", "readable")
    ]
    assert text.count(f"<script>{chart_script()}</script>") == 1
    assert [b["data-network"] for b in read.of("button")] == ["0", "1"]
    assert text.count('<script type="application/json">') == 4 == text.count('class="chart"')


def test_controls_stand_on_top(both):
    table, summaries = both
    power = pd.DataFrame({"model": ["net"], "role": ["no"]})
    whole = opened(table, [manifest("descending"), manifest("net")], [[], []], summaries=summaries, sections=SECTIONS)
    named = opened(
        table, [manifest("descending"), manifest("net")], [[], []], summaries=summaries, sections=SECTIONS, power=power
    )
    first = [list(one.figures()["one_lens"]().marks()["networks"].values()) for one in (whole, named)]
    assert first == [["descending", "net"], ["net", "descending"]]
    numbers = [set(one.figures()["one_lens"]().marks()["networks"].items()) for one in (whole, named)]
    assert numbers[0] == numbers[1], "each keeps its number, and with it its colour"


def test_what_was_not_measured_is_not_there(both):
    table, _ = both
    lone = table[(table["model"] == "net") & (table["measure"] == "readable")]
    text = page(lone, [manifest("net")], [[]], sections=SECTIONS)
    assert [f["id"] for f in Read(text).of("figure")] == ["figure-readable"]
    none = page(table[table["measure"] == "persistence"], [manifest("net")], [[]], sections=SECTIONS)
    assert "four-figures" not in [s["id"] for s in Read(none).of("section")]


def test_transfers_alone_have_captions():
    table, summaries = moved("net")
    text = page(table, [], [], summaries=summaries, sections=SECTIONS)
    assert "What one lens reads: every state of net (.60 … .80)" in " ".join(text.split())

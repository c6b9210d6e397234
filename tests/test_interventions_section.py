"""The section on interventions: its figure, its numbers, and that it is there only where blocks were left out."""

import re
from functools import partial

import pandas as pd
import pytest

import itinf
import tiny
from itinf.errors import NothingToDrawError
from pages import page
from reports.figures.lesions import lesions
from reports.sections.interventions import INTERVENTIONS
from reports.verdict.interventions import LEFT_OUT, SWAPPED
from reports.verdict.table import verdict_table
from test_overview import made
from test_page import Read, manifest

SECTIONS = {"interventions": lambda: INTERVENTIONS}
PROBES = [itinf.Lesion(), itinf.Swap(), itinf.Repeat()]


@pytest.fixture(scope="module")
def table():
    runs = [
        tiny.probed(*tiny.opened(kind), probes=PROBES, untrained=1).table.assign(model=kind)
        for kind in ("image", "token")
    ]
    return pd.concat(runs, ignore_index=True)


def test_the_section_says_what_the_table_holds(table):
    text = page(table, [manifest("image"), manifest("token")], [[], []], sections=SECTIONS)
    read = Read(text)
    assert [f["id"] for f in read.of("figure")] == ["figure-lesions"]
    gone = table[(table["form"] == "lesion") & (table["measure"] == "agreement") & (table["null"] == "observed")]
    for name, rows in gone.groupby("model"):
        spare = f"{(rows['mean'] >= 0.9).sum()} of {len(rows)} blocks"
        assert f"{spare} of {name}" in text and re.search(rf"<th scope=\"row\">{name}</th><td>{spare}</td>", text)
        least = rows.loc[rows["mean"].idxmin()]
        assert f"<td>{least['mean']:.2f}, block {int(least['block_index'])}</td>" in text
    assert "What each block is for" in read.inside("h2")


def test_hover_gives_every_number_of_a_block(table):
    marks = lesions(table).marks()
    blocks = {(line, label): readings for line, _, _, label, readings in marks["marks"]}
    assert len(blocks) == 8 and {name for name, *_ in blocks[0, "block 1, layer1.0"]} >= {
        "its cost, bits",
        "its cost to first order",
    }
    drawn = lesions(table)
    assert set(drawn.numbers["form"]) == {"lesion", "swap"}


def test_the_questions_are_answered_where_they_were_asked(table):
    asked = {claim.name: partial(lambda one: one, claim) for claim in (LEFT_OUT, SWAPPED)}
    verdict = verdict_table(table, None, [manifest("image"), manifest("token")], asked)
    stays = table[(table["measure"] == "agreement") & (table["null"] == "observed")].set_index(["model", "form"])
    for row, form in zip(verdict.rows, ("lesion", "swap"), strict=True):
        for network, cell in zip(verdict.networks, row.cells, strict=True):
            known = stays.loc[[(network.name, form)]].dropna(subset="mean")
            assert cell.verdict.size.mean == pytest.approx(known["mean"].mean())
            says = {p[0] for p in cell.verdict.curve if p[2]}
            assert says == set(known.loc[known["band_lo"].fillna(known["lo"]) > 0.5, "block_index"])
    assert not verdict_table(made("net", depth=2), None, [manifest("net")], asked).rows


def test_without_lesions_there_is_no_section():
    other = made("net", depth=2)
    assert "interventions" not in [
        s["id"] for s in Read(page(other, [manifest("net")], [[]], sections=SECTIONS)).of("section")
    ]
    with pytest.raises(NothingToDrawError, match="No block was left out"):
        lesions(other)

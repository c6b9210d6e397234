"""The sections of variance shares and of estimation errors: their charts have the table's numbers, their captions say them."""

from __future__ import annotations

import re

import pandas as pd
import pytest

import itinf
from itinf.errors import NothingToDrawError
from pages import page
from reports.charts.marks import marks_of
from reports.figures.refining import over_order, over_walk
from reports.figures.variance_shares import variance_shares
from reports.numbers import number
from reports.rows import in_one_form
from reports.sections.carried import CARRIED, written_caption
from reports.sections.refining import REFINING, order_caption, walk_caption
from segment_oracles import path_batch, path_network, walk
from test_page import manifest
from tiny import opened, probed

SECTIONS = {"carried": lambda: CARRIED, "refining": lambda: REFINING}
PROBES = [itinf.VarianceShares(), itinf.EstimationError()]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Three stages; one segment without gauge whose large steps come first; one without skips."""
    one = probed(*opened("image", 16), probes=PROBES, untrained=1).table.assign(model="stages")
    start, steps = walk(64, 4, 3)
    given = path_batch(start, [size * step for size, step in zip((3.0, 1.0, 0.3), steps, strict=True)])
    items = [(x, int(y)) for x, y in zip(given.inputs, given.targets, strict=True)]
    two = itinf.probe(path_network(4, 3), items, PROBES, replicates=60).table.assign(model="first")
    plain = two[two["form"] == "raw"].assign(model="plain", mean=float("nan"), lo=float("nan"), hi=float("nan"))
    plain = plain[plain["null"] == "observed"].assign(reason="no skips", reason_code="no_skip_carries")
    return pd.concat([one, two, plain], ignore_index=True)


def test_a_network_is_shown_in_the_form_that_no_rewriting_changes_if_it_has_one(table):
    forms = in_one_form(table).groupby("model")["form"].unique()
    assert {name: list(form) for name, form in forms.items()} == {
        "stages": ["gauge-fixed"], "first": ["raw"], "plain": ["raw"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("draw", "measure"),
    [(variance_shares, "variance_share"), (over_order, "error_over_order"), (over_walk, "error_over_walk")],
)
def test_marks_are_the_numbers_of_the_table(draw, measure, table):
    figure = draw(table)
    rows = in_one_form(table[(table["measure"] == measure) & (table["null"] == "observed")])
    for name, one in rows.groupby("model"):
        shown = [m.readings[0].mean for m in marks_of(figure).every if m.name == name]
        assert shown == pytest.approx(list(one["mean"].dropna())) or (name == "plain" and pd.isna(shown).all())
    assert any("no skips" in text.get_text() for text in figure.axes[0].texts)
    assert len(figure.numbers)
    with pytest.raises(NothingToDrawError):
        draw(table[table["model"] == "plain"])


def test_bars_begin_where_those_before_end(table):
    chosen = marks_of(variance_shares(table)).every
    first = [m.y for m in chosen if m.name == "first"]
    shares = table[(table["measure"] == "variance_share") & (table["model"] == "first") & (table["form"] == "raw")]
    expected = shares[shares["null"] == "observed"]["mean"].cumsum()
    low, high = first[0] - (first[-1] - first[0]) * expected.iloc[0] / (1 - expected.iloc[0]), first[-1]
    assert [(y - low) / (high - low) for y in first] == pytest.approx(list(expected))


def test_captions_say_what_came_out(table):
    one = table[table["model"] == "first"]
    last = one[(one["measure"] == "variance_share") & (one["null"] == "observed") & (one["form"] == "raw")]["mean"]
    assert written_caption(one) == (
        f"Of what varies in the last state, the last step writes: first {number(last.iloc[-1], 2)} (an equal part of 3 steps "
        f"is 0.33), and {last.iloc[0]:.2f} stood there at its start."
    )
    assert re.fullmatch(r"Large steps come first in first \(0\.\d\d to 0\.\d\d\)\.", order_caption(one))
    assert walk_caption(one).endswith("(a straight line has 3).")
    nothing = table[table["model"] == "plain"]
    assert (written_caption(nothing), order_caption(nothing), walk_caption(nothing)) == ("", "", "")


def test_the_page_has_both(table):
    text = page(table, [manifest(name) for name in table["model"].unique()], [[], [], []], sections=SECTIONS)
    found = re.findall(r'<figure id="figure-([^"]*)"', text)
    assert found == ["variance_shares", "error_over_order", "error_over_walk"]
    without = page(
        table[table["measure"] == "none"].reindex(table.index[:0]), [manifest("stages")], [[]], sections=SECTIONS
    )
    assert 'id="carried"' not in without and 'id="refining"' not in without

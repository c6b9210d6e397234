"""Steps down the loss, beyond pairing: the chart's values and heights by hand, its caption, and its place on the page."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PolyCollection

from itinf.errors import NothingToDrawError
from lens_tables import moved
from pages import opened, page
from reports.charts.captions import descent_caption
from reports.charts.marks import marks_of
from reports.figures.descent import descent
from reports.figures.sheet import DASHES
from reports.sections.lenses import LENSES
from reports.sections.together import TOGETHER
from reports.verdict.blocks import DESCENT
from reports.verdict.places import Number
from reports.verdict.words import Verdict, Word
from test_page import Read, manifest
from verdict_tables import NAN, curve

SHAPE = "the block changes the state's shape"


def steps(gradient: str = "readout", model: str = "net", **other: list[float]) -> pd.DataFrame:
    """Three blocks whose steps go down .8, .7, .6 of the time, another unit's .5, .4, .5 of it, or otherwise."""
    of = {"gradient": gradient, "update": "update", "form": "gauge-free", "unit": "image", "n_units": 400}
    given = {
        "observed": [0.8, 0.7, 0.6], "pairing": [0.5, 0.4, 0.5], "effect": [0.3, 0.3, 0.1], "same": [0.6, 0.7, 0.6],
        "untrained": [0.2, 0.3, 0.4], "second": [0.4, 0.3, 0.2],
    } | other  # fmt: skip
    rows = [
        *curve("descent_share", given["observed"], 0.05, **of),
        *curve("descent_share", given["pairing"], 0.02, null="pairing", **of),
        *curve("descent_share", given["same"], 0.02, null="same-target", **of),
        *curve("descent_share", given["untrained"], 0.1, null="untrained", null_seed=0, **of),
        *curve("descent_share", given["second"], 0.1, null="untrained", null_seed=1, **of),
        *curve("descent_share_effect", given["effect"], 0.04, null="pairing", **of),
    ]
    table = pd.DataFrame(rows).assign(model=model, block=lambda t: "layer." + t["block_index"].astype(str))
    missing = table["mean"].isna()
    nulls = missing & (table["null"] != "observed")
    return table.assign(reason=np.where(missing, f"undefined: {SHAPE}", ""))[~nulls]


def test_marks_have_the_numbers_of_the_table() -> None:
    figure = descent(steps())
    (first, *_) = marks_of(figure).every
    assert first.label == "block 1, layer.1, readout gradient"
    assert [(r.name, round(r.mean, 9), round(r.lo, 9), round(r.hi, 9), r.of) for r in first.readings] == [
        ("beyond pairing", 0.3, 0.26, 0.34, "400 images"),
        ("share of steps down the loss", 0.8, 0.75, 0.85, "400 images"),
        ("pairing", 0.5, 0.48, 0.52, "400 images"),
        ("untrained, seed 0", 0.2, 0.1, 0.3, "400 images"),
        ("untrained, seed 1", 0.4, 0.3, 0.5, "400 images"),
        ("same-target, a question", 0.6, 0.58, 0.62, "400 images"),
    ]
    assert len(figure.numbers) == 3 * 6 == sum(len(m.readings) for m in marks_of(figure).every)


def test_heights_are_differences_from_pairing() -> None:
    figure = descent(steps())
    (axes,) = figure.axes
    (row,) = {m.y for m in marks_of(figure).every[:1]}
    top = row - 36 * (1 - (0.3 + 0.6) / 1.2)  # a row is 36 points high, from −.6 to .6

    def height(value: float) -> float:
        return top + 36 * (1 - (value + 0.6) / 1.2)

    (dots,) = [line for line in axes.lines if line._unscaled_dash_pattern[1] == DASHES["dots"][1] and line.get_gid()]
    assert dots.get_ydata() == pytest.approx([height(0.1), height(0.3), height(0.1)])
    (band,) = [c for c in axes.collections if c.get_gid() and isinstance(c, PolyCollection)]
    ends = band.get_paths()[0].vertices[:, 1]
    # of both copies' intervals: .1 … .5 less .5, .2 … .4 less .4, .1 … .5 less .5
    assert (max(ends), min(ends)) == pytest.approx((height(-0.4), height(0.0)))
    assert {text.get_text() for text in axes.texts} >= {"0", ".6", "−.6", "+.10", "readout gradient", "untrained"}


def test_the_output_stands_in_where_the_readout_says_nothing_of_a_block() -> None:
    lacking = {"observed": [NAN, 0.7, 0.6], "pairing": [NAN, 0.4, 0.5], "effect": [NAN, 0.3, 0.1]}
    figure = descent(pd.concat([steps(**lacking), steps("output", effect=[0.2, 0.2, 0.2])], ignore_index=True))
    assert [m.readings[0].mean for m in marks_of(figure).every] == [0.2] * 3
    assert {m.label.split(", ")[2] for m in marks_of(figure).every} == {"output gradient"}
    assert "output gradient" in {text.get_text() for text in figure.axes[0].texts}


def test_a_block_without_a_value_is_a_cross_that_says_why() -> None:
    whole = {"observed": [0.8, NAN, 0.6], "effect": [0.3, NAN, 0.1], "pairing": [0.5, NAN, 0.5]}
    figure = descent(steps("output", **whole))
    second = marks_of(figure).every[1]
    assert np.isnan(second.readings[0].mean) and second.readings[0].reason == SHAPE
    (crosses,) = [line for line in figure.axes[0].lines if line.get_marker() == "x"]
    assert len(crosses.get_xdata()) == 1
    two = pd.concat([steps(), steps("output", "other", observed=[NAN] * 3, effect=[NAN] * 3, pairing=[NAN] * 3)])
    words = {text.get_text() for text in descent(two).axes[0].texts}
    assert any(one.startswith("the block changes") for one in words), "a network without any says it in its row"


def test_nothing_to_draw() -> None:
    for table in (steps()[:0], steps().query("measure == 'descent_share'")):
        with pytest.raises(NothingToDrawError):
            descent(table)


def test_a_phone_shows_it_whole_and_controls_stand_on_top() -> None:
    names = ["net", "a" * 60, "<script>alert(1)</script>"]
    figure = descent(pd.concat([steps(model=name) for name in names], ignore_index=True), roles={names[2]: "yes"})
    assert figure.get_figwidth() == pytest.approx(3.4)
    assert list(figure.marks()["networks"].values()) == [names[2], *names[:2]]
    for text in figure.axes[0].texts:
        inside = text.get_window_extent()
        assert text.get_fontsize() >= 9
        assert inside.x0 >= figure.bbox.x0 - 1 and inside.x1 <= figure.bbox.x1 + 1, text.get_text()


def test_caption() -> None:
    judged = {
        "whole": Verdict(Word.YES, "yes", ", beyond every null", Number(0.312)),
        "part": Verdict(Word.PART, "yes", ", in the last 3 of 8 blocks"),
        "mixed": Verdict(Word.MIXED, "mixed", ": yes in 2 of 4 blocks; the reverse in 2 of 4 blocks"),
        "same": Verdict(Word.SAME, "yes", ", but untrained too"),
        "none": Verdict(Word.NO, "no"),
        "down": Verdict(Word.REVERSE, "the reverse", " in all 4 blocks"),
        "few": Verdict(Word.FEW, "too few units"),
    }
    assert descent_caption(judged) == (
        "Steps that go down the loss more often than other units' steps would (pairing): at every measured block of whole (+0.31); "
        "at the last 3 of 8 blocks of part, at 2 of 4 blocks of mixed and less often at others; no more often than in untrained "
        "copies in same; as often in none; less often in down; cannot be told of few."
    )
    assert descent_caption({}) == ""


def test_on_the_page_with_its_verdict_and_a_link_from_it() -> None:
    table = steps(untrained=[0.2, 0.2, 0.2], second=[0.2, 0.2, 0.2])
    text = page(table, [manifest("net")], [[]], sections={"together": lambda: TOGETHER}, claims={"d": lambda: DESCENT})
    read = Read(text)
    assert [figure["id"] for figure in read.of("figure")] == ["figure-descent"]
    caption = " ".join(" ".join(read.inside("figcaption")).split())
    # (.3 + .3 + .1) / 3
    assert caption.startswith(
        "Steps that go down the loss more often than other units' steps would (pairing): at every"
    )
    assert "block of net (+0.23)." in caption
    assert [b["data-network"] for b in read.of("button")] == ["0"]
    assert "#together" in [a["href"] for a in read.of("a")][1:]


def test_matrices_are_drawn_where_no_part_of_a_network_has_them() -> None:
    table, summaries = moved("net")
    sections = {"lenses": lambda: LENSES}

    def drawn(table: pd.DataFrame, *names: str) -> set[str]:
        return set(opened(table, [manifest(n) for n in names], [[] for _ in names], sections=sections).figures())

    assert drawn(table, "net") == set() and drawn(table) == {"transfer"}
    far = table[table["measure"] == "retention"].assign(model="deep", state_index=60)
    assert drawn(pd.concat([table, far]), "net", "deep") == {"transfer"}
    text = page(table, [], [], summaries=summaries, sections=sections)
    assert len(Read(text).of("img")) == 1

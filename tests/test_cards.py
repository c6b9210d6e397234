"""The cards on top of the page: what is recorded of a network is said, and what is not is called so."""

from __future__ import annotations

import base64
import itertools
import re
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reports.html.cards import Card, cards
from reports.html.samples import Sample, sample
from reports.html.strip import HEIGHT, LENGTH, Blocks, strip
from reports.html.template import render
from test_blocks_table import performance, row, table

ABOUT = {
    "family": "ResNet", "parameters": 552_874, "outputs": 40, "scores": {"top-1 accuracy, faces": 0.9875, "bits": 1.4158},
    "shapes": [[16, 8, 8], [16, 8, 8], [16, 8, 8], [32, 4, 4], [32, 4, 4], [32, 4, 4]], "widths": [16, 16, 16, 32, 32, 32],
}  # fmt: skip


def manifest(name: str = "net", **entries: Any) -> dict[str, Any]:
    return {"network": {"name": name, "weights": "specimen"}, "data": {"name": "glyphs", "unit": "image"}} | entries


def blocks_of(name: str = "net", segments: tuple[int, ...] = (0, 0, 1, 1, 1)) -> list[dict[str, Any]]:
    return [row("update_norm", k, 0.5, model=name, segment=s, skips=True) for k, s in enumerate(segments, 1)]


def card(*rows: dict[str, Any], **entries: Any) -> Card:
    (found,) = cards(table(*rows, *blocks_of()), [manifest(**entries)])
    return found


def bars(drawn: str) -> list[tuple[float, ...]]:
    """(x, y, width, height) of each."""
    found = re.findall(r'<rect x="([^"]+)" y="([^"]+)" width="([^"]+)" height="([^"]+)"', drawn)
    return [tuple(map(float, one)) for one in found]


def test_a_card_says_what_is_recorded() -> None:
    found = card(*performance(0.75), *performance(0.03, null="untrained", null_seed=0), about=ABOUT)
    assert found.blocks == "5 blocks, 16 → 32 channels" and found.size == "553 k parameters"
    assert found.kind == "image network, ResNet, with skips" and found.data == "glyphs"
    assert found.accuracy == "75.0 ± 1.0 % of 500 images right"
    assert found.chance == "chance: a guess among 40 classes 2.5 %; untrained 3 %"
    assert list(found.scores) == [("top-1 accuracy, faces", "98.8 %"), ("bits", "1.42")]


def test_what_an_older_folder_lacks_is_called_not_recorded() -> None:
    found = card()
    assert found.blocks == "5 blocks, widths not recorded" and found.size == "size not recorded"
    assert (found.accuracy, found.chance) == ("accuracy not recorded", "chance not recorded")
    assert not found.scores and len(bars(found.strip)) == 5
    assert card(data=None).data == "not recorded" and card(about={"shapes": "?"}).blocks.endswith("not recorded")


def test_the_strip_has_a_gap_where_the_shape_changes_and_higher_bars_where_states_are_wider() -> None:
    for found in (card(about=ABOUT), card()):  # by shapes, or by segments of the table
        x = [bar[0] for bar in bars(found.strip)]
        steps = [round(after - before, 1) for before, after in itertools.pairwise(x)]
        assert steps[1] > steps[0] == steps[2] == steps[3]
    heights = [bar[3] for bar in bars(card(about=ABOUT).strip)]
    assert heights[0] == heights[1] < heights[2] == heights[4] == HEIGHT
    assert 'aria-label="5 blocks, 16 → 32 channels"' in card(about=ABOUT).strip


def test_strips_share_a_scale_and_hold_a_hundred_blocks() -> None:
    low, high = (bars(strip(Blocks([width], [0]), 64))[0][3] for width in (8, 64))
    assert low < high == HEIGHT
    many = bars(strip(Blocks([64] * 100, [k // 2 for k in range(100)])))
    assert len(many) == 100 and all(width > 0 for *_, width, _ in many)
    assert many[-1][0] + many[-1][2] <= LENGTH + 0.1
    assert len(bars(strip(Blocks([1, 1], [0, 0])))) == 2, "states of one channel"


def test_controls_come_first_with_their_role() -> None:
    names = ["plain", "other", "built"]
    power = pd.DataFrame({"model": ["built", "plain"], "role": ["yes", "no"]})
    rows = [r for name in names for r in blocks_of(name)]
    found = cards(table(*rows), [manifest(name) for name in names], power)
    assert [(one.name, one.role) for one in found] == [
        ("built", "control: trained yes"), ("plain", "control: trained no"), ("other", ""),
    ]  # fmt: skip


def test_names_and_texts_are_never_markup() -> None:
    evil = '<script>alert("1")</script> שלום 🐙'
    rows = blocks_of(evil)
    found = cards(
        table(*rows), [manifest(evil, about={"family": evil, "scores": {evil: 1.0}})], samples={evil: Sample((), evil)}
    )
    text = render("sections/cards.html", cards=found)
    assert "<script" not in text and text.count("&lt;script&gt;") >= 4 and "<bdi>&lt;script&gt;" in text


@dataclass
class Six:
    """Examples as a study records them."""

    table: pd.DataFrame
    pictures: tuple[bytes | None, ...]


def test_three_pictures_of_the_examples_are_shown_or_the_longest_text() -> None:
    pictures = sample(Six(pd.DataFrame(), (b"one", b"two", b"three", b"four")))
    assert len(pictures.pictures) == 3 and pictures.text == ""
    assert pictures.pictures[0] == "data:image/png;base64," + base64.b64encode(b"one").decode()
    rows = [
        {"item": item, "position": place, "state": state, "input_text": text}
        for item, words in enumerate((["import", " os", "\n"], ["other"]))
        for state in (1, 0)
        for place, text in reversed(list(enumerate(words)))
    ]
    assert sample(Six(pd.DataFrame(rows), (None, None))) == Sample((), "import os")
    long = [{"item": 0, "position": k, "input_text": "word "} for k in range(99)]
    assert sample(Six(pd.DataFrame(long), (None,))).text == "word " * 24 + " …"
    assert sample("they are damaged") == sample(None) == Sample()

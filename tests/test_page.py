"""The page is one file that stands alone, is well formed, and writes a user's words as they are."""

from __future__ import annotations

import base64
import io
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from itinf import ItinfError
from reports.page import page
from test_overview import made

NAME, QUOTED = "<script>alert(1)</script>", """a "quoted" & 'single' <img src=x onerror=y> name"""
VOID = {"meta", "img", "br", "hr", "link", "input"}


def manifest(name: str, data: str = "glyphs", weights: str = "random:0") -> dict[str, Any]:
    return {
        "network": {"name": name, "weights": weights, "fingerprint": "0123456789abcdef", "dtype": "float32"},
        "data": {"name": data, "unit": "image", "note": {}},
        "settings": {"clusters": 7, "seed": 3, "group": 32, "replicates": 400, "untrained": 2},
        "seconds": 12.3,
        "circumstances": {"itinf": "1.2.3"},
    }


class Read(HTMLParser):
    """Tags must balance; keeps their attributes and the words between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[tuple[str, str]] = []
        self.rows: list[list[str]] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append((self.open[-1] if self.open else "", data))
        if "tr" in self.open and data.strip():
            self.rows[-1].append(data.strip())

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.tags if found == tag]

    def inside(self, tag: str) -> list[str]:
        return [data for parent, data in self.words if parent == tag]


FIRST, SECOND = made(NAME), made(QUOTED, depth=3, changes=(), readout_from=1, seed=5)


@pytest.fixture(scope="module")
def text() -> str:
    manifests = [manifest(NAME, data=QUOTED), manifest(QUOTED, weights="dir/<b>&\"'.safetensors")]
    return page(pd.concat([FIRST, SECOND]), manifests, [[], ["7 clusters: <i>rough</i> & few"]])


@pytest.fixture(scope="module")
def read(text: str) -> Read:
    return Read(text)


def test_what_a_user_named_is_written_as_it_is_and_never_as_markup(text: str, read: Read) -> None:
    assert not {"script", "i", "b"} & {tag for tag, _ in read.tags}
    assert NAME not in text and "<img src=x" not in text and "<i>rough" not in text
    assert {NAME, QUOTED} <= set(read.inside("h2"))
    assert "7 clusters: <i>rough</i> & few" in read.inside("strong")
    facts = read.inside("dd")
    assert f"{QUOTED}: 500 images in 500 clusters, seed 3" in facts
    assert "dir/<b>&\"'.safetensors (float32, fingerprint 0123456789ab)" in facts
    assert NAME in "".join(read.inside("title"))
    assert all(not name.startswith("on") for _, attributes in read.tags for name in attributes)


def test_nothing_is_fetched_from_elsewhere(text: str, read: Read) -> None:
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in read.tags}
    assert "url(" not in text and "@import" not in text
    for _, attributes in read.tags:
        for name in ("src", "href", "srcset", "action"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/png;base64,"))


def test_every_network_has_its_section_in_order_and_a_link_to_it(read: Read) -> None:
    sections = [attributes["id"] for attributes in read.of("section")]
    assert [a["href"] for a in read.of("a")] == [f"#{name}" for name in sections]
    assert read.inside("a") == [NAME, QUOTED] == [h for h in read.inside("h2") if h in (NAME, QUOTED)]
    assert len(sections) == 2


def test_every_picture_is_one_and_is_described(read: Read) -> None:
    pictures = read.of("img")
    assert len(pictures) == 3
    for picture, word in zip(pictures, ("all networks", NAME, QUOTED), strict=True):
        assert word in (picture["alt"] or "")
        _, _, data = (picture["src"] or "").partition(",")
        image = Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
        image.verify()
        assert image.width == 1700


def test_the_tables_numbers_are_in_the_cells(read: Read) -> None:
    for name, table in ((NAME, FIRST), (QUOTED, SECOND)):
        shown = table[table["measure"].eq("update_norm") & table["statistic"].eq("mean") & table["update"].eq("update")]
        depth = shown["index"].max()
        starts = [i for i, cells in enumerate(read.rows) if cells[0] == "block"]
        own = read.rows[starts[0 if name == NAME else 1] + 1 :][:depth]
        assert [cells[0] for cells in own] == [f"{i} layer.{i}" for i in range(1, depth + 1)]
        for cells, number in zip(own, shown.sort_values("index")["mean"], strict=True):
            if pd.isna(number):
                assert cells[7] == "–"
            else:
                assert abs(float(cells[7].split(" ±")[0]) - number) < 0.005
        (headline,) = [cells for cells in read.rows if cells[0] == name]
        assert headline[1:5] == ["image", "75.0%", "1.250", str(depth)]


def test_what_is_undefined_is_listed_for_each_network(read: Read) -> None:
    assert [line.split(" (")[0] for line in read.inside("li")] == [
        "1 of 6 blocks: the block changes the state's shape",
        "3 of 6 blocks: the readout does not fit the state's width; it takes a lens",
        "Nothing.",
    ]


def test_a_page_is_small(text: str) -> None:
    assert len(text) < 1_500_000


def test_one_network_alone_has_a_page() -> None:
    table = made(depth=2, changes=(), readout_from=3)
    read = Read(page(table, [manifest("net")], [[]]))
    assert len(read.of("section")) == 1 and len(read.of("img")) == 2
    assert "Side by side" not in read.inside("h2")


def test_a_table_without_accuracy_is_refused_by_name() -> None:
    table = made(depth=2)
    with pytest.raises(ItinfError, match="no rows of accuracy"):
        page(table[table["measure"] != "accuracy"], [manifest("net")], [[]])

"""The page can be read with a keyboard and a screen reader, and its figures are files of known bytes."""

from __future__ import annotations

from xml.etree import ElementTree

import pandas as pd
import pytest

from itinf.results.drawing import drawn, pictures_of
from pages import page
from reports.figures.overview import overview
from reports.figures.update_norm import update_norm
from reports.html.conditions import conditions
from test_overview import made
from test_page import NAME, Read, manifest


@pytest.fixture(scope="module")
def read() -> Read:
    two = pd.concat([made("one"), made("two", depth=3)])
    return Read(page(two, [manifest("one"), manifest("two", data="photographs")], [[], []]))


def test_landmarks_and_headings(read: Read) -> None:
    for landmark in ("header", "nav", "main", "footer"):
        assert len(read.of(landmark)) == 1
    ids = [attributes["id"] for _, attributes in read.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert all(section["aria-labelledby"] in ids for section in read.of("section"))
    assert all(str(a["href"])[1:] in ids for a in read.of("a") if str(a["href"]).startswith("#"))


def test_what_scrolls_takes_the_focus_and_has_a_name(read: Read) -> None:
    regions = [attributes for attributes in read.of("div") if attributes.get("class") == "wide"]
    assert len(regions) == len(read.of("table")) + len(read.of("img"))
    assert all(r["tabindex"] == "0" and r["role"] == "region" and r["aria-label"] for r in regions)


def test_every_heading_of_a_table_says_what_it_heads(read: Read) -> None:
    assert read.of("th") and all(th.get("scope") in ("col", "row") for th in read.of("th"))
    charts = [attributes for attributes in read.of("div") if attributes.get("class") == "chart"]
    assert len(read.of("figure")) == len(read.of("figcaption")) == len(read.of("img")) + len(charts)


def test_a_picture_says_what_came_out(read: Read) -> None:
    (alt,) = [str(image["alt"]) for image in read.of("img") if str(image["alt"]).startswith("one,")]
    (headline,) = [cells for cells in read.rows if cells[0] == "one"]
    assert f"one {headline[5]} (null: pairing)" in alt


def test_what_differs_is_told_with_its_networks() -> None:
    pair = [manifest("one"), manifest("two", data="photographs")]
    assert [(c.name, list(c.values)) for c in conditions(pair, [])] == [
        ("data", [("glyphs", "one"), ("photographs", "two")])
    ]
    assert conditions(pair[:1], []) == []


@pytest.mark.pixels
def test_a_figure_is_the_same_bytes_each_time_and_its_svg_is_safe() -> None:
    table = made(NAME, depth=3)
    first, again = (pictures_of(overview(table)) for _ in range(2))
    assert first == again
    root = ElementTree.fromstring(first[1])
    assert not [e for e in root.iter() if e.tag.endswith(("script", "foreignObject"))]
    assert NAME in "".join(root.itertext()), "text is text"


def test_the_numbers_beside_a_figure_are_those_of_the_table() -> None:
    table = made("one", depth=3)
    found = drawn(lambda: update_norm(table), "figures/update_norm")
    assert found is not None and list(found.files) == [f"figures/update_norm.{end}" for end in ("png", "svg", "csv")]
    rows = (found.files["figures/update_norm.csv"] or b"").decode().splitlines()
    assert len(rows) == 1 + int(table["measure"].eq("update_norm").sum())

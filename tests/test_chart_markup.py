"""A figure inside the page: names of its own, the page's colours, and data that no name can break out of."""

import json
import re
from xml.etree import ElementTree

import pandas as pd
import pytest

from itinf.results.drawing import drawn
from lens_tables import moved
from reports.charts.inline import inline
from reports.charts.switches import chart_script, chart_style, switches
from reports.figures.identity import COLOURS, ON_DARK, identities
from reports.figures.one_lens import one_lens
from reports.figures.readable import readable

NASTY = '</script><b onclick="x">&"\'$\\$'
TABLE = pd.concat([moved()[0], moved(NASTY)[0]], ignore_index=True)


@pytest.fixture(scope="module")
def page() -> str:
    """Two figures on one page."""
    made = [
        (name, drawn(lambda draw=draw: draw(TABLE), name))
        for name, draw in (("one_lens", one_lens), ("readable", readable))
    ]
    return "".join(inline(one.svg, name, f"title {name}", NASTY, one.marks) for name, one in made)


pytestmark = pytest.mark.pixels


def test_ids_are_one_figure_s_own(page):
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids)) > 20 and all(one.startswith(("one_lens-", "readable-")) for one in ids)
    references = set(re.findall(r'(?:href="#|url\(#)([^")]*)', page))
    assert references and references <= set(ids)


def test_it_can_stand_inside_a_page(page):
    assert "<?xml" not in page and "<!DOCTYPE" not in page and "<metadata" not in page
    assert page.count("</script>") == page.count("<script") == 2
    drawn_parts = re.sub(r"<script.*?</script>", "", page)
    root = ElementTree.fromstring(f"<div>{drawn_parts}</div>")  # as XML, so nothing in it is left open
    assert not [e for e in root.iter() if e.tag == "b" or any(key.startswith("on") for key in e.attrib)]
    words = [e.text for e in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "net" in words and any(word.startswith("</script><b o") for word in words)
    images = [e for e in root.iter() if e.get("role") == "img"]
    assert [e.get("aria-label") for e in images] == [f"title one_lens: {NASTY}", f"title readable: {NASTY}"]


def test_data_are_the_table_s_numbers(page):
    one, two = (json.loads(text) for text in re.findall(r'<script type="application/json">(.*?)</script>', page))
    assert one["networks"] == two["networks"] == {"0": "net", "1": NASTY}
    rows = TABLE[
        (TABLE["measure"] == "retention") & (TABLE["lens"] == "shared, left out") & (TABLE["target"] == "label")
    ]
    rows = rows[rows["null"] == "observed"]
    marks = [(one["lines"][line][0], *readings[0][1:4]) for line, _, _, _, readings in one["marks"]]
    assert len(marks) == len(rows)
    for (number, *values), row in zip(
        marks, rows.sort_values(["model", "state_index"], ascending=[False, True]).to_dict("records"), strict=True
    ):
        assert row["model"] == one["networks"][str(number)]
        wanted = [row[column] for column in ("mean", "lo", "hi")]
        assert values == pytest.approx(wanted, rel=1e-5) if row["mean"] == row["mean"] else values == [None] * 3


def test_colours_follow_the_page(page):
    for colour in (*COLOURS, "#ffffff", "#333333"):
        assert colour not in page.lower()
    assert {"var(--network-0)", "var(--network-1)", "var(--ink)", "var(--paper)"} <= set(
        re.findall(r"var\([^)]*\)", page)
    )
    used = set(re.findall(r"var\((--(?:network|chart)[^)]*)\)", page))
    light, dark = re.findall(r":root \{([^}]*)\}", chart_style())
    assert used <= set(re.findall(r"(--[\w-]+):", light)) == set(re.findall(r"(--[\w-]+):", dark))
    assert COLOURS[0] in light and ON_DARK[0] in dark
    assert "DejaVu" not in page


def test_what_belongs_to_a_network_is_said(page):
    assert set(re.findall(r'data-network="([^"]*)"', page)) == {"0", "1"} and 'id="network' not in page


def test_a_switch_for_each_network():
    bar = switches(identities(["a", NASTY, *map(str, range(12))]))
    root = ElementTree.fromstring(bar)
    buttons = list(root.iter("button"))
    assert root.get("role") == "group" and root.get("aria-label") and root.get("hidden") is not None
    assert [button.get("data-network") for button in buttons] == [str(k) for k in range(14)]
    assert {button.get("aria-pressed") for button in buttons} == {"true"} and buttons[1].find("span").text == NASTY
    shapes = {
        "".join(p.get("d") + str(p.get("stroke-dasharray")) + str(p.get("fill")) for p in b.iter("path"))
        for b in buttons
    }
    assert len(shapes) == 14


def test_the_script_asks_for_nothing_and_writes_no_markup():
    script = chart_script()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|eval\(|fetch|XMLHttp|import\(|</", script)
    assert len(script.splitlines()) <= 300

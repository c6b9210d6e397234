"""What the tests of pages find is really wrong, and they find it: pages with one known fault each."""

from __future__ import annotations

from typing import Any

import pytest

from browser import NEEDED, barriers, crossed, cut, faint, opened
from browser_paper import sheets

pytestmark = NEEDED
LONG = "a_text_without_any_place_to_break_" * 8
HEAD = "<!doctype html><html lang=en><meta charset=utf-8><title>t</title><main><h1>t</h1>"


@pytest.fixture(scope="module")
def empty(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A page to fill, in a window of 360 px."""
    path = tmp_path_factory.mktemp("empty") / "page.html"
    path.write_text(HEAD, encoding="utf-8")
    with opened(browser, path, 360) as seen:
        yield seen


def test_texts_that_are_cut(empty: Any) -> None:
    for body, word in (
        (f"<p>{LONG}</p>", "goes beyond the window in p"),
        (f"<p style='overflow: hidden'>{LONG}</p>", "is cut by p"),
        (f"<p style='overflow: hidden; text-overflow: ellipsis'>{LONG}</p>", "is cut by p"),
        (f"<div style='overflow: auto'>{LONG}</div>", "scrolls without focus and name in div"),
        (f"<div style='overflow: auto' tabindex=0>{LONG}</div>", "scrolls without focus and name in div"),
        ("<div style='width: 50rem'>short</div>", "the page is"),
        (f"<svg width=100 height=20><text y=15>{LONG}</text></svg>", "is cut by svg"),
    ):
        empty.page.set_content(HEAD + body)
        assert any(word in found for found in cut(empty)), (body, cut(empty))


def test_texts_that_can_be_reached(empty: Any) -> None:
    for body in (
        "<p>short</p>",
        f"<p style='overflow-wrap: anywhere'>{LONG}</p>",
        f"<p style='overflow: hidden; text-overflow: ellipsis' title='{LONG}'>{LONG}</p>",
        f"<div style='overflow: auto' tabindex=0 role=region aria-label=name>{LONG}</div>",
        f"<p style='position: absolute; width: 1px; height: 1px; overflow: hidden'>{LONG}</p>",
        f"<details><summary>more</summary><p>{LONG}</p></details>",
        f"<p hidden>{LONG}</p>",
    ):
        empty.page.set_content(HEAD + body)
        assert cut(empty) == [], body
    empty.page.set_content(f"{HEAD}<div style='overflow: auto' tabindex=0 role=region aria-label=name>{LONG}</div>")
    assert any("scrolls" in found for found in cut(empty, scrolls=False)), "on paper it cannot be reached"


def test_barriers_are_named(empty: Any) -> None:
    empty.page.set_content(HEAD + "<p>fine</p>")
    assert barriers(empty) == []
    empty.page.set_content(HEAD + "<p style='color: #aaa'>pale</p><img src=''><table><tr><td>1</td></tr></table>")
    assert {found.split()[0] for found in barriers(empty)} >= {"color-contrast", "image-alt"}


def test_texts_that_cross_are_found(empty: Any) -> None:
    empty.page.set_content(f"{HEAD}<p>one</p><p>other</p>")
    assert crossed(empty) == []
    empty.page.set_content(f"{HEAD}<p>one</p><p style='margin-top: -1.8em'>other</p>")
    assert crossed(empty) == ["“one” and “other”"]


def test_faint_texts_are_found(empty: Any) -> None:
    empty.page.set_content(HEAD + "<p>fine</p><svg width=99 height=20><text y=15>fine</text></svg>")
    assert faint(empty) == []
    small = (
        "<p style='font-size: 11px'>small</p><svg width=50 height=10 viewBox='0 0 100 20'><text y=15>half</text></svg>"
    )
    empty.page.set_content(f"{HEAD}{small}<svg width=99 height=20><text y=15 fill='#999'>grey</text></svg>")
    assert faint(empty) == ["“small” is 8.3 pt in p", "“half” is 6.0 pt in text", "“grey” has a contrast of 2.8"]


def test_sheets_are_measured(empty: Any) -> None:
    style = (
        "<style>@page { size: 100mm 100mm; margin: 0 } * { margin: 0 } div { height: 30mm; background: #000 }</style>"
    )
    empty.page.set_content(f"{style}<div></div><p style='break-before: page'>last</p>")
    first, last = sheets(empty.page.pdf(prefer_css_page_size=True, print_background=True))
    assert first.filled == pytest.approx(0.3, abs=0.02) and last.filled < 0.1 and last.text.strip() == "last"

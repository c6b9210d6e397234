"""The page in a real browser: it stands alone, fits every window, reads in the dark and without a mouse, and prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from browser import NEEDED, PAPER, WIDTHS, barriers, crossed, cut, faint, links, opened, unfold
from browser_paper import Sheet, sheets

pytestmark = NEEDED
MEGABYTES, SECONDS = 5, 2


def test_it_stands_alone_and_opens_at_once(browser: Any, small_page: Path) -> None:
    assert small_page.stat().st_size <= MEGABYTES * 1e6
    took = []
    for _ in range(3):  # this machine may be busy with something else
        with opened(browser, small_page) as seen:
            seen.of("() => { window.scrollTo(0, document.body.scrollHeight); }")
            unfold(seen)
            assert seen.said == [] and seen.asked == [small_page.resolve().as_uri()]
            took.append(seen.of("() => performance.getEntriesByType('navigation')[0].loadEventEnd"))
    assert 0 < min(took) < SECONDS * 1000


def test_every_link_leads_somewhere(browser: Any, small_page: Path) -> None:
    with opened(browser, small_page) as seen:
        addresses = links(seen)
        inside = {address[1:] for address in addresses if address.startswith("#")}
        assert inside and inside <= set(seen.of("() => [...document.querySelectorAll('[id]')].map((e) => e.id)"))
    files = {address for address in addresses if not address.startswith("#")}
    assert {Path(address).suffix for address in files} >= {".csv", ".svg", ".png"}
    assert [address for address in files if not (small_page.parent / address).is_file()] == []


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut_and_no_texts_cross(browser: Any, small_page: Path, width: int) -> None:
    with opened(browser, small_page, width) as seen:
        assert cut(seen) == [] and crossed(seen) == []
        unfold(seen)
        assert cut(seen) == [] and crossed(seen) == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_no_barriers(browser: Any, small_page: Path, dark: bool) -> None:
    with opened(browser, small_page, dark=dark) as seen:
        unfold(seen)
        assert barriers(seen) == []
        assert faint(seen) == []
        assert (lightness(seen) < 0.2) == dark


def lightness(seen: Any) -> float:
    """Of the page's background, 0 … 1."""
    color = seen.of("() => getComputedStyle(document.body).backgroundColor")
    return sum(float(part) for part in color.strip("rgba()").split(",")[:3]) / 3 / 255


def test_nothing_is_too_wide_for_paper(browser: Any, small_page: Path) -> None:
    with opened(browser, small_page, PAPER) as seen:
        seen.page.emulate_media(media="print")
        assert cut(seen, scrolls=False) == []


HEADINGS = """() => [...document.querySelectorAll("h1, h2, th")]
  .filter((e) => !e.closest("nav") && e.checkVisibility({ contentVisibilityAuto: true })).map((e) => e.innerText)"""
"""Of sections, and of columns and rows of every table that is not folded."""


def test_it_prints_without_loss_and_without_empty_halves(browser: Any, small_page: Path) -> None:
    with opened(browser, small_page) as seen:
        pdf = seen.page.pdf(prefer_css_page_size=True, print_background=True)
        headings = seen.of(HEADINGS)
    printed: list[Sheet] = sheets(pdf)
    assert 2 <= len(printed) <= 40
    assert [(n, round(one.filled, 2)) for n, one in enumerate(printed[:-1], 1) if one.filled < 0.5] == []
    text = "".join("".join(one.text.split()) for one in printed)
    assert [heading for heading in headings if "".join(heading.split()) not in text and heading.isascii()] == []

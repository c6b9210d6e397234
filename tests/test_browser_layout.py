"""Where the parts of the page stand: the four figures on paper, the table of onsets on a tablet, pictures in the dark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from browser import NEEDED, PAPER, opened

pytestmark = NEEDED


def test_the_four_figures_stand_in_one_row_on_paper(browser: Any, small_page: Path) -> None:
    with opened(browser, small_page, PAPER) as seen:
        seen.page.emulate_media(media="print")
        tops = seen.of("() => [...document.querySelectorAll('#four-figures figure')].map((e) => e.offsetTop)")
        assert len(tops) == 4 and len(set(tops)) == 1, tops


def test_the_table_of_onsets_fits_a_tablet(browser: Any, small_page: Path) -> None:
    with opened(browser, small_page, 768) as seen:
        wide, window = seen.of("() => (({scrollWidth, clientWidth}) => [scrollWidth, clientWidth])"
                               "(document.querySelector('#onset .wide'))")  # fmt: skip
        assert wide <= window


def test_pictures_of_figures_are_dark_in_the_dark_and_samples_stay(browser: Any, small_page: Path) -> None:
    filters = "(of) => [...document.querySelectorAll(of)].map((e) => getComputedStyle(e).filter)"
    for dark in (False, True):
        with opened(browser, small_page, dark=dark) as seen:
            found = set(seen.of(filters, "img.drawn"))
            assert found == {"invert(0.91) hue-rotate(180deg)" if dark else "none"}
            assert set(seen.of(filters, "img:not(.drawn)")) <= {"none"}
            seen.page.emulate_media(media="print", color_scheme="dark" if dark else "light")
            assert set(seen.of(filters, "img.drawn")) == {"none"}

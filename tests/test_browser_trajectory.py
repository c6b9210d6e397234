"""The page of a trajectory in a real browser: switches, values by mouse, finger and keyboard, and all that a page must."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from browser import NEEDED, WIDTHS, barriers, crossed, cut, faint, opened, unfold
from reports.trajectories import visible

pytestmark = NEEDED
KINDS = pytest.mark.parametrize("kind", ["text", "pictures"])
SHOWN = ".grid:visible td[data-cell]"


@KINDS
def test_it_stands_alone_fits_and_has_no_barriers(
    browser: Any, small_trajectory_pages: dict[str, Path], kind: str
) -> None:
    path = small_trajectory_pages[kind]
    for width in WIDTHS:
        with opened(browser, path, width, dark=width == 768) as seen:
            unfold(seen)
            assert cut(seen) == [] and crossed(seen) == []
            assert width == WIDTHS[-1] or barriers(seen) == []  # axe takes a second
            assert faint(seen) == []
            assert seen.said == [] and seen.asked == [path.resolve().as_uri()]


@KINDS
def test_a_switch_shows_another_reader(browser: Any, small_trajectory_pages: dict[str, Path], kind: str) -> None:
    with opened(browser, small_trajectory_pages[kind]) as seen:
        assert readers(seen) == {"own"}
        seen.page.get_by_label("logit lens", exact=True).check()
        assert readers(seen) == {"logit"}
        seen.page.keyboard.press("ArrowLeft")  # of the radio buttons
        assert readers(seen) == {"own"}


def readers(seen: Any) -> set[str]:
    """Whose grids are shown."""
    return set(seen.page.locator(".grid:visible").evaluate_all("(all) => all.map((one) => one.dataset.reader)"))


@KINDS
def test_hover_says_what_the_table_says(browser: Any, small_trajectory_pages: dict[str, Path], kind: str) -> None:
    table = pd.read_parquet(small_trajectory_pages[kind].with_suffix(".parquet"))
    table = table[table["reader"] == "own"].sort_values("rank")
    with opened(browser, small_trajectory_pages[kind]) as seen:
        cells = seen.page.locator(SHOWN)
        for number in random.Random(0).sample(range(cells.count()), 12):
            cells.nth(number).hover()
            item, state, column = cells.nth(number).evaluate(WHERE)
            position = 0 if kind == "pictures" else column
            rows = table[(table["item"] == item) & (table["state"] == state) & (table["position"] == position)]
            said = [" ".join(line.split()) for line in seen.page.locator(".values li").all_inner_texts()]
            assert len(said) == len(rows) == 5
            for line, (_, row) in zip(said, rows.iterrows(), strict=True):
                word, _, percent = line.removesuffix(" %").rpartition(" ")
                assert word.removesuffix(" <") == " ".join(visible(row["text"], row["class"]).split())
                assert float(percent) == pytest.approx(100 * row["probability"], abs=0.011)
            assert f"entropy {rows['entropy'].iloc[0]:.2f} bits" in seen.page.locator(".values").inner_text()


WHERE = """(cell) => [[...document.querySelectorAll(".item")].indexOf(cell.closest(".item")),
  cell.parentElement.sectionRowIndex, cell.cellIndex - 1]"""
"""Item, state and column of a cell."""


@KINDS
def test_a_click_locks_and_escape_frees(browser: Any, small_trajectory_pages: dict[str, Path], kind: str) -> None:
    with opened(browser, small_trajectory_pages[kind]) as seen:
        cells, values = seen.page.locator(SHOWN), seen.page.locator(".values")
        cells.nth(3).click()
        kept = values.inner_text()
        cells.nth(0).hover()
        assert values.inner_text() == kept and seen.page.locator(".locked").count() == 1
        seen.page.keyboard.press("Escape")
        cells.nth(0).hover()
        assert seen.page.locator(".locked").count() == 0
        cells.nth(3).hover()
        assert values.inner_text() == kept


@KINDS
def test_arrows_walk_over_the_grid(browser: Any, small_trajectory_pages: dict[str, Path], kind: str) -> None:
    with opened(browser, small_trajectory_pages[kind]) as seen:
        seen.page.locator(SHOWN).first.focus()
        for key, place in (("ArrowDown", [1, 1]), ("ArrowRight", [1, 2]), ("ArrowUp", [0, 2]), ("ArrowUp", [0, 2])):
            seen.page.keyboard.press(key)
            assert seen.of("() => [document.activeElement.parentElement.sectionRowIndex, document.activeElement.cellIndex]") == place  # fmt: skip
        assert seen.page.locator("td[tabindex='0']:focus").count() == 1
        seen.page.keyboard.press("Enter")
        assert seen.page.locator(".locked:focus").count() == 1
        before = seen.page.locator(".values").inner_text()
        seen.page.keyboard.press("ArrowDown")
        assert seen.page.locator(".locked:focus").count() == 1, "the lock goes along"
        assert seen.page.locator(".values").inner_text() != before


def test_a_finger_shows_and_locks(browser: Any, small_trajectory_pages: dict[str, Path]) -> None:
    with opened(browser, small_trajectory_pages["text"], 360, has_touch=True) as seen:
        seen.page.locator(SHOWN).nth(1).tap()
        assert seen.page.locator(".values").is_visible() and seen.page.locator(".locked").count() == 1

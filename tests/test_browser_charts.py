"""The charts of the page in a real browser: what they say on hover is in the tables; lock, keyboard, finger and switches."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from browser import NEEDED, Opened, opened

pytestmark = NEEDED
POINTS = 200
MARKS = """() => [...document.querySelectorAll(".chart")].filter((e) => e.querySelector("script")).map((e) => ({
  name: e.dataset.chart, ...JSON.parse(e.querySelector("script").textContent) }))"""
PLACE = """([chart, index]) => {
  const svg = document.querySelector(`.chart[data-chart="${CSS.escape(chart)}"] svg`);
  svg.scrollIntoView({ block: "center" });
  const box = svg.getBoundingClientRect(), scale = box.width / svg.viewBox.baseVal.width;
  const data = JSON.parse(svg.parentElement.querySelector("script").textContent);
  return data.marks[index].slice(1, 3).map((at, k) => [box.left, box.top][k] + at * scale);
}"""


@pytest.fixture(scope="module")
def page(browser: Any, small_page: Path) -> Any:
    with opened(browser, small_page) as seen:
        yield seen


@pytest.fixture(autouse=True)
def nothing_is_chosen(page: Opened) -> None:
    page.page.keyboard.press("Escape")
    page.page.mouse.move(1, 1)


@pytest.fixture(scope="module")
def numbers(small_page: Path) -> dict[tuple[str, int], set[tuple[str, ...]]]:
    """(network, state) -> (mean, lo, hi) of every row of the table about it, or about the step from it."""
    table = pd.read_parquet(small_page.parent / "measures.parquet")
    states = table["state_index"].fillna(table["block_index"] - 1)
    return {
        (str(network), int(state)): {
            tuple(map(short, row)) for row in rows[["mean", "lo", "hi"]].itertuples(index=False)
        }
        for (network, state), rows in table.groupby([table["model"], states])
    }


def short(value: float | None) -> str:
    """As many digits as the page has."""
    return "–" if value is None or pd.isna(value) else f"{value:.6g}"


def of_panel(seen: Opened) -> tuple[str, int]:
    """The chart and the mark whose values are shown."""
    panel = seen.page.locator(".reading:visible")
    return str(panel.get_attribute("data-chart")), int(panel.get_attribute("data-mark") or -1)


def charts(seen: Opened) -> dict[str, Any]:
    """Name -> networks, lines and marks of a chart."""
    found = {chart["name"]: chart for chart in seen.of(MARKS)}
    assert len(found) >= 3
    return found


def test_hover_says_what_the_table_says(page: Opened, numbers: dict[tuple[str, int], set[tuple[str, ...]]]) -> None:
    every = charts(page)
    places = [(name, index) for name, chart in every.items() for index in range(len(chart["marks"]))]
    compared = 0
    for name, index in sorted(random.Random(0).sample(places, min(POINTS, len(places)))):
        page.page.mouse.move(*page.of(PLACE, [name, index]))
        there, shown = of_panel(page)
        chart = every[name]
        line, x, y, label, readings = chart["marks"][shown]
        wanted = chart["marks"][index]
        assert there == name and (x - wanted[1]) ** 2 + (y - wanted[2]) ** 2 < 0.5, "the nearest mark"
        network = chart["networks"][str(chart["lines"][line][0])]
        said = page.page.locator(".reading").inner_text()
        assert network in said and label in said
        terms, values = (page.page.locator(f".reading {tag}").all_inner_texts() for tag in ("dt", "dd"))
        assert terms == [reading[0] for reading in readings]
        place = re.match(r"(state|block) (\d+)", label)
        for (called, mean, lo, hi, *_), value in zip(readings, values, strict=True):
            if mean is None:
                assert value.startswith("no value")
                continue
            told = [float(each) for each in re.findall(r"-?\d+\.?\d*", value.replace("−", "-"))]
            assert told[0] == pytest.approx(mean, rel=0.006, abs=0.0006)
            if place and "of the last" not in called:  # others are means over cells, or quotients of two rows
                assert tuple(map(short, (mean, lo, hi))) in numbers[network, int(place[2]) - (place[1] == "block")], (
                    name,
                    label,
                    called,
                )
                compared += 1
    assert compared >= 10


def test_a_click_locks_and_escape_frees(page: Opened) -> None:
    name = next(iter(charts(page)))
    first, other = (page.of(PLACE, [name, index]) for index in (0, -1 + len(charts(page)[name]["marks"])))
    page.page.mouse.click(*first)
    kept = of_panel(page)
    page.page.mouse.move(*other)
    assert of_panel(page) == kept
    page.page.keyboard.press("Escape")
    assert page.page.locator(".reading:visible").count() == 0
    page.page.mouse.move(*other)
    assert of_panel(page) != kept


def test_keys_read_every_mark(page: Opened) -> None:
    name, chart = next(iter(charts(page).items()))
    page.page.locator(f".chart[data-chart='{name}']").focus()
    walked = []
    for line in range(len(chart["lines"])):
        page.page.keyboard.press("ArrowDown" if line else "ArrowRight")
        page.page.keyboard.press("Home")
        walked.append(of_panel(page)[1])
        for _ in range(sum(mark[0] == line for mark in chart["marks"]) - 1):
            page.page.keyboard.press("ArrowRight")
            walked.append(of_panel(page)[1])
    assert sorted(walked) == list(range(len(chart["marks"])))
    said = page.page.locator(".announced").inner_text()
    assert chart["marks"][walked[-1]][3] in said, "a screen reader is told"


def test_a_switch_takes_a_network_away_everywhere(page: Opened) -> None:
    every = charts(page)
    buttons = page.page.locator(".networks button")
    number = buttons.first.get_attribute("data-network") or ""
    buttons.first.click()
    try:
        assert buttons.first.get_attribute("aria-pressed") == "false"
        for name, chart in every.items():
            mine = [k for k, mark in enumerate(chart["marks"]) if str(chart["lines"][mark[0]][0]) == number]
            if not mine:
                continue
            page.page.mouse.move(*page.of(PLACE, [name, mine[0]]))
            shown = page.page.locator(".reading:visible")
            assert not shown.count() or of_panel(page)[1] not in mine
            assert page.of(f"""() => [...document.querySelectorAll(".chart [data-network='{number}']")]
                .every((e) => e.classList.contains("off"))""")
    finally:
        buttons.first.click()
    assert buttons.first.get_attribute("aria-pressed") == "true"


def test_a_finger_reads_and_locks(browser: Any, small_page: Path) -> None:
    with opened(browser, small_page, 360, has_touch=True) as seen:
        name = next(iter(charts(seen)))
        seen.page.touchscreen.tap(*seen.of(PLACE, [name, 0]))
        assert of_panel(seen)[0] == name and seen.page.locator(".chart.locked").count() == 1
        box = seen.page.locator(".reading").bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= 360, "what is said stands in the window"


def test_without_script_the_figures_are_there(browser: Any, small_page: Path) -> None:
    with opened(browser, small_page, java_script_enabled=False) as seen:
        assert seen.page.locator(".chart svg:visible").count() >= 3
        assert seen.page.locator(".networks:visible").count() == 0, "switches that do nothing are not shown"

"""Switches and definitions of the page's sections in a real browser; they work without a script."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from browser import NEEDED, cut, opened, unfold

pytestmark = NEEDED


def test_a_word_opens_its_definition_where_it_stands(browser: Any, small_page: Path) -> None:
    for width in (360, 1440):
        with opened(browser, small_page, width) as seen:
            unfold(seen)
            words = seen.page.locator("button[popovertarget]:visible")
            assert words.count() > 10
            for number in (0, words.count() // 2, words.count() - 1):
                word = words.nth(number)
                definition = seen.page.locator(f"#{word.get_attribute('popovertarget')}")
                word.focus()
                seen.page.keyboard.press("Enter")
                assert definition.is_visible() and len(definition.inner_text()) > 20
                assert cut(seen) == []
                seen.page.keyboard.press("Escape")
                assert definition.evaluate("(e) => !e.matches(':popover-open')")


def test_choices_show_one_table_each(browser: Any, small_page: Path) -> None:
    with opened(browser, small_page) as seen:
        unfold(seen)
        switches = seen.page.locator("fieldset.switch:has(input[data-pick]:visible)")
        assert switches.count() >= 2
        for number in range(switches.count()):
            inputs = switches.nth(number).locator("input")
            network = switches.nth(number).locator("xpath=ancestor::section[1]")
            for choice in range(inputs.count()):
                inputs.nth(choice).check()
                code = inputs.nth(choice).get_attribute("data-pick") or ""
                shown = network.locator(".pick:visible").evaluate_all(
                    "(all) => all.map((one) => one.className.split(' '))"
                )
                of_this = [
                    classes for classes in shown if any(c.startswith(code[0]) and c[1:].isdigit() for c in classes)
                ]
                assert of_this and all(code in classes for classes in of_this), (number, code, shown)
            inputs.first.check()

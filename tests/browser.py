"""A real browser without a network, and what it finds wrong with a page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
WITHOUT = (
    "no browser: none of chromium, chromium-browser and google-chrome is on the path (Debian: apt install chromium)"
)
NEEDED = pytest.mark.skipif(not CHROMIUM, reason=WITHOUT)
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-quic", "--disable-dev-shm-usage",
)  # fmt: skip
WIDTHS = (360, 768, 1440)
"""Of a phone, a tablet and a desktop, in px."""
PAPER = 1032
"""Width of A4 landscape within margins of 12 mm, in px."""


@dataclass
class Opened:
    """An open page; ``said`` is what stood in its console, ``asked`` every address that it asked for."""

    page: Page
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def of(self, script: str, *given: Any) -> Any:
        """What a JavaScript function returns in the page."""
        return self.page.evaluate(script, *given)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser that is installed; none is downloaded."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield started
        started.close()


@contextmanager
def opened(
    browser: Browser, path: Path, width: int = 1440, dark: bool = False, still: bool = True, **options: Any
) -> Iterator[Opened]:
    """A page from its file, with the network off.

    Args:
        width: of the window, in px.
        still: nothing moves, so that what is tested is not between two states.
        options: further ones of Playwright's context, such as ``has_touch``.
    """
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light",
        reduced_motion="reduce" if still else "no-preference", offline=True, **options,
    )  # fmt: skip
    seen = Opened(context.new_page())
    context.route("**/*", lambda route: route.continue_() if route.request.url.startswith("file:") else route.abort())
    seen.page.on("console", lambda message: seen.said.append(message.text))
    seen.page.on("pageerror", lambda error: seen.said.append(str(error)))
    seen.page.on("request", lambda request: seen.asked.append(request.url))
    seen.page.goto(path.resolve().as_uri(), wait_until="load")
    try:
        yield seen
    finally:
        context.close()


def unfold(seen: Opened) -> None:
    """Opens all that is folded."""
    seen.of("() => document.querySelectorAll('details').forEach((each) => { each.open = true; })")


def cut(seen: Opened, scrolls: bool = True) -> list[str]:
    """Texts that go beyond the window, or that a box cuts off; and what makes the page wider than the window.

    Text in a scrolling region that takes the focus can be reached, and text that ends in "…" is all in a title.

    Args:
        scrolls: False counts what must be scrolled to as cut, too: on paper nothing scrolls.
    """
    return seen.of(CUT, scrolls)


CUT = """(scrolls) => {
  const found = [];
  const named = (e) => e.tagName.toLowerCase() + (e.id ? "#" + e.id : "") + (e.className && e.className.baseVal === undefined ? "." + e.className : "");
  const wide = document.documentElement.scrollWidth;
  if (wide > innerWidth) {
    found.push("the page is " + wide + " px wide in a window of " + innerWidth + ": " + [...document.querySelectorAll("body *")]
      .filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest("[role=region][tabindex]")).slice(0, 4).map(named).join(", "));
  }
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const range = document.createRange();
  while (texts.nextNode()) {
    const text = texts.currentNode, parent = text.parentElement;
    if (!text.data.trim() || parent.closest("script, style, template, title, desc, option")) continue;
    if (!parent.checkVisibility({ contentVisibilityAuto: true, visibilityProperty: true, opacityProperty: true })) continue;
    range.selectNodeContents(text);
    const box = range.getBoundingClientRect();
    if (box.width === 0) continue;
    let why = "";
    let reached = false;
    for (let e = parent; e && e !== document.body && !why && !reached; e = e.parentElement) {
      const style = getComputedStyle(e), mine = e.getBoundingClientRect();
      reached = mine.width <= 1 && mine.height <= 1;  // for screen readers alone
      if (reached || (style.display === "inline" && e.tagName !== "svg") || style.overflowX === "visible") continue;
      if (["auto", "scroll"].includes(style.overflowX)) {
        reached = scrolls && e.tabIndex >= 0 && Boolean(e.getAttribute("role") && e.getAttribute("aria-label"));
        if (!reached && e.scrollWidth > e.clientWidth + 1) why = "scrolls without focus and name in " + named(e);
      } else if (box.right > mine.right + 1.5 || box.left < mine.left - 1.5) {
        if (style.textOverflow === "ellipsis" && e.title) reached = true;
        else why = "is cut by " + named(e);
      }
    }
    if (!why && !reached && (box.right > innerWidth + 1 || box.left < -1)) why = "goes beyond the window in " + named(parent);
    if (why) found.push("“" + text.data.trim().slice(0, 40) + "” " + why);
  }
  return found.slice(0, 12);
}"""


def crossed(seen: Opened) -> list[str]:
    """Texts that stand on each other."""
    return seen.of(CROSSED)


CROSSED = """() => {
  const lines = [], found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const range = document.createRange();
  while (texts.nextNode()) {
    const text = texts.currentNode, e = text.parentElement;
    if (!text.data.trim() || e.closest("script, style, title, desc, tspan, sub, sup") || !e.checkVisibility({ contentVisibilityAuto: true, visibilityProperty: true, opacityProperty: true })) continue;
    const region = e.closest("[role=region][tabindex]");
    if (region && getComputedStyle(e.closest("th, td") || e).position === "sticky") continue;  // others scroll below it
    const window = region ? region.getBoundingClientRect() : null;
    range.selectNodeContents(text);
    for (const box of range.getClientRects())
      if (box.width > 1 && !(window && (box.left < window.left || box.right > window.right))) lines.push({ box, text });
  }
  lines.sort((a, b) => a.box.top - b.box.top);
  lines.forEach((one, k) => {
    for (let n = k + 1; n < lines.length && lines[n].box.top < one.box.bottom; n++) {
      const other = lines[n];
      const wide = Math.min(one.box.right, other.box.right) - Math.max(one.box.left, other.box.left);
      const high = Math.min(one.box.bottom, other.box.bottom) - other.box.top;
      if (other.text !== one.text && wide > 3 && high > (one.text.parentElement.closest("svg") ? 0.35 : 0.2) * Math.min(one.box.height, other.box.height))
        found.push("“" + one.text.data.trim().slice(0, 30) + "” and “" + other.text.data.trim().slice(0, 30) + "”");
    }
  });
  return [...new Set(found)].slice(0, 12);
}"""


def faint(seen: Opened) -> list[str]:
    """Texts of less than 9 pt, and texts in drawings that are hard to tell from the paper, which axe does not look at."""
    return seen.of(FAINT)


FAINT = """() => {
  const found = new Set();
  const channels = (color) => (color.match(/[\\d.]+/g) || []).map(Number);
  const light = (rgb) => rgb.slice(0, 3).map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, k) => sum + c * [0.2126, 0.7152, 0.0722][k], 0);
  const paper = (e) => {
    for (; e; e = e.parentElement) {
      const color = channels(getComputedStyle(e).backgroundColor);
      if (color.length === 3 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode, e = text.parentElement;
    if (!text.data.trim() || e.closest("script, style, title, desc, sub, sup") || !e.checkVisibility({ contentVisibilityAuto: true, visibilityProperty: true })) continue;
    const style = getComputedStyle(e.closest("text") || e), svg = e.closest("svg");  // an index may be smaller than its text
    const size = parseFloat(style.fontSize) * (svg ? Math.hypot(e.getScreenCTM().a, e.getScreenCTM().b) : 1);
    const said = "“" + text.data.trim().slice(0, 30) + "” ";
    if (size < 11.8) found.add(said + "is " + (0.75 * size).toFixed(1) + " pt in " + e.tagName.toLowerCase());
    if (svg && style.fill.startsWith("rgb")) {
      const [ink, ground] = [light(channels(style.fill)), light(paper(svg))].sort((a, b) => b - a);
      const ratio = (ink + 0.05) / (ground + 0.05);
      if (ratio < 4.5) found.add(said + "has a contrast of " + ratio.toFixed(1));
    }
  }
  return [...found].slice(0, 12);
}"""


def barriers(seen: Opened) -> list[str]:
    """What axe finds of moderate impact or worse: rule, impact, and the elements."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(seen.page).response["violations"]
    return [
        f"{one['id']} ({one['impact']}): " + "; ".join(node["html"][:120] for node in one["nodes"][:3])
        for one in found
        if one["impact"] != "minor"
    ]


def links(seen: Opened) -> list[str]:
    """Every address of a link, as it is written."""
    return seen.of("() => [...document.querySelectorAll('a[href]')].map((a) => a.getAttribute('href'))")

"""A saved figure inside the page: its SVG with names of its own, the page's colours, and its marks as data."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from xml.etree import ElementTree

from markupsafe import Markup, escape

from ..figures.identity import COLOURS
from ..figures.style import BAND, EMPTY, INK, LINE, SOFT
from ..html.picture import Pictures
from .marks import GROUP

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
UNWANTED = {f"{{{SVG}}}{name}" for name in ("metadata", "script", "foreignObject", "title")}
VARIABLES = {
    "#ffffff": "--paper",
    INK: "--ink",
    SOFT: "--soft",
    LINE: "--chart-line",
    BAND: "--chart-band",
    EMPTY: "--chart-empty",
} | {colour: f"--network-{number}" for number, colour in enumerate(COLOURS)}
"""Colours of a file -> names of the page's colours, which differ on dark paper."""
FONTS = "system-ui, sans-serif"


class Chart(NamedTuple):
    """A figure on the page, its verdict in a sentence, and (kind, address) of its files."""

    name: str
    drawn: Markup
    caption: str
    files: Sequence[tuple[str, str]]


_COLOUR = re.compile("|".join(VARIABLES), re.IGNORECASE)
_FAMILIES = re.compile(r"(font-family:|font:[^;']*?\dpx) [^;]*")
_REFERENCE = re.compile(r"url\(#([^)]*)\)")


def inline(svg: bytes, name: str, title: str, alt: str, marks: Mapping[str, Any] | None = None) -> Markup:
    """The markup of a figure.

    Args:
        svg: the file as it was saved.
        name: of the figure, once a page.
        title: a few words; ``alt``: what it shows and what came out, for those who cannot see it.
        marks: what ``figure.marks()`` gives; without it the figure is a picture only.

    Returns:
        A ``div`` with the SVG and, for the script ``chart.js``, a JSON element. Names inside the SVG begin with the figure's,
        so that a page may hold many.
    """
    root = _own_names(ElementTree.fromstring(svg), re.sub(r"\W", "-", name))
    root.attrib.pop("width", None)
    root.attrib.pop("height", None)
    root.attrib |= {"role": "img", "aria-label": f"{title}: {alt}" if alt else title, "class": "figure"}
    drawn = ElementTree.tostring(root, encoding="unicode")
    data = "" if marks is None else f'<script type="application/json">{_json(marks)}</script>'
    width = root.get("viewBox", "0 0 0 0").split()[2]
    return Markup(
        f'<div class="chart" data-chart="{escape(name)}" data-title="{escape(title)}" '
        f'style="--natural: {float(width):g}pt">{drawn}{data}</div>'
    )


def chart(pictures: Pictures, name: str, title: str, caption: str) -> Chart:
    """A figure of the page that was drawn.

    Args:
        name: of the figure; ``title``: a few words; ``caption``: its verdict in a sentence.
    """
    one = pictures.drawn[name]
    return Chart(name, inline(one.svg, name, title, caption, one.marks), caption, pictures.files(name))


def _own_names(root: ElementTree.Element, prefix: str) -> ElementTree.Element:
    """Puts a prefix before all ids and references, and the page's colours in place of the file's."""
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", XLINK)
    for parent in list(root.iter()):
        for child in [child for child in parent if child.tag in UNWANTED]:
            parent.remove(child)
        if parent.get("id") == "patch_1":  # the paper
            parent.clear()
        for key, value in list(parent.attrib.items()):
            if key == "id" and value.startswith(GROUP):
                parent.attrib["data-network"] = value.removeprefix(GROUP).partition(".")[0]
                del parent.attrib["id"]
            elif key == "id":
                parent.attrib["id"] = f"{prefix}-{value}"
            elif key in ("href", f"{{{XLINK}}}href"):
                parent.attrib[key] = f"#{prefix}-{value.removeprefix('#')}"
            elif key == "style" or "url(" in value:
                parent.attrib[key] = _with_page(_REFERENCE.sub(rf"url(#{prefix}-\1)", value))
            elif key.startswith("on"):
                del parent.attrib[key]
    return root


def _with_page(style: str) -> str:
    style = _FAMILIES.sub(rf"\1 {FONTS}", style)
    return _COLOUR.sub(lambda found: f"var({VARIABLES[found[0].lower()]})", style)


def _json(value: Any) -> str:
    """JSON that can stand in a script element."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")

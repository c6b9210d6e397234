"""The bar of buttons that switches networks on and off in all charts of a page; style and script of the charts."""

from __future__ import annotations

from functools import cache

from markupsafe import Markup, escape
from matplotlib.markers import MarkerStyle

from ..figures.identity import COLOURS, ON_DARK, Identity
from ..figures.style import BAND, EMPTY, LINE
from ..html.template import text_of

PALE = {"--chart-line": LINE, "--chart-band": BAND, "--chart-empty": EMPTY}
PALE_ON_DARK = {"--chart-line": "#75797f", "--chart-band": "#3f444b", "--chart-empty": "#262a30"}
_LETTERS = {1: "M", 2: "L", 3: "Q", 4: "C", 79: "Z"}
"""Code of a piece of a path in matplotlib -> its letter in SVG."""


def switches(identities: dict[str, Identity]) -> Markup:
    """One button for each network, with its line; hidden until the script runs, without which they do nothing."""
    buttons = "".join(
        f'<button type="button" aria-pressed="true" data-network="{drawn.number}">{sample(drawn)}'
        f"<span>{escape(name)}</span></button>"
        for name, drawn in identities.items()
    )
    return Markup(
        f'<div class="networks" role="group" aria-label="Networks shown in the charts" hidden="">{buttons}</div>'
    )


def sample(drawn: Identity) -> Markup:
    """A piece of a network's line as a small SVG that screen readers skip: its name stands beside it."""
    colour = f"var(--network-{COLOURS.index(drawn.colour)})"
    dash = (
        ""
        if isinstance(drawn.dash, str)
        else f' stroke-dasharray="{" ".join(f"{one * 1.2:g}" for one in drawn.dash[1])}"'
    )
    return Markup(
        f'<svg aria-hidden="true" viewBox="-14 -6 28 12" width="28" height="12">'
        f'<path d="M-14 0H14" stroke="{colour}" stroke-width="1.6" fill="none"{dash}/>'
        f'<path d="{_shape(drawn.marker)}" fill="{colour}"/></svg>'
    )


def chart_style() -> Markup:
    """The style sheet of charts, with the colours of networks on white and on dark paper."""
    white = {f"--network-{k}": colour for k, colour in enumerate(COLOURS)} | PALE
    dark = {f"--network-{k}": colour for k, colour in enumerate(ON_DARK)} | PALE_ON_DARK
    return Markup(
        f":root {{ {_declared(white)} }}\n@media screen and (prefers-color-scheme: dark) {{ :root {{ {_declared(dark)} }} }}\n"
    ) + Markup(text_of("chart.css"))


def chart_script() -> Markup:
    """The script of charts; a page needs it once, after them."""
    return Markup(text_of("chart.js"))


def _declared(colours: dict[str, str]) -> str:
    return " ".join(f"{name}: {colour};" for name, colour in colours.items())


@cache
def _shape(marker: str) -> str:
    """A marker of matplotlib as an SVG path, about 9 units wide."""
    style = MarkerStyle(marker)
    path = style.get_path().transformed(style.get_transform())
    size = 4.5 / abs(path.get_extents().get_points()).max()
    pieces = []
    for points, code in path.iter_segments(simplify=False):
        numbers = [f"{sign * size * value:.2f}" for value, sign in zip(points, [1, -1] * 3, strict=False)]
        pieces.append("Z" if _LETTERS[int(code)] == "Z" else _LETTERS[int(code)] + " ".join(numbers))
    return "".join(pieces)

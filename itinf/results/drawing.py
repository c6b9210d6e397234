"""A figure is drawn once; its files and its picture on the page are made from that one drawing."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import NothingToDrawError

PRINT_DPI = 300
PICTURES = (".png", ".svg")
"""Endings of the files that every figure has; a figure whose numbers are known has a ``.csv``, too."""
NUMBERS = ".csv"


@dataclass(frozen=True)
class Drawn:
    """A figure and the files made from it.

    Attributes:
        png: at print quality; the page shows a smaller copy.
        files: path in the results folder -> content; the path of a file that is there already -> None.
    """

    png: bytes
    files: dict[str, bytes | None]


def drawn(draw: Callable[[], Any], stem: str) -> Drawn | None:
    """Draws a figure and makes its files; None if the results lack what it shows.

    Args:
        draw: makes the matplotlib Figure; its attribute ``numbers``, if it has one, is the table of what it shows.
        stem: path of the files without ending.
    """
    try:
        figure = draw()
    except NothingToDrawError:
        return None
    png, svg = pictures_of(figure)
    files: dict[str, bytes | None] = dict(zip((stem + ending for ending in PICTURES), (png, svg), strict=True))
    numbers = getattr(figure, "numbers", None)
    if numbers is not None:
        files[stem + NUMBERS] = numbers.to_csv(index=False).encode()
    return Drawn(png, files)


def pictures_of(figure: Any) -> tuple[bytes, bytes]:
    """A figure as PNG at 300 dpi and as SVG; the same figure gives the same bytes.

    Text in the SVG is text, and it holds neither a date nor a script.
    """
    from matplotlib import rc_context

    png, svg = io.BytesIO(), io.BytesIO()
    # hardly larger than with the usual level, in a third of its time
    figure.savefig(png, format="png", dpi=PRINT_DPI, pil_kwargs={"compress_level": 3})
    figure.set_layout_engine("none")  # laid out once: the second file has the same places
    with rc_context({"svg.hashsalt": "itinf", "svg.fonttype": "none"}):
        figure.savefig(svg, format="svg", metadata={"Date": None})
    return png.getvalue(), svg.getvalue()


def screen_png(figure: Any) -> bytes:
    """A figure as a small PNG, for a notebook."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=90)
    return picture.getvalue()

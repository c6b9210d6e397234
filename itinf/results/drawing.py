"""A figure is drawn once; its files and its picture on the page are made from that one drawing."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..errors import NothingToDrawError
from .forked import forked

PRINT_DPI = 300
PICTURES = (".png", ".svg")
"""Endings of the files that every figure has; a figure whose numbers are known has a ``.csv``, too."""
NUMBERS = ".csv"
SMALLER = 2
"""How many pixels across of the file become one pixel of the small copy."""


@dataclass(frozen=True)
class Drawn:
    """A figure and the files made from it.

    Attributes:
        png: a small copy for the page.
        svg: the page shows it where ``marks`` says where its numbers are.
        files: path in the results folder -> content.
        marks: what the figure's attribute ``marks`` returns after it was saved; None without one.
    """

    png: bytes
    svg: bytes
    files: dict[str, bytes]
    marks: Any = None


def drawn(draw: Callable[[], Any], stem: str) -> Drawn | None:
    """Draws a figure and makes its files; None if the results lack what it shows.

    Args:
        draw: makes the matplotlib Figure, or None; its attribute ``numbers``, if it has one, is the table of what it shows.
        stem: path of the files without ending.
    """
    try:
        figure = draw()
    except NothingToDrawError:
        return None
    if figure is None:
        return None
    png, svg, small = pictures_of(figure)
    files = dict(zip((stem + ending for ending in PICTURES), (png, svg), strict=True))
    numbers, marks = getattr(figure, "numbers", None), getattr(figure, "marks", None)
    if numbers is not None:
        files[stem + NUMBERS] = numbers.to_csv(index=False).encode()
    return Drawn(small, svg, files, None if marks is None else marks())


def drawn_all(draws: Mapping[str, Callable[[], Any]], stems: Mapping[str, str]) -> tuple[dict[str, Drawn], list[str]]:
    """Draws figures, in several processes where that is worth it; an error in one must not prevent the others.

    Args:
        draws: name -> what draws it.
        stems: name -> path of its files without ending.

    Returns:
        The figures by name, without those that show nothing; and a sentence for each that could not be drawn.
    """
    made = forked({name: partial(_tried, name, draw, stems[name]) for name, draw in draws.items()})
    figures = {name: figure for name, figure in made.items() if isinstance(figure, Drawn)}
    return figures, [failure for failure in made.values() if isinstance(failure, str)]


def could_not(name: str, error: Exception) -> str:
    """A sentence about a figure that could not be drawn."""
    return f"The figure {name!r} could not be drawn ({type(error).__name__}: {error})."


def _tried(name: str, draw: Callable[[], Any], stem: str) -> Drawn | str | None:
    """The figure; None if it shows nothing, and a sentence after an error."""
    try:
        return drawn(draw, stem)
    except Exception as error:
        return could_not(name, error)


def pictures_of(figure: Any) -> tuple[bytes, bytes, bytes]:
    """A figure as PNG at 300 dpi, as SVG, and as a small PNG; the same figure gives the same bytes.

    It is laid out once, so that all have the same places, and rendered once for each kind, where ``savefig`` would
    go over it twice. Text in the SVG is text, and it holds neither a date nor a script.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from PIL import Image

    before, svg = figure.dpi, io.BytesIO()
    figure.dpi = PRINT_DPI
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    figure.dpi = before
    figure.set_layout_engine("none")
    with rc_context({"svg.hashsalt": "itinf", "svg.fonttype": "none"}):
        FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None})
    return _png(picture, dpi=(PRINT_DPI, PRINT_DPI)), svg.getvalue(), _small(picture)


def _small(picture: Any) -> bytes:
    """A picture at half its size and in 256 colours."""
    from PIL import Image

    few = picture.reduce(SMALLER).quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    return _png(few, compress_level=6)


def _png(picture: Any, compress_level: int = 3, **options: Any) -> bytes:
    """A picture as PNG; at level 3 it is hardly larger than with the usual level, in a third of its time."""
    content = io.BytesIO()
    picture.save(content, format="png", compress_level=compress_level, **options)
    return content.getvalue()


def screen_png(figure: Any) -> bytes:
    """A figure as a small PNG, for a notebook."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=90)
    return picture.getvalue()

"""Pictures of figures in the page: a small copy of each, a text that says what came out, and links to its files."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from matplotlib.figure import Figure
from PIL import Image

from itinf.errors import NothingToDrawError

PRINT_DPI, SMALLER = 300, 2
"""Dots per inch of a figure, and how many of its pixels across become one pixel of the page."""


@dataclass(frozen=True)
class Picture:
    """A figure inside a page.

    Attributes:
        source: its image as a data URL.
        alt: what it shows and what came out, for those who cannot see it.
        title: a few words.
        files: (kind, address) of the files beside the page.
    """

    source: str
    alt: str
    title: str
    files: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Pictures:
    """The figures of a page, drawn before or drawn now.

    Attributes:
        drawn: name -> PNG at print quality, and paths of its files beside the page.
    """

    drawn: Mapping[str, tuple[bytes, Sequence[str]]] = field(default_factory=dict)

    def of(self, name: str, title: str, result: str = "", draw: Callable[[], Figure] | None = None) -> Picture | None:
        """A picture; None where the results lack what the figure shows.

        Args:
            name: of the figure.
            title: a few words.
            result: what came out, in a sentence.
            draw: draws the figure if it was not drawn before.
        """
        if name in self.drawn:
            png, files = self.drawn[name]
        elif draw is not None and (made := _png(draw)) is not None:
            png, files = made, ()
        else:
            return None
        links = [(path.rpartition(".")[2].upper(), quote(path)) for path in files]
        return Picture(_small(png), f"{title}: {result}" if result else title, title, links)


def _png(draw: Callable[[], Figure]) -> bytes | None:
    full = io.BytesIO()
    try:
        draw().savefig(full, format="png", dpi=PRINT_DPI)
    except NothingToDrawError:
        return None
    return full.getvalue()


def _small(png: bytes) -> str:
    """A picture of 150 dots per inch and 256 colours, as a data URL."""
    small = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        plain = image.convert("RGB")
    few = plain.reduce(SMALLER).quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    few.save(small, format="png")
    return "data:image/png;base64," + base64.b64encode(small.getvalue()).decode()

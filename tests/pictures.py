"""Pictures that cost nothing."""

from __future__ import annotations

import io

from matplotlib.figure import Figure
from PIL import Image

RENDERS = "itinf.results.drawing.pictures_of"
"""What ``blank`` stands in for."""
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"></svg>'


def blank(_: Figure) -> tuple[bytes, bytes, bytes]:
    """One white pixel and an empty SVG in the place of a figure."""
    return white(1, 1), SVG, white(1, 1)


def white(width: int, height: int) -> bytes:
    """A white PNG of some pixels."""
    content = io.BytesIO()
    Image.new("RGB", (width, height), "white").save(content, format="png")
    return content.getvalue()

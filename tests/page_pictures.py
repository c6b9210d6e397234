"""The pictures of the README: python tests/page_pictures.py results/demo/report.html, from the folder above.

Writes docs/page-light.png and docs/page-dark.png, the top of that page in a window of 1200 px.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image

from browser import chromium, opened

WIDTH, HEIGHT = 1200, 900
COLORS = 128
"""Enough for a page, and a third of the size."""


def pictures(page: Path, folder: Path) -> list[Path]:
    """Takes both pictures; returns their paths."""
    made = []
    with chromium() as browser:
        for name in ("light", "dark"):
            with opened(browser, page, WIDTH, dark=name == "dark") as seen:
                shot = seen.page.screenshot(clip={"x": 0, "y": 0, "width": WIDTH, "height": HEIGHT})
            made.append(folder / f"page-{name}.png")
            Image.open(io.BytesIO(shot)).convert("RGB").quantize(COLORS).save(made[-1], optimize=True)
    return made


if __name__ == "__main__":
    for path in pictures(Path(sys.argv[1]), Path(__file__).parents[1] / "docs"):
        print(path)

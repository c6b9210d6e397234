"""The sheets of a PDF: how far down each is printed, and what it says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pypdfium2


@dataclass(frozen=True)
class Sheet:
    """One sheet of paper.

    Attributes:
        filled: share of the height from the top to the lowest ink.
        text: all that is on it.
    """

    filled: float
    text: str


def sheets(pdf: bytes) -> list[Sheet]:
    """Every sheet, in order."""
    found = []
    for page in pypdfium2.PdfDocument(pdf):
        grey = page.render(scale=0.5, grayscale=True).to_numpy()
        inked = np.flatnonzero((grey.reshape(grey.shape[0], -1) < 200).any(1))
        filled = (inked[-1] + 1) / grey.shape[0] if len(inked) else 0.0
        found.append(Sheet(float(filled), page.get_textpage().get_text_bounded()))
    return found

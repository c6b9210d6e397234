"""What a notebook shows of a result by itself: a small table and a figure."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import pandas as pd

from ..errors import ItinfError
from .drawing import screen_png
from .report import aim_of


def picture(result: Any, kind: str) -> bytes | None:
    """A figure of a result as PNG; None where there is nothing to draw."""
    try:
        return screen_png(result.plot(kind, **aim_of(result, kind)))
    except ItinfError:  # a notebook shows what there is
        return None


def html(rows: Sequence[Mapping[str, Any]], png: bytes | None, notes: Iterable[str] = ()) -> str:
    """A table, sentences below it, and a figure; every name in it is escaped.

    Args:
        rows: heading -> cell, for each row.
        png: the figure, or None.
        notes: the sentences.
    """
    table = pd.DataFrame(rows).fillna("–").astype(str).to_html(index=False, border=0, escape=True) if rows else ""
    said = "".join(f"<p>{escape(note)}</p>" for note in notes)
    image = "" if png is None else f'<img src="data:image/png;base64,{base64.b64encode(png).decode()}">'
    return f"<div>{table}{said}{image}</div>"


def ranged(mean: float, lo: float, hi: float, sign: bool = False) -> str:
    """A number with half of its interval, as text; without an interval if there is none. Small halves have more decimals."""
    half = (hi - lo) / 2
    places = min(max(3, 1 - math.floor(math.log10(half))), 9) if half > 0 else 3
    interval = "" if math.isnan(half) else f" ± {half:.{places}f}"
    return f"{mean:{'+' if sign else ''}z.{places}f}{interval}".replace("-", "−")

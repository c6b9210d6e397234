"""A curve over depth as a small inline SVG, without script."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

from markupsafe import Markup

WIDTH, HEIGHT, EDGE = 110, 26, 4


def sparkline(
    curve: Sequence[tuple[int, float, bool]],
    need: float,
    scale: tuple[float, float],
    nulls: Sequence[tuple[float, float]] = (),
) -> Markup:
    """The curve, with a dashed line at what is needed, and a dot at each place: full where it counts for a yes.

    Args:
        curve: (place, value, whether it counts for a yes); where a place has no value, dots stand without a line.
        need: height of the dashed line.
        scale: lower and upper end; values beyond are drawn at the end.
        nulls: (lower, upper) end of the null at each place, a grey area behind the curve; none where it is NaN.

    Returns:
        SVG that screen readers skip: its numbers stand beside it. Empty for a curve without values.
    """
    if not any(math.isfinite(value) for _, value, _ in curve):
        return Markup("")
    low, high = scale
    step = (WIDTH - 2 * EDGE) / max(len(curve) - 1, 1)

    def height(value: float) -> float:
        share = (min(max(value, low), high) - low) / (high - low)
        return round(HEIGHT - EDGE - share * (HEIGHT - 2 * EDGE), 1)

    points = [
        (round(EDGE + k * step, 1), height(value), counts)
        for k, (_, value, counts) in enumerate(curve)
        if math.isfinite(value)
    ]
    lines = (
        ""
        if len(points) < len(curve)
        else f'<polyline points="{" ".join(f"{x},{y}" for x, y, _ in points)}" fill="none"/>'
    )
    size = min(2.2, max(0.8, step / 3))
    dots = "".join(f'<circle cx="{x}" cy="{y}" r="{size:.1f}"{"" if full else OPEN}/>' for x, y, full in points)
    zero = height(need)
    return Markup(
        f'<svg class="spark" aria-hidden="true" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">'
        f"{_area([(height(a), height(b)) if math.isfinite(a + b) else None for a, b in nulls], step)}"
        f'<line x1="0" x2="{WIDTH}" y1="{zero}" y2="{zero}" stroke-dasharray="2 2"/>{lines}{dots}</svg>'
    )


def _area(ends: Sequence[tuple[float, float] | None], step: float) -> str:
    """A box for each place, neighbours alike as one; each ends half a step beside its place, at most at the edge."""
    boxes, k = "", 0
    for alike, group in groupby(ends):
        first, k = k, k + len(list(group))
        if alike is not None:
            bottom, top = alike
            left, right = (min(max(EDGE + (end - 0.5) * step, EDGE / 2), WIDTH - EDGE / 2) for end in (first, k))
            boxes += f"M{left:.4g} {bottom}H{right:.4g}V{top}H{left:.4g}z"
    return f'<path d="{boxes}"/>' if boxes else ""


OPEN = ' class="open"'

"""A curve over depth as a small inline SVG, without script."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

WIDTH, HEIGHT, EDGE = 110, 26, 4


def sparkline(curve: Sequence[tuple[int, float, bool]], need: float, scale: tuple[float, float]) -> Markup:
    """The curve, with a dashed line at what is needed, and a dot at each place: full where it counts for a yes.

    Args:
        curve: (place, value, whether it counts for a yes); where a place has no value, dots stand without a line.
        need: height of the dashed line.
        scale: lower and upper end; values beyond are drawn at the end.

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
        f'<line x1="0" x2="{WIDTH}" y1="{zero}" y2="{zero}" stroke-dasharray="2 2"/>{lines}{dots}</svg>'
    )


OPEN = ' class="open"'

"""Labels of narrow figures: none stands on another or touches a line, whatever the networks are called."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure

from itinf.results.schema import results_table
from reports.figures.descent import descent
from reports.figures.later_response import later_response, subtracted
from reports.figures.sheet import LEFT, TEXT, WIDTH, fitting, text_width
from test_descent import steps
from test_predictive_section import CHI, by_state

NAMES = ("net", "W" * 60, "MY/A-LONG-NAMED NETWORK, ITS SECOND TRAINING", "w i l l i" * 12)


def of_later(measure: str, scale: float) -> pd.DataFrame:
    return results_table([row for name in NAMES for row in by_state(name, measure, [scale * one for one in CHI])])


FIGURES: dict[str, Any] = {
    "descent": lambda: descent(pd.concat([steps(model=name) for name in NAMES], ignore_index=True)),
    "later response": lambda: later_response(of_later("later_response", 0.001)),
    "subtracted share": lambda: subtracted(of_later("subtracted_share", -3.0)),
}
EACH = pytest.mark.parametrize("figure", FIGURES)


def boxes(figure: Figure) -> list[tuple[str, float, float, float, float]]:
    """Every text with its left, right, upper and lower end in points from the upper left corner."""
    scale, high = 72 / figure.dpi, figure.get_figheight() * 72
    found = []
    for text in figure.axes[0].texts:
        box = text.get_window_extent()
        found.append((text.get_text(), box.x0 * scale, box.x1 * scale, high - box.y1 * scale, high - box.y0 * scale))
    return found


@EACH
def test_no_text_stands_on_another_or_beyond_the_figure(figure: str) -> None:
    every = boxes(FIGURES[figure]())
    assert len(every) > 3 * len(NAMES)
    for k, (one, left, right, up, down) in enumerate(every):
        assert left >= -1 and right <= WIDTH + 1, one
        for other, its_left, its_right, its_up, its_down in every[k + 1 :]:
            apart = max(its_left - right, left - its_right), max(its_up - down, up - its_down)
            assert max(apart) > -0.3, (one, other)


@EACH
def test_labels_of_the_scale_touch_no_line(figure: str) -> None:
    labels = [box for box in boxes(FIGURES[figure]()) if box[0] in ("0", "1", "−1", ".6", "−.6") and box[1] < LEFT]
    assert len(labels) >= len(NAMES)
    assert all(right <= LEFT - 3 for _, _, right, _, _ in labels[: 3 * len(NAMES)] if right < LEFT + 3)


@pytest.mark.parametrize("name", [*NAMES, "字" * 40, "🧪" * 40, "", "a\u0301" * 50])
@pytest.mark.filterwarnings("ignore:Glyph .* missing")
def test_a_name_is_cut_in_the_middle_to_its_room(name: str) -> None:
    kept = fitting(name, 120.0)
    assert text_width(kept) <= 120
    if text_width(name) <= 120:
        assert kept == name
    else:
        head, cut, tail = kept.partition("…")
        assert cut and head and name.startswith(head) and name.endswith(tail) and text_width(kept) > 120 - 3 * TEXT

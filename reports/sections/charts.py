"""Charts of a section: figures that answer to hover and keyboard, each with its caption."""

from __future__ import annotations

from collections.abc import Iterable

from ..charts.inline import Chart, chart
from ..html.picture import Pictures


def charts(pictures: Pictures, wanted: Iterable[tuple[str, str, str]]) -> list[Chart]:
    """The charts that were drawn, of (name of the figure, title, caption)."""
    return [chart(pictures, *words) for words in wanted if words[0] in pictures.drawn]

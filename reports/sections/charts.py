"""Charts of a section: figures that answer to hover and keyboard, each with its caption."""

from __future__ import annotations

from collections.abc import Iterable

from ..charts.inline import inline
from ..html.picture import Pictures
from .four_figures import Chart


def charts(pictures: Pictures, wanted: Iterable[tuple[str, str, str]]) -> list[Chart]:
    """The charts that were drawn, of (name of the figure, title, caption)."""
    return [
        Chart(name, inline(one.svg, name, title, caption, one.marks), caption, pictures.files(name))
        for name, title, caption in wanted
        if (one := pictures.drawn.get(name)) is not None
    ]

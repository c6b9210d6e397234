"""The section: one part of the page, which any package can add by the entry point group ``itinf.sections``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.figure import Figure

from ..html.picture import Pictures
from .results import Results

Draw = Callable[[], Figure]
"""Draws a figure, or raises ``NothingToDrawError``."""


def no_figures(results: Results) -> Mapping[str, Draw]:
    """The figures of a section without figures."""
    return {}


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        name: its id on the page, lower-case letters and hyphens; claims of the verdict table link to it.
        title: its heading, and its line in the contents.
        question: the question that it answers, in a sentence.
        html: its content without heading, from the results and the pictures of its figures; None where the results
            lack what it shows. User's words in it must be escaped, as ``reports.html.template.render`` does.
        figures: name -> what draws it. Each is drawn once; its files lie in ``figures/`` beside the page.
        place: order on the page; sections of one place are sorted by name. Those of itinf: 10 the
            networks, before the verdict table, 20 the main figures, 30 examples, 40 power, 43 probes that a study asks for
            by name, 45 what can be compared and groups, 50 networks, 60 methods, 70 provenance, 80 data.
        script: plain JavaScript that the section needs, without the tag; the page allows it by its hash.
        style: CSS that the section needs; sections with the same script or style share it.
    """

    name: str
    title: str
    question: str
    html: Callable[[Results, Pictures], Markup | None]
    figures: Callable[[Results], Mapping[str, Draw]] = no_figures
    place: int = 90
    script: str = ""
    style: str = ""

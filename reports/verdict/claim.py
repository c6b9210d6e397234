"""The claim: one row of the verdict table, which any package can add by the entry point group ``itinf.claims``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .source import Source
from .words import Verdict, Word, decide


@dataclass(frozen=True)
class Claim:
    """What is claimed of a network, and how it is decided.

    Attributes:
        name: the claim, heading of its row.
        question: the question that it answers.
        find: the numbers of one network that it needs: an ``Evidence``, or what ``decide`` takes instead.
        nulls: those that judge it, in words.
        anchor: id of the section of the page with its figure, such as "four-figures" or "lenses"; where the page has none, cells
            link to the section about their network.
        power: names in the table of power of the same numbers. Where they do not tell the controls apart, the row says
            so; without a name, the row's own numbers of the controls are compared.
        order: of the row; rows with the same order are sorted by name.
        is_question: whether it is a question, which judges nothing, and no verdict.
        optional: whether the row is left out where no network has its numbers, such as those that a study asks for by name.
        says: other texts for words, for a question that has answers of its own.
        scale: lower and upper end of the sparklines of the row.
        decide: the verdict on what ``find`` found.
    """

    name: str
    question: str
    find: Callable[[Source], Any]
    nulls: str = ""
    anchor: str = ""
    power: tuple[str, ...] = ()
    order: int = 100
    is_question: bool = False
    optional: bool = False
    says: Mapping[Word, str] = field(default_factory=dict)
    scale: tuple[float, float] = (-1.0, 1.0)
    decide: Callable[[Any], Verdict] = decide

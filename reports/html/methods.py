"""The section on methods: formulas, nulls, how each word of the verdict table is decided, and the glossary."""

from __future__ import annotations

from markupsafe import Markup

from ..verdict.rules import rules
from .glossary import MEASURES, NULLS, WORDS
from .rendered import rendered


def methods() -> Markup:
    """What is the same on every page."""
    return rendered("methods.html", measures=MEASURES, nulls=NULLS, rules=rules(), words=WORDS)

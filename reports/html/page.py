"""The page of a comparison: one HTML file, complete in itself, put together from its sections."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd
from markupsafe import Markup

from ..rows import plain_text
from ..sections.results import Results
from ..sections.section import Draw, Section
from .answers import answers
from .picture import Drawn, Pictures
from .template import render

VERDICT_PLACE = 15
"""Sections of lower places stand before the verdict table."""

Makes = Mapping[str, Callable[[], Any]]


def _in_turn(makes: Makes) -> dict[str, Any]:
    return {name: make() for name, make in makes.items()}


class Page:
    """The page of one or several results, or of transfers alone.

    Attributes:
        results: what it is made from.
        failed: a sentence for each section that could not be made.
    """

    answers = staticmethod(answers)
    """The sentences on top of the page, which the console shows, too."""

    def __init__(
        self,
        table: pd.DataFrame,
        manifests: Sequence[Mapping[str, Any]],
        notes: Sequence[Sequence[str]],
        target: str = "label",
        *,
        sections: Mapping[str, Callable[[], Section]],
        **others: Any,
    ) -> None:
        """Opens the sections.

        Args:
            table, manifests, notes, target: see ``Results``.
            sections: name in the registry -> what opens the section.
            **others: the other attributes of ``Results``.
        """
        tables = {name: plain_text(value) for name, value in others.items() if isinstance(value, pd.DataFrame)}
        self.results = Results(plain_text(table), manifests, notes, target, **others | tables)
        self.failed: list[str] = []
        opened = [self._known(name, opens) for name, opens in sections.items()]
        self._sections: list[Section] = sorted(filter(None, opened), key=lambda section: (section.place, section.name))

    def figures(self) -> dict[str, Draw]:
        """Name -> what draws it, of all sections."""
        found = (self._known(section.name, section.figures, self.results) for section in self._sections)
        return {name: draw for figures in found if figures for name, draw in figures.items()}

    def html(self, drawn: Mapping[str, Drawn], make_all: Callable[[Makes], Mapping[str, Any]] = _in_turn) -> str:
        """The file; every name in it is escaped. It asks for nothing outside itself, and its policy forbids it.

        Args:
            drawn: the figures, by name; those that show nothing are left out.
            make_all: makes many things, name -> function without arguments, for instance in several processes.
        """
        pictures, verdict = Pictures(drawn), self.results.verdict  # made once, before the processes part
        makes = {
            str(place): partial(_tried, section.name, section.html, self.results, pictures)
            for place, section in enumerate(self._sections)
        }
        made = list(zip(self._sections, make_all(makes).values(), strict=True))
        self.failed += [failure for _, (_, failure) in made if failure]
        shown = [(section, content) for section, (content, _) in made if content]
        scripts = list(dict.fromkeys(section.script for section, _ in shown if section.script))
        return render(
            "report.html",
            names=self.results.names,
            verdict=verdict,
            before=VERDICT_PLACE,
            here={section.name for section, _ in shown},
            sections=shown,
            failed=self.failed,
            version=self.results.version,
            scripts=[Markup(script) for script in scripts],
            styles=[Markup(style) for style in dict.fromkeys(s.style for s, _ in shown if s.style)],
            allowed=" ".join(f"'sha256-{_hash(script)}'" for script in scripts) or "'none'",
        )

    def _known(self, name: str, make: Callable[..., Any], *given: Any) -> Any:
        """What ``make`` returns; None after an error, which is kept."""
        made, failure = _tried(name, make, *given)
        self.failed += [failure] if failure else []
        return made


def _tried(name: str, make: Callable[..., Any], *given: Any) -> tuple[Any, str]:
    """What ``make`` returns, and ""; None and a sentence after an error, which must not prevent the rest of the page."""
    try:
        return make(*given), ""
    except Exception as error:
        return None, f"The section {name!r} could not be made ({type(error).__name__}: {error})."


def _hash(script: str) -> str:
    """As a Content-Security-Policy names a script."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()

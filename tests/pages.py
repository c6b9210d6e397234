"""The page of tables, as a test asks for it."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd

from itinf import registry
from itinf.results.drawing import drawn
from reports.figures.update_norm import update_norm
from reports.html.page import Page


def opened(table: pd.DataFrame, manifests: list[Any], notes: list[Any], target: str = "label", **others: Any) -> Page:
    """A page with all registered sections, before its figures are drawn."""
    sections = {name: partial(registry.opened, "sections", name) for name in registry.names("sections")}
    return Page(table, manifests, notes, target, **{"sections": sections} | others)


def page(table: pd.DataFrame, manifests: list[Any], notes: list[Any], target: str = "label", **others: Any) -> str:
    """The text of the page; every section of it could be made."""
    whole = opened(table, manifests, notes, target, **others)
    every = {name: drawn(draw, f"figures/{name}") for name, draw in whole.figures().items()}
    text = whole.html({name: figure for name, figure in every.items() if figure is not None})
    assert not whole.failed, whole.failed
    return text


class ShortPage:
    """Stands in for the page where drawing would take longest: one figure, and a line of text."""

    def __init__(self, table: pd.DataFrame, *_: Any, **others: Any) -> None:
        self.table, self.others = table, others
        self.failed: list[str] = []

    def figures(self) -> dict[str, Any]:
        return {"update_norm": lambda: update_norm(self.table)}

    def html(self, drawn: Any, make_all: Any = None) -> str:
        return "<p>a page</p>"

"""Templates of the page; whatever is put into them is escaped."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup


@cache
def environment() -> Environment:
    """Where templates lie and how they are read."""
    return Environment(loader=PackageLoader("reports"), autoescape=True, trim_blocks=True, lstrip_blocks=True)


def render(template: str, **values: Any) -> Markup:
    """A template of ``reports/templates/``, filled in; values are escaped, except Markup."""
    return Markup(environment().get_template(template).render(**values))


def text_of(template: str) -> str:
    """A file of ``reports/templates/`` as it is: a style or a script."""
    loader = environment().loader
    assert loader is not None
    return loader.get_source(environment(), template)[0]

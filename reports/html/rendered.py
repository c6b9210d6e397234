"""Templates of the page, rendered one by one."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from .glossary import term


def rendered(template: str, **values: Any) -> Markup:
    """A part of the page: every name in ``values`` is escaped, unless it is Markup already.

    Args:
        template: file name in ``reports/templates``.
        **values: what the template shows. It also knows ``term``, the button that opens a definition.
    """
    return Markup(_environment().get_template(template).render(**values))


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("reports"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    made.globals["term"] = term
    return made

"""The colour, marker and dash of each network: the same in every figure, and used for nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pandas as pd

COLOURS = ("#0072b2", "#d55e00", "#04145d", "#0ca2c6", "#ad2e64", "#7f2906", "#1901c8", "#652485")
"""Told apart by people with each of the three kinds of colour blindness; each stands out against white at least 3 : 1."""
ON_DARK = ("#56b4e9", "#ff8a3d", "#c3c8ff", "#3fe0e8", "#ff6f9f", "#d0a070", "#8f7bff", "#c58be8")
"""The same networks on dark paper."""
MARKERS = "osD^vPX<p>h*"
DASHES = ("-", (0, (5, 1.5)), (0, (5, 1.5, 1, 1.5)))
"""Lines of four networks each, so that no two networks of one colour share a dash."""


class Identity(NamedTuple):
    """How one network is drawn; ``number`` counts networks of the results from 0."""

    number: int
    colour: str
    marker: str
    dash: str | tuple[int, tuple[float, ...]]


def identity(number: int) -> Identity:
    """That of the network with this number; 24 in a row differ."""
    dash = DASHES[number // 4 % len(DASHES)]
    return Identity(number, COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)], dash)


def identities(networks: pd.DataFrame | Iterable[str]) -> dict[str, Identity]:
    """Name -> how it is drawn.

    Args:
        networks: a whole results table, or all names in its order; with fewer of them, numbers would differ between figures.
    """
    names = networks["model"].unique() if isinstance(networks, pd.DataFrame) else dict.fromkeys(networks)
    return {str(name): identity(number) for number, name in enumerate(names)}


def controls_first(drawn: Mapping[str, Identity], roles: Mapping[str, str] | None) -> dict[str, Identity]:
    """The same in the order of the page: controls that should pass, controls that should fail, others.

    Args:
        drawn: name -> how it is drawn; ``roles``: name of a control -> "yes" or "no".
    """
    order = {"yes": 0, "no": 1}
    return dict(sorted(drawn.items(), key=lambda item: order.get((roles or {}).get(item[0], ""), 2)))

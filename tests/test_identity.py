"""Every network has one colour, marker and dash of its own, which can be told apart and which nothing else has."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from reports.figures import matrix, style
from reports.figures.facets import model_styles
from reports.figures.identity import COLOURS, ON_DARK, identities, identity

# Machado, Oliveira & Fernandes 2009, severity 1, on linear RGB
SEEN = {
    "all": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(colour: str) -> np.ndarray:
    part = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)


def oklab(rgb: np.ndarray) -> np.ndarray:
    cones = np.array([[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
                      [0.0883024619, 0.2817188376, 0.6299787005]])  # fmt: skip
    axes = np.array([[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
                     [0.0259040371, 0.7827717662, -0.8086757660]])  # fmt: skip
    return axes @ np.cbrt(cones @ np.clip(rgb, 0, 1))


def contrast(one: str, other: str) -> float:
    low, high = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other))
    return (high + 0.05) / (low + 0.05)


def test_networks_differ():
    drawn = [identity(number) for number in range(24)]
    assert len({(one.colour, one.marker, one.dash) for one in drawn}) == 24
    assert len({one.marker for one in drawn[:12]}) == 12
    for one, other in combinations(drawn[:12], 2):
        assert one.colour != other.colour or one.dash != other.dash


@pytest.mark.parametrize("seen", SEEN)
def test_colours_are_told_apart(seen):
    places = [oklab(np.array(SEEN[seen]) @ linear(colour)) for colour in COLOURS]
    assert min(np.linalg.norm(one - other) for one, other in combinations(places, 2)) > 0.1


def test_colours_stand_out_from_the_paper():
    assert min(contrast(colour, "#ffffff") for colour in COLOURS) >= 2.95
    assert min(contrast(colour, "#16181c") for colour in ON_DARK) >= 4.5
    assert len(set(ON_DARK)) == len(COLOURS)


def test_nothing_else_has_a_network_s_colour():
    others = [
        *style.TONES,
        *style.NULLS.values(),
        style.INK,
        style.SOFT,
        style.LINE,
        style.BAND,
        style.EMPTY,
        matrix.EMPTY,
    ]
    for other in others:
        assert min(np.linalg.norm(oklab(linear(other)) - oklab(linear(colour))) for colour in COLOURS) > 0.08


def test_a_network_that_a_figure_lacks_keeps_its_number():
    table = pd.DataFrame({"model": ["first", "second", "third", "first"]})
    assert [one.number for one in identities(table).values()] == [0, 1, 2]
    styles = model_styles(table[table["model"] == "third"], table)
    assert list(styles) == ["third"] and styles["third"].colour == identity(2).colour
    assert styles["third"].dash == identity(2).dash and styles["third"].marker == identity(2).marker

"""The question whether earlier predictions are subtracted later, from tables made by hand."""

from __future__ import annotations

import pytest

from reports.verdict.later import SUBTRACTED
from reports.verdict.words import Word
from verdict_tables import NAN, curve, source

PLACES = {"target": "", "states": True}


def verdict(shares, effects, half=0.02):
    return SUBTRACTED.decide(
        SUBTRACTED.find(
            source(
                curve("subtracted_share", [*shares, 0.0], half, statistic="ratio", **PLACES),
                curve("later_response", [*[-0.001] * len(shares), 0.0], 0.0001, null="other-place", **PLACES),
                curve("later_response_effect", [*effects, 0.0], 0.001, null="other-place", **PLACES),
            )
        )
    )


@pytest.mark.parametrize(
    ("shares", "effects", "word"),
    [
        ([1.0, 0.75, 0.5, 0.25], [-0.2] * 4, Word.YES),  # error correction: linear in the blocks that are left
        ([0.09, 0.08, 0.07, 0.05], [-0.01] * 4, Word.LITTLE),
        ([0.0] * 4, [0.0] * 4, Word.NO),
        ([-0.3] * 4, [0.1] * 4, Word.REVERSE),
        ([1.0, 0.75, 0.5, 0.25], [0.0] * 4, Word.SAME),  # as much from another place
        ([NAN] * 4, [0.0] * 4, Word.UNDEFINED),
    ],
)
def test_the_words(shares, effects, word):
    found = verdict(shares, effects, half=0.01 if word is Word.NO else 0.02)
    assert found.word is word
    assert len(found.curve) == 4  # the last state has nothing after it


def test_what_the_null_says():
    assert verdict([1.0, 0.5], [-0.2] * 2).null == "χ at another place −0.0007"

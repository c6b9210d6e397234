"""The word on iterative depth, and the sentence on top of the page."""

from __future__ import annotations

import pytest

from reports.verdict.depth import ITERATIVE_DEPTH
from reports.verdict.network import Network
from reports.verdict.places import Number
from reports.verdict.sentence import sentence
from reports.verdict.source import Source
from reports.verdict.words import DepthEvidence, Word, decide_depth
from verdict_tables import NAN, NO_SUMMARIES, descent


def depth(mean, lo, hi, blocks=10, untrained=None, reason=""):
    return decide_depth(DepthEvidence(Number(mean, lo, hi), blocks, untrained=untrained, reason=reason))


@pytest.mark.parametrize(("numbers", "word", "text", "naive"), [
    ((1.0, 0.9, 1.0), Word.YES, "yes, over all blocks", "yes"),
    ((0.9, 0.9, 0.9), Word.PART, "yes, over the last 9 of 10 blocks", "yes"),
    ((0.5, 0.0, 0.6), Word.OPEN, "cannot be told: 0.00 … 0.60", "yes"),  # some replicates have no onset
    ((0.0, 0.0, 0.3), Word.OPEN, "cannot be told: 0.00 … 0.30", "no"),
    ((0.0, 0.0, 0.0), Word.NO, "no", "no"),
    ((0.5, NAN, NAN), Word.FEW, "too few units", "yes"),
])  # fmt: skip
def test_words(numbers, word, text, naive):
    assert naive == ("yes" if numbers[0] > 0 else "no")
    verdict = depth(*numbers)
    assert (verdict.word, verdict.text) == (word, text)


def test_untrained_too_and_undefined():
    assert depth(0.5, 0.4, 0.6, untrained=0.3).word is Word.PART
    assert depth(0.5, 0.4, 0.6, untrained=0.4).text == "yes, but untrained too"  # naive: yes
    assert depth(NAN, NAN, NAN, reason="why").text == "not defined, because why"


def test_without_transfer():
    found = ITERATIVE_DEPTH.find(Source(descent([0.1]).table, NO_SUMMARIES))
    assert ITERATIVE_DEPTH.decide(found).text == "not defined, because its lenses were not read at other states"


SHALLOW, DEEP, NONE, OPEN = (0.4, 0.4, 0.4), (0.8, 0.7, 0.8), (0.0, 0.0, 0.0), (0.5, 0.0, 0.6)


def top(networks, told=""):
    """The sentence on networks: name -> (numbers, role)."""
    judged = {name: depth(*numbers) for name, (numbers, _) in networks.items()}
    return sentence([Network(name, "image", role) for name, (_, role) in networks.items()], judged, {"image": told})


def test_sentence():
    asked = {"gpt2": (DEEP, ""), "resnet": (SHALLOW, ""), "plain": (NONE, "")}
    first = (
        "gpt2 infers iteratively over the last 80 % of its depth (70 … 80 %), resnet over the last 40 % of its depth"
    )
    assert top(asked) == f"{first}, plain not at all."
    controls = {"built": ((0.9, 0.9, 0.9), "yes"), "not, trained": (NONE, "no")}
    assert top(controls | asked, "tells") == (
        f"{first}, plain not at all; the network built to infer iteratively, built, does over the last 90 % of its depth; "
        "the control that should not does not."
    )


def test_sentence_says_nothing_that_the_numbers_do_not():
    assert top({"a": (OPEN, "")}) == "For a it cannot be told (0 … 60 % of its depth)."  # naive: over 50 %
    assert top({"a": (NONE, ""), "b": (NONE, "")}) == "a and b do not infer iteratively."
    assert top({"a": ((0.5, NAN, NAN), "")}) == "a has too few units to tell."
    assert top({"a": ((NAN, NAN, NAN), "")}) == ""
    untold = top({"yes": (SHALLOW, "yes"), "no": (SHALLOW, "no"), "a": (DEEP, "")}, "cannot tell")
    assert untold == (
        "By the numbers alone a infers iteratively over the last 80 % of its depth (70 … 80 %), but the image controls "
        "cannot be told apart; the network built to infer iteratively, yes, does over the last 40 % of its depth; "
        "of the controls that should not, no does over the last 40 % of its depth."
    )


def test_sentence_names_few_of_many():
    many = top({f"n{k}": (SHALLOW, "") for k in range(12)})
    assert many.count("over the last 40 %") == 4 and many.endswith(", and 8 more in the table.")
    none = top({f"n{k}": (NONE, "") for k in range(12)})
    assert none == "n0, n1, n2, n3 and 8 more in the table do not infer iteratively."


def test_names_with_a_comma_stand_in_quotes():
    assert top({"a, untrained": (NONE, "")}) == "“a, untrained” does not infer iteratively."

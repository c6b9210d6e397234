"""Medians of streamed values against numpy's, and their intervals against simulation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itinf.statistics.histograms import BINS, EDGES, PER_DECADE, Histograms


def filled(values, known=None, pieces=1):
    """One histogram of (N, P) values."""
    known = np.ones(values.shape, bool) if known is None else known
    histograms = Histograms(["x"])
    for part in np.array_split(np.arange(len(values)), pieces):
        histograms.add(values[None, part], known[None, part])
    return histograms


def neighbours(values):
    """The order statistics either side of the middle, widened to the edges of their bins."""
    low, high = np.sort(values.ravel())[[(len(values) - 1) // 2, len(values) // 2]]
    return EDGES[np.searchsorted(EDGES, low, side="right") - 1], EDGES[np.searchsorted(EDGES, high, side="right")]


def same(one, two):
    for field in Histograms.FIELDS:
        np.testing.assert_array_equal(getattr(one, field), getattr(two, field))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.floats(-6, 3), st.floats(-3, 3), st.integers(0, 2**32 - 1))
def test_median_is_numpys_within_a_bin(count, size, shift, draw):
    values = 10**size * (shift + np.random.default_rng(draw).normal(size=(count, 1)))
    median = filled(values).median("x")[0]
    low, high = neighbours(values)
    assert low <= median <= high


def test_median_of_many_is_close_in_relative_terms():
    values = np.random.default_rng(0).lognormal(1, 2, size=(20_000, 1))
    # inside a bin the counts are interpolated: far better than the bin's 10 %
    assert filled(values).median("x")[0] == pytest.approx(np.median(values), rel=0.01)
    assert abs(10 ** (1 / PER_DECADE) - 1.1) < 0.01


def test_values_of_the_last_bins_and_zero():
    assert filled(np.zeros((9, 1))).median("x")[0] == pytest.approx(0, abs=1e-8)
    assert filled(np.full((9, 1), 1e9)).median("x")[0] == EDGES[-1] == 1e4
    assert filled(np.full((9, 1), -1e9)).median("x")[0] == -1e4


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 60), st.integers(1, 5), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_neither_order_nor_batches_nor_merging_change_counts(clusters, units, pieces, draw):
    random = np.random.default_rng(draw)
    values, known = random.normal(size=(clusters, units)), random.random((clusters, units)) < 0.8
    whole = filled(values, known)
    order = random.permutation(clusters)
    same(filled(values[order], known[order], pieces), whole)
    merged = filled(values[:1], known[:1])
    merged.merge(filled(values[1:], known[1:]))
    same(merged, whole)


def test_merging_refuses_other_names():
    with pytest.raises(ValueError, match="other measures"):
        Histograms(["x"]).merge(Histograms(["y"]))


def test_one_unit_per_cluster_is_the_general_case():
    """The short way for images against the same units with an unknown one beside each."""
    random = np.random.default_rng(1)
    values, known = random.normal(size=(200, 1)), random.random((200, 1)) < 0.7
    beside = np.concatenate([values, values], 1), np.concatenate([known, np.zeros_like(known)], 1)
    same(filled(values, known), filled(*beside))


def test_sums_are_what_they_are_called():
    """Three clusters of 2, 1 and 0 known units, worked out by hand."""
    values = np.array([[0.5, -0.5], [0.5, 9.0], [7.0, 7.0]])
    histograms = filled(values, np.array([[True, True], [True, False], [False, False]]))
    low, high = np.searchsorted(EDGES, [-0.5, 0.5], side="right")
    below = np.zeros(BINS)
    below[low:high], below[high:] = 1, 3
    np.testing.assert_array_equal(histograms.below[0], below)
    np.testing.assert_array_equal(histograms.square[0], np.where(below == 3, 2**2 + 1, below))
    np.testing.assert_array_equal(histograms.cross[0], np.where(below == 3, 2 * 2 + 1, 2 * below))
    assert (histograms.size[0], histograms.clusters[0]) == (2**2 + 1, 2)


def test_nothing_and_too_little():
    assert np.isnan(filled(np.zeros((3, 2)), np.zeros((3, 2), bool)).median("x")).all()
    few = filled(np.random.default_rng(0).normal(size=(7, 50))).median("x")
    assert math.isfinite(few[0]) and np.isnan(few[1:]).all()
    assert np.isfinite(filled(np.random.default_rng(0).normal(size=(8, 50))).median("x")).all()


@pytest.mark.parametrize(("clusters", "units"), [(30, 20), (200, 1)])
def test_intervals_cover_the_median(clusters, units):
    """Lognormal units, intraclass correlation 0.3; at least 93 %: a wide bin may only widen."""
    random = np.random.default_rng(2)
    repetitions = 1000  # standard error of the share: 0.7 %
    held = []
    for _ in range(repetitions):
        common = math.sqrt(0.3) * random.normal(size=(clusters, 1))
        values = np.exp(common + math.sqrt(0.7) * random.normal(size=(clusters, units)))
        known = np.arange(units) < random.integers(1, units + 1, size=(clusters, 1))
        _, lo, hi = filled(values, known).median("x")
        held.append(lo <= 1 <= hi)
    assert 0.93 <= np.mean(held) <= 0.985

"""Medians of streamed values against numpy's, and their intervals against simulation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itinf.statistics.histograms import _COARSE, BINS, FINE, HALF, LEAST, Histograms, edges, places

LEAST_VALUE = 2.0**LEAST


def filled(values, known=None, pieces=1):
    """One histogram of (N, P) values."""
    known = np.ones(values.shape, bool) if known is None else known
    histograms = Histograms(["x"])
    for part in np.array_split(np.arange(len(values)), pieces):
        histograms.add(values[None, part], known[None, part])
    return histograms


def same(one, two):
    for field in Histograms.FIELDS:
        np.testing.assert_array_equal(getattr(one, field), getattr(two, field))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.floats(-6, 3), st.floats(-3, 3), st.integers(0, 2**32 - 1))
def test_median_of_few_values_is_numpys_within_a_bin(count, size, shift, draw):
    values = 10**size * (shift + np.random.default_rng(draw).normal(size=(count, 1)))
    expected, width = np.median(values), 2.0**-FINE * np.abs(values).max() + 2 * LEAST_VALUE
    assert filled(values).median("x")[0] == pytest.approx(expected, rel=0, abs=width)


SPREADS = {
    "cosines": lambda random, n: np.tanh(0.1 + 0.15 * random.normal(size=n)),
    "l2 ratios": lambda random, n: random.lognormal(-1, 0.1, n),
    "gains": lambda random, n: random.normal(0.2, 1, n) * random.exponential(1, n),
    "far from zero": lambda random, n: 0.35 + 0.025 * random.normal(size=n),  # ten times the distance of the quartiles
}


@pytest.mark.parametrize("kind", SPREADS)
@pytest.mark.parametrize("count", [300, 2000, 2049, 9000, 40_000])
def test_medians_are_off_by_less_than_a_thousandth_of_the_quartile_distance(kind, count):
    """With 24 bins in a power of ten: up to 7e-3. The size of a histogram does not grow with the number of values."""
    for draw in range(6):
        values = SPREADS[kind](np.random.default_rng(draw), count)
        low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
        histogram = filled(values[:, None], pieces=5)
        assert abs(histogram.median("x")[0] - middle) < 1e-3 * (high - low)
        assert len(histogram.fine) <= min(count, 16_000)


def test_bins_join_as_values_grow_in_number():
    """At most 2,048 values have 2**14 bins in a power of two, twice as many have half of them, and so on to 2**7."""
    for count, bits in ((2048, 14), (2049, 13), (4096, 13), (4097, 12), (2048 * 128, 7), (2048 * 256, 7)):
        values = np.resize(1 + (np.arange(256) + 0.5) * 2.0**-FINE, count)[:, None]
        found = filled(values).fine
        assert np.diff(found).min() == 1 << FINE - bits, count


def test_values_of_the_last_bins_and_zero():
    assert filled(np.zeros((9, 1))).median("x")[0] == pytest.approx(0, abs=1e-8)
    assert filled(np.full((9, 1), 1e9)).median("x")[0] == 2**14
    assert filled(np.full((9, 1), -1e9)).median("x")[0] == -(2**14)


def test_edges_of_bins_worked_out_by_hand():
    """Bin [1, 1 + 2^-14) is number 27·2^14 + 1 on its side of zero; the bins of −x mirror those of x."""
    first = 27 * 2**14 + 1
    assert places(np.array([1.0, 1 + 2.0**-14, -1.0, 0.0, 5e-9, -5e-9])).tolist() == [first, first + 1, -first, 0, 0, 0]
    assert edges(np.array([first, first - 1, -first, 0])).tolist() == [1 + 2.0**-14, 1.0, -1.0, 2.0**-27]


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
    low, high = np.searchsorted(edges(_COARSE), -0.5, side="left"), np.searchsorted(edges(_COARSE), 0.5, side="right")
    below = np.zeros(BINS)
    below[low:high], below[high:] = 1, 3
    assert histograms.fine.tolist() == [HALF + int(place) for place in places(np.array([-0.5, 0.5]))]
    assert histograms.counts.tolist() == [1, 2]
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


def test_histograms_of_an_older_itinf_keep_their_medians():
    """24 bins in a power of ten, whose values are taken as evenly spaced: the median lies in its old bin."""
    positive = np.logspace(-8, 4, 289)
    old = np.concatenate([-positive[::-1], positive])
    values = np.random.default_rng(3).normal(0.3, 0.2, size=(400, 1))
    below = np.bincount(np.searchsorted(old, values[:, 0], side="right"), minlength=579).cumsum()[None].astype(float)
    one = np.array([400.0])
    found = Histograms.of_decades(["x"], below=below, square=below, cross=below, size=one, clusters=one)
    median, lo, hi = found.median("x")
    at = np.searchsorted(below[0], 200)
    share = (200 - below[0, at - 1]) / (below[0, at] - below[0, at - 1])
    assert median == pytest.approx(old[at - 1] + share * (old[at] - old[at - 1]), rel=1e-3)
    now = filled(values).median("x")
    assert (lo, hi) == (pytest.approx(now[1], abs=0.01), pytest.approx(now[2], abs=0.01))
    found.merge(filled(values))
    assert found.counts.sum() == 800

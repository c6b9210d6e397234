"""Weights, sums and intervals against scipy, simulation and algebra."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from itinf.statistics.bootstrap import Sums, poisson_weights
from itinf.statistics.intervals import (
    BAND_CLUSTERS,
    MIN_CLUSTERS,
    interval,
    mean_error,
    simultaneous_band,
)
from tolerance import rounding


def keys_of(count, start=0):
    return np.arange(start, start + count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)


def summed(keys, columns, seed=0, replicates=400, pieces=1):
    sums = Sums(seed, replicates)
    for part in np.array_split(np.arange(len(keys)), pieces):
        sums.add(keys[part], {name: column[part] for name, column in columns.items()})
    sums.flush()
    return sums


def ratio(sums, above="s", below="n"):
    return sums.column(above) / sums.column(below)


# weights


def test_weights_are_poisson():
    weights = poisson_weights(keys_of(400), 0, 1000)
    observed = np.bincount(np.minimum(weights.ravel(), 6), minlength=7)
    law = stats.poisson(1)
    wanted = np.r_[law.pmf(range(6)), law.sf(5)] * weights.size
    assert stats.chisquare(observed, wanted).pvalue > 1e-3
    # standard errors of mean and variance of 400,000 draws: 0.0016 and 0.0027
    assert weights.mean() == pytest.approx(1, abs=0.006)
    assert weights.var() == pytest.approx(1, abs=0.011)


def test_weights_of_clusters_and_of_replicates_are_independent():
    weights = poisson_weights(keys_of(300), 0, 300).astype(float)
    for table in (weights, weights.T):
        between = np.corrcoef(table)[~np.eye(300, dtype=bool)]
        assert abs(between.mean()) < 0.005  # a shared component would show here
        assert between.std() == pytest.approx(1 / math.sqrt(300), rel=0.05)


def test_words_are_pinned():
    """Philox's raw words do not change between versions of NumPy, nor may what is made of them."""
    words = np.random.Philox(key=np.array([7, 12345], np.uint64)).random_raw(2).tolist()
    assert words == [15408187661796186833, 5902729522824441499]
    parts = [word >> shift & 0xFFFF for word in words for shift in (0, 16, 32, 48)]
    weights = poisson_weights(np.array([0, 12345], np.uint64), 7, 8).tolist()
    assert weights == [[4, 0, 0, 2, 0, 3, 0, 0], [0, 2, 2, 2, 1, 0, 1, 0]]
    assert weights[1] == stats.poisson(1).ppf((np.array(parts) + 0.5) / 2**16).tolist()


def test_weights_belong_to_seed_key_and_replicate_alone():
    keys = keys_of(20)
    all_ = poisson_weights(keys, 3, 50)
    assert (poisson_weights(keys[[7]], 3, 50) == all_[7]).all()
    assert (poisson_weights(keys, 3, 17) == all_[:, :17]).all()
    assert (poisson_weights(keys, 4, 50) != all_).any()


# sums


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 700), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_neither_order_nor_batches_nor_merging_change_sums(count, pieces, draw):
    random = np.random.default_rng(draw)
    keys, columns = keys_of(count), {"s": random.normal(size=count), "n": random.integers(0, 5, count).astype(float)}
    whole = summed(keys, columns, replicates=13)
    order = random.permutation(count)
    shuffled = summed(keys[order], {k: c[order] for k, c in columns.items()}, replicates=13, pieces=pieces)
    merged = Sums(0, 13)
    for part in random.permutation(pieces):
        mine = np.arange(count) % pieces == part
        merged.merge(summed(keys[mine], {k: c[mine] for k, c in columns.items()}, replicates=13))
    for other in (shuffled, merged):
        assert (other.keys == np.sort(keys)).all()
        assert (other.clusters == whole.clusters).all()
        for name, values in columns.items():
            bound = rounding(np.float64, count, 2 * np.abs(values).sum())  # weights are 1 on average
            np.testing.assert_allclose(other.column(name), whole.column(name), rtol=0, atol=bound)


def test_merging_refuses_what_does_not_fit():
    column = {"s": np.ones(10)}
    sums = summed(keys_of(10), column)
    with pytest.raises(ValueError, match="3 clusters are in both"):
        sums.merge(summed(keys_of(10, 7), column))
    with pytest.raises(ValueError, match="other settings"):
        sums.merge(summed(keys_of(10, 10), column, seed=1))
    with pytest.raises(ValueError, match="other settings"):
        sums.merge(summed(keys_of(10, 10), {"t": np.ones(10)}))
    with pytest.raises(ValueError, match="other settings"):
        sums.merge(summed(keys_of(10, 10), column, replicates=100))


def test_two_networks_on_the_same_clusters_are_paired():
    random = np.random.default_rng(0)
    keys, shared = keys_of(200), random.normal(size=200)
    one, two = (summed(keys, {"s": shared + 0.05 * random.normal(size=200), "n": np.ones(200)}) for _ in range(2))
    paired = (ratio(one) - ratio(two))[1:].std()
    apart = math.hypot(ratio(one)[1:].std(), ratio(two)[1:].std())
    # the shared part has sd 1, the differences 0.05·√2: 20 times less than √2
    assert paired == pytest.approx(apart / 20, rel=0.25)


# intervals


def clustered(random, shape, clusters, sizes=(1, 40), correlation=0.3):
    """Sums (…, G) and counts of unequal clusters whose units have mean 0 and an intraclass correlation."""
    n = random.integers(*sizes, size=(*shape, clusters)).astype(float)
    common = math.sqrt(correlation) * random.normal(size=n.shape)
    return n * common + np.sqrt((1 - correlation) * n) * random.normal(size=n.shape), n


@pytest.mark.parametrize("kind", ["mean", "ratio"])
def test_percentiles_agree_with_scipy(kind):
    random = np.random.default_rng(5)
    if kind == "mean":
        s, n = clustered(random, (), 150)
    else:  # both vary, with a correlation
        n = random.gamma(4, size=150)
        s = 0.3 * n + random.gamma(2, size=150)
    replicates = 4000
    estimate = ratio(summed(keys_of(150), {"s": s, "n": n}, replicates=replicates))
    ours = np.quantile(estimate[1:], [0.025, 0.975])
    theirs = stats.bootstrap(
        (s, n), lambda a, b, axis: a.sum(axis) / b.sum(axis), paired=True, vectorized=True, method="percentile",
        n_resamples=replicates, rng=np.random.default_rng(6),
    )  # fmt: skip
    # a 2.5 % quantile of 4,000 draws has a standard error of √(.025·.975/4000)/φ(1.96) = 0.042 sd, two of
    # them differ by 0.06; Poisson weights add terms of order 1/G
    tolerance = 4 * 0.06 * theirs.standard_error
    assert ours == pytest.approx(tuple(theirs.confidence_interval), abs=tolerance)
    naive = math.sqrt(((s / n).var()) / n.sum())
    assert theirs.standard_error > 1.5 * naive or kind == "ratio"


@pytest.mark.parametrize("clusters", [20, 40])
def test_student_intervals_cover(clusters):
    """Clusters of 1 to 39 units with intraclass correlation 0.3: 93 to 97 % of intervals hold the mean."""
    repetitions = 4000  # standard error of the share: 0.34 %
    s, n = clustered(np.random.default_rng(1), (repetitions,), clusters)
    weights = poisson_weights(keys_of(clusters), 0, 400).astype(float)  # (G, B)
    plain = s.sum(1) / n.sum(1)
    estimates = np.concatenate([plain[:, None], (s @ weights) / (n @ weights)], axis=1)
    limits = np.array([interval(e, clusters) for e in estimates])
    covered = np.mean((limits[:, 0] <= 0) & (limits[:, 1] >= 0))
    assert 0.93 <= covered <= 0.97


@pytest.mark.parametrize("clusters", [20, 30])
def test_bands_cover_all_depths_at_once(clusters):
    """Twelve depths, correlated 0.8 from one to the next: joint coverage at least 90 %."""
    repetitions, depths = 600, 12  # standard error of the share: 1.2 %
    random = np.random.default_rng(2)
    steps = random.normal(size=(repetitions, depths, clusters))
    common = np.empty_like(steps)
    common[:, 0] = steps[:, 0]
    for depth in range(1, depths):
        common[:, depth] = 0.8 * common[:, depth - 1] + 0.6 * steps[:, depth]
    n = random.integers(1, 40, size=(repetitions, 1, clusters)).astype(float)
    s = n * common + np.sqrt(2 * n) * random.normal(size=common.shape)
    weights = np.concatenate([np.ones((clusters, 1)), poisson_weights(keys_of(clusters), 0, 400)], axis=1)
    n = np.broadcast_to(n, s.shape)
    roles = {
        "sum": s @ weights,
        "n": n @ weights,
        "sum2": s**2 @ weights,
        "sumn": s * n @ weights,
        "n2": n**2 @ weights,
    }
    errors = mean_error(roles, clusters)
    held = []
    for estimate, error in zip(roles["sum"] / roles["n"], errors, strict=True):
        lo, hi = simultaneous_band(estimate, error, clusters)
        held.append(bool(((lo <= 0) & (hi >= 0)).all()))
    assert 0.90 <= np.mean(held) <= 0.99


def test_linearised_errors_agree_with_the_bootstrap():
    s, n = clustered(np.random.default_rng(3), (), 400)
    sums = summed(keys_of(400), {"sum": s, "n": n, "sum2": s * s, "sumn": s * n, "n2": n * n}, replicates=2000)
    error = mean_error({name: sums.column(name) for name in sums.names}, 400)
    spread = (sums.column("sum") / sums.column("n"))[1:].std()
    assert error[0] == pytest.approx(spread, rel=0.06)  # a standard deviation of 2,000 draws: 1.6 %


def test_too_few_clusters_have_no_interval():
    estimate = np.random.default_rng(0).normal(size=101)
    assert np.isnan(interval(estimate, MIN_CLUSTERS - 1)).all()
    assert np.isfinite(interval(estimate, MIN_CLUSTERS)).all()
    errors = np.ones((3, 101))
    assert np.isnan(simultaneous_band(np.stack([estimate] * 3), errors, BAND_CLUSTERS - 1)).all()
    assert np.isfinite(simultaneous_band(np.stack([estimate] * 3), errors, BAND_CLUSTERS)).all()
    assert (MIN_CLUSTERS, BAND_CLUSTERS) == (8, 20)


def test_a_depth_without_spread_has_no_band_and_spoils_no_other():
    estimate = np.random.default_rng(0).normal(size=(2, 101))
    errors = np.ones((2, 101))
    errors[0], estimate[0] = 0, 1
    lo, hi = simultaneous_band(estimate, errors, 30)
    alone = simultaneous_band(estimate[1:], errors[1:], 30)
    assert math.isnan(lo[0]) and math.isnan(hi[0])
    assert (lo[1], hi[1]) == (alone[0][0], alone[1][0])


def test_empty_replicates_are_drawn_again():
    """With one cluster of weight every third replicate is 0/0; the others alone set the spread."""
    sums = summed(keys_of(9), {"s": np.r_[0, 3.0, np.zeros(7)], "n": np.r_[0, 1.0, np.zeros(7)]})
    with np.errstate(invalid="ignore"):
        estimate = ratio(sums)
    assert 0.25 < np.isnan(estimate).mean() < 0.5
    assert interval(estimate, 9) == (3.0, 3.0)


# pairs


@pytest.mark.parametrize("groups", [1, 4, 16])
def test_the_projection_of_pairs_agrees_with_weights_of_pairs(groups):
    """Replicates Σ w_i w_k x_ik / Σ w_i w_k n_ik written out; the neglected term is of order 1/size of a group."""
    random = np.random.default_rng(8)
    size, replicates = 32, 1500
    tilt, skew = random.normal(size=(2, groups, size))
    x = 0.5 + tilt[:, :, None] + skew[:, None, :] + random.normal(size=(groups, size, size))
    n = random.integers(1, 5, size=(groups, size, 1)) * np.ones((1, 1, size)) * (1 - np.eye(size))
    x = x * n
    keys = keys_of(groups * size)
    columns = {name: (t.sum(1) + t.sum(2)).ravel() for name, t in (("x", x), ("n", n))}
    ours = summed(keys, columns, replicates=replicates).pair_mean("x", "n")
    weights = poisson_weights(keys, 0, replicates).astype(float).reshape(groups, size, replicates)
    exact = np.einsum("gib,gkb,gik->b", weights, weights, x) / np.einsum("gib,gkb,gik->b", weights, weights, n)
    lost = rounding(np.float64, x.size, np.abs(x).sum() / n.sum())
    assert ours[0] == pytest.approx(x.sum() / n.sum(), rel=0, abs=lost)
    assert np.corrcoef(ours[1:], exact)[0, 1] > 0.96
    assert ours[1:].std() == pytest.approx(exact.std(), rel=0.08)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 700), st.lists(st.integers(1, 300), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_neither_portions_nor_reads_nor_saves_change_a_bit(count, portions, draw):
    """Blocks are counted from the first cluster; reading multiplies what waits on a copy, a file holds it."""
    random = np.random.default_rng(draw.randrange(2**32))
    keys, columns = keys_of(count), {"s": random.normal(size=count), "n": random.normal(size=count)}
    whole = summed(keys, columns, replicates=13)
    parts, start = Sums(0, 13), 0
    while start < count:
        part = slice(start, start + draw.choice(portions))
        parts.add(keys[part], {name: column[part] for name, column in columns.items()})
        start = part.stop
        if draw.random() < 0.5:
            assert parts.column("s")[0] == pytest.approx(columns["s"][: part.stop].sum(), abs=1e-9)
        if draw.random() < 0.5:
            parts = Sums.of(0, parts.names, {name: values.copy() for name, values in parts.arrays().items()})
    read = parts.column("s"), parts.column("n")
    parts.flush()
    for name, found in zip(("s", "n"), read, strict=True):
        assert np.array_equal(found, whole.column(name)) and np.array_equal(parts.column(name), found)
    for name, values in whole.arrays().items():
        assert np.array_equal(parts.arrays()[name], values)

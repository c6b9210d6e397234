"""Intervals of shares: inside 0 and 1, never of zero width, and they cover."""

import numpy as np
import pytest

from itinf.results.estimators import Mean, Share
from itinf.results.row import Row
from itinf.statistics.bootstrap import poisson_weights
from itinf.statistics.intervals import Estimated, half_width, interval, share_difference, share_interval
from test_pair_intervals import keys_of
from tiny import study


def fixed(share, replicates=50):
    return np.full(1 + replicates, share)


@pytest.mark.parametrize(
    ("events", "clusters", "expected"),
    # Clopper and Pearson: 1 − .025^(1/9); beta quantiles .025 of (1, 9) and .975 of (2, 8). Wilson: (5 of 10) by hand
    [(0, 9, (0.0, 0.33627)), (9, 9, (0.66373, 1.0)), (1, 9, (0.00281, 0.48250)), (5, 10, (0.23659, 0.76341))],
)
def test_shares_of_single_units_are_binomial(events, clusters, expected):
    found = share_interval(fixed(events / clusters), clusters, clusters, one_each=True)
    assert found == pytest.approx(expected, abs=1e-5)


def test_the_effective_number_comes_from_the_bootstrap():
    """A share of ½ with a standard error of .05 is worth 100 units: Wilson's interval of 50 of 100, with Student's t."""
    estimate = np.r_[0.5, np.tile([0.45, 0.55], 500)]
    spread = estimate[1:].std(ddof=1)
    n, t = 0.25 / spread**2, 2.04523  # 29 degrees of freedom
    half = t / (1 + t**2 / n) * np.sqrt(0.25 / n + t**2 / (4 * n**2))
    assert share_interval(estimate, 30, 10_000) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-5)
    assert share_interval(fixed(0.5), 30, 400)[1] < 0.56  # no more than all units


@pytest.mark.parametrize("clusters", [8, 9, 24])
def test_at_the_ends_a_cluster_counts_once(clusters):
    """However many units: clusters · 1,000 units that never descend say what as many images would."""
    lo, hi = share_interval(fixed(0.0), clusters, clusters * 1000)
    assert lo == 0 and hi == pytest.approx(1 - 0.025 ** (1 / clusters))
    assert share_interval(fixed(1.0), clusters, clusters * 1000) == pytest.approx((1 - hi, 1))
    assert np.isnan(share_interval(fixed(0.0), 7, 7000)).all()


def test_which_rows_are_shares_is_known_from_the_estimator():
    entries = study("token").stages["observed"].entries
    assert {row.measure for row, e in entries.items() if e.share} == {"descent_share", "accuracy", "finite_same_sign"}
    assert {row.null for row, e in entries.items() if e.share} == {"observed", "pairing", "same-target"}
    assert issubclass(Share, Mean) and isinstance(next(iter(entries)), Row)
    rows = study("token").table
    shares = rows[rows.measure.isin(["descent_share", "accuracy"]) & (rows.null != "untrained")]
    assert (shares.lo >= 0).all() and (shares.hi <= 1).all() and (shares.lo < shares.hi).all()
    assert (shares.band_lo.dropna() >= 0).all() and (shares.band_hi.dropna() <= 1).all()
    effects = rows[rows.measure == "descent_share_effect"]
    assert len(effects) and (effects.lo < effects.hi).all() and effects.lo.min() >= -1 and effects.hi.max() <= 1


def test_the_difference_of_shares_at_the_ends():
    """All of 20 against none of 20: Newcombe's squared and added Clopper–Pearson limits. In the middle: Student's."""
    low = 0.025 ** (1 / 20)
    one, none = (Estimated(fixed(x), *share_interval(fixed(x), 20, 20, one_each=True)) for x in (1.0, 0.0))
    lo, hi = share_difference(one, none, fixed(1.0), 20)
    assert (lo, hi) == (pytest.approx(1 - np.hypot(1 - low, 1 - low)), 1.0)
    lo, hi = share_difference(one, one, fixed(0.0), 20)
    assert (lo, hi) == (pytest.approx(low - 1), pytest.approx(1 - low))
    random = np.random.default_rng(0)
    a, b = (np.r_[0.5, random.normal(0.5, 0.02, 400)] for _ in range(2))
    each = [Estimated(x, *share_interval(x, 500, 100_000)) for x in (a, b)]
    assert share_difference(*each, a - b, 500) == pytest.approx(interval(a - b, 500), abs=1e-3)
    assert half_width(a - b, 500) > 0.05


def coverage(share, clusters, units, correlation, repetitions, seed=1):
    """How often intervals hold the share: clusters of 1 … units units, beta-binomial with an intraclass correlation."""
    random = np.random.default_rng(seed)
    weights = poisson_weights(keys_of(clusters), 0, 400).astype(float)
    n = (
        random.integers(1, units + 1, size=(repetitions, clusters))
        if units > 1
        else np.ones((repetitions, clusters), int)
    )
    own = np.full(n.shape, share)
    if units > 1 and 0 < share < 1:
        scale = (1 - correlation) / correlation
        own = random.beta(share * scale, (1 - share) * scale, size=n.shape)
    held = 0
    for s, m in zip(random.binomial(n, own).astype(float), n.astype(float), strict=True):
        with np.errstate(invalid="ignore"):
            estimate = np.r_[s.sum() / m.sum(), (s @ weights) / (m @ weights)]
        lo, hi = share_interval(estimate, clusters, int(m.sum()), one_each=units == 1)
        assert 0 <= lo < hi <= 1
        held += lo <= share + 1e-12 and share - 1e-12 <= hi
    return held / repetitions


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.5, 0.9, 1.0])
def test_intervals_of_shares_cover(share):
    """300 studies of 24 images: 95 % (standard error 1.3 %); more where there are few events, which are exact bounds."""
    assert 0.91 <= coverage(share, 24, 1, 0.0, 300) <= (1 if share in (0, 0.01, 1) else 0.99)


@pytest.mark.simulation
@pytest.mark.parametrize("clusters", [9, 24, 60, 256])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.5, 0.9, 1.0])
def test_intervals_of_shares_cover_93_to_97_percent(share, clusters):
    """2,000 studies (standard error 0.5 %). At 0 and 1, and with hardly an event, no interval covers less than all.

    With several units in a cluster and a share of 1 %, a handful of clusters holds all events; their variance is then
    itself uncertain, and 91 % are covered at least.
    """
    rare = share * clusters < 2.5 or (1 - share) * clusters < 2.5
    assert 0.925 <= coverage(share, clusters, 1, 0.0, 2000) <= (1 if rare else 0.975)
    several = coverage(share, clusters, 20, 0.2, 2000)
    assert (0.905 if share == 0.01 else 0.92) <= several <= (1 if rare else 0.975)

"""Intervals from bootstrap replicates: Student intervals, intervals of shares, simultaneous bands, standard errors.

An *estimate* is a float64 array of 1 + B numbers: the plain value, then the value of every replicate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.special import betaincinv, ndtri, stdtrit

from .bootstrap import Array

MIN_CLUSTERS = 8
"""With fewer clusters there is no interval."""
FEW_CLUSTERS = 30
"""With fewer clusters, intervals come with a warning."""
BAND_CLUSTERS = 20
"""With fewer clusters there is no simultaneous band."""
FEW_EVENTS = {"one unit": 2.5, "several": 10.0}
"""A share within so many effective events of 0 or 1 has an exact interval. With several units in a cluster, the effective
number is itself uncertain, so there are more."""
LEAST_KEPT = 0.2
"""The least part of the bootstrap variance that is kept when what it counts twice is left out."""


def interval(estimate: Array, clusters: int, level: float = 0.95, twice: float = 0.0) -> tuple[float, float]:
    """Student interval: estimate ± t_{G−1} × standard error.

    Args:
        estimate: (1 + B,).
        clusters: G, the number of clusters that contribute.
        level: coverage.
        twice: the variance that the replicates count twice, see ``itinf.statistics.twice``.

    Returns:
        (lo, hi); NaN under ``MIN_CLUSTERS`` clusters.
    """
    half = half_width(estimate, clusters, level, twice)
    return float(estimate[0]) - half, float(estimate[0]) + half


def half_width(estimate: Array, clusters: int, level: float = 0.95, twice: float = 0.0) -> float:
    """Half of the Student interval; arguments as for ``interval``."""
    if clusters < MIN_CLUSTERS or not math.isfinite(estimate[0]):
        return math.nan
    return float(stdtrit(clusters - 1, (1 + level) / 2) * math.sqrt(_variance(estimate, clusters, twice)))


def _variance(estimate: Array, clusters: int, twice: float) -> float:
    """Bootstrap variance of an estimate, without what it counts twice; NaN without replicates."""
    spread = _finite(estimate[1:])
    if len(spread) < 2:
        return math.nan
    variance = float(spread.var(ddof=1))
    if twice == 0:
        return variance
    # The difference of two large numbers is noisy with few clusters, so a part of the first is always kept. Residuals
    # from the estimated mean are too small by 1/G each, and every dyad depends on about two others.
    return max(variance - twice, LEAST_KEPT * variance) * clusters / (clusters - 3)


def share_interval(
    estimate: Array, clusters: int, units: int, level: float = 0.95, twice: float = 0.0, one_each: bool = False
) -> tuple[float, float]:
    """Interval of a share, inside [0, 1] and never of zero width.

    Wilson's score interval; where the share is within ``FEW_EVENTS`` events of 0 or 1, the exact interval of Clopper and
    Pearson, which is conservative. The effective number of units is that whose binomial variance is the bootstrap's:
    units of one cluster depend on each other. At exactly 0 or 1 the bootstrap has no variance, and the effective number
    is the number of clusters: one cluster cannot tell more than one unit of it.

    Args:
        estimate: (1 + B,).
        clusters: G, the number of clusters that contribute.
        units: how many units (or pairs) contribute; the effective number is not larger.
        level: coverage.
        twice: the variance that the replicates count twice, see ``itinf.statistics.twice``.
        one_each: every cluster has one unit. Then the number of events is binomial with G units.

    Returns:
        (lo, hi); NaN under ``MIN_CLUSTERS`` clusters.

    Source: Korn and Graubard 1998, Survey Methodology 24:193.
    """
    share = float(estimate[0])
    if clusters < MIN_CLUSTERS or not math.isfinite(share):
        return math.nan, math.nan
    share = min(max(share, 0.0), 1.0)
    normal = float(ndtri((1 + level) / 2))
    size, quantile = float(clusters), normal
    variance = 0.0 if one_each else _variance(estimate, clusters, twice)
    if not one_each and 0 < share < 1:
        size = min(share * (1 - share) / variance, units) if variance > 0 else float(units)
        quantile = float(stdtrit(clusters - 1, (1 + level) / 2))  # the variance is estimated, too
    events = size * share
    if min(events, size - events) <= FEW_EVENTS["one unit" if one_each else "several"]:
        return _clopper_pearson(share, size * (normal / quantile) ** 2, level)
    middle = (share + quantile**2 / (2 * size)) / (1 + quantile**2 / size)
    half = math.sqrt(share * (1 - share) / size + (quantile / (2 * size)) ** 2) * quantile / (1 + quantile**2 / size)
    return middle - half, middle + half


def _clopper_pearson(share: float, size: float, level: float) -> tuple[float, float]:
    events, tail = size * share, (1 - level) / 2
    lo = 0.0 if share <= 0 else float(betaincinv(events, size - events + 1, tail))
    hi = 1.0 if share >= 1 else float(betaincinv(events + 1, size - events, 1 - tail))
    return min(lo, share), max(hi, share)


class Estimated(NamedTuple):
    """An estimate (1 + B,) with its interval, and the variance that its replicates count twice."""

    estimate: Array
    lo: float
    hi: float
    twice: float = 0.0


def share_difference(
    first: Estimated, second: Estimated, gap: Array, clusters: int, twice: float = 0.0
) -> tuple[float, float]:
    """Interval of the difference of two shares, inside [−1, 1].

    The Student interval of the paired difference, squared and added (Newcombe 1998, Statistics in Medicine 17:873) to
    what the interval of either share has beyond its own Student interval. That is next to nothing in the middle, and
    all of it at 0 or 1, where the replicates of a share do not differ.

    Args:
        first, second: the shares.
        gap: (1 + B,) first − second.
        clusters: G.
        twice: the variance that the replicates of ``gap`` count twice.
    """
    half = half_width(gap, clusters, twice=twice)
    below = above = half**2
    for share, sign in ((first, 1), (second, -1)):
        own = half_width(share.estimate, clusters, twice=share.twice) ** 2
        beyond = [max((limit - share.estimate[0]) ** 2 - own, 0.0) for limit in (share.lo, share.hi)[::sign]]
        below, above = below + beyond[0], above + beyond[1]
    return max(float(gap[0]) - math.sqrt(below), -1.0), min(float(gap[0]) + math.sqrt(above), 1.0)


def simultaneous_band(estimates: Array, errors: Array, clusters: int, level: float = 0.95) -> tuple[Array, Array]:
    """Simultaneous band over all depths: max-t, where each replicate is divided by its own standard error.

    Args:
        estimates: (L, 1 + B).
        errors: (L, 1 + B), standard errors of the estimates, plain and within each replicate.
        clusters: G.
        level: joint coverage.

    Returns:
        lo, hi, each (L,); NaN under ``BAND_CLUSTERS`` clusters or at depths without error.
    """
    nothing = np.full(len(estimates), math.nan)
    moving = (errors[:, 0] > 0) & np.isfinite(estimates[:, 0])
    if clusters < BAND_CLUSTERS or not moving.any():
        return nothing, nothing
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(estimates[moving, 1:] - estimates[moving, :1]) / errors[moving, 1:]
    worst = _finite(np.where(np.isfinite(t), t, -1.0).max(0))
    half = np.quantile(worst, level) * errors[:, 0]
    return np.where(moving, estimates[:, 0] - half, nothing), np.where(moving, estimates[:, 0] + half, nothing)


def replicate_band(estimates: Array, clusters: int, level: float = 0.95) -> Array:
    """Half-widths (K,) of a simultaneous band over K curves' points, from the spread of their replicates: max-t.

    Args:
        estimates: (K, 1 + B); points without a finite value have no band.
        clusters: G.
        level: joint coverage.

    Returns:
        (K,); NaN under ``MIN_CLUSTERS`` clusters, and for points without a value.
    """
    with np.errstate(all="ignore"):
        spread = np.array([_finite(one[1:]).std(ddof=1) if np.isfinite(one).sum() > 2 else np.nan for one in estimates])
        spread[~(spread > 0) | ~np.isfinite(estimates[:, 0])] = np.nan
        moved = np.abs(estimates[:, 1:] - estimates[:, :1]) / spread[:, None]
    worst = np.where(np.isfinite(moved), moved, -1.0).max(0, initial=-1.0)
    worst = worst[worst >= 0]
    if clusters < MIN_CLUSTERS or not len(worst):
        return np.full(len(estimates), math.nan)
    # Student's quantile in place of the normal one, as in ``interval``: spreads are estimated from few clusters
    wider = stdtrit(clusters - 1, (1 + level) / 2) / ndtri((1 + level) / 2)
    return np.asarray(np.quantile(worst, level) * wider * spread)


def mean_error(sums: Mapping[str, Array], clusters: int) -> Array:
    """Linearised standard error (1 + B,) of a ratio of sums Σs/Σn over clusters, plain and within each replicate.

    Args:
        sums: estimates (1 + B,) of ``sum`` = Σs, ``n`` = Σn, ``sum2`` = Σs², ``sumn`` = Σsn, ``n2`` = Σn².
        clusters: G.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = sums["sum"] / sums["n"]
        square = sums["sum2"] - 2 * mean * sums["sumn"] + mean**2 * sums["n2"]
        return np.sqrt(np.maximum(square, 0) * clusters / max(clusters - 1, 1)) / sums["n"]


def _finite(values: Array) -> Array:
    # A replicate without clusters has no value. Leaving it out is the same as drawing it again.
    return values[np.isfinite(values)]

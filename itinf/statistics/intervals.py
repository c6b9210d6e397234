"""Intervals from bootstrap replicates: Student and percentile intervals, simultaneous bands, standard errors.

An *estimate* is a float64 array of 1 + B numbers: the plain value, then the value of every replicate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from scipy import stats

from .bootstrap import Array

MIN_CLUSTERS = 8
"""With fewer clusters there is no interval."""
FEW_CLUSTERS = 30
"""With fewer clusters, intervals come with a warning."""
BAND_CLUSTERS = 20
"""With fewer clusters there is no simultaneous band."""


def interval(estimate: Array, clusters: int, level: float = 0.95) -> tuple[float, float]:
    """Student interval: estimate ± t_{G−1} × bootstrap standard error.

    Args:
        estimate: (1 + B,).
        clusters: G, the number of clusters that contribute.
        level: coverage.

    Returns:
        (lo, hi); NaN under ``MIN_CLUSTERS`` clusters.
    """
    spread = _finite(estimate[1:])
    if clusters < MIN_CLUSTERS or len(spread) < 2 or not math.isfinite(estimate[0]):
        return math.nan, math.nan
    half = float(stats.t.ppf((1 + level) / 2, clusters - 1) * spread.std(ddof=1))
    return float(estimate[0]) - half, float(estimate[0]) + half


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

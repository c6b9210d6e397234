"""Statistics whose unit is the trained network: means over copies of one network, and differences of two such means.

The numbers of several copies stand in an array (R, n): R numbers of n networks. The spread over networks contains the
noise within each of them (which images were measured), so that nothing has to be added to it.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from .bootstrap import Array

MOST_DIVISIONS = 10_000
"""A permutation test that could divide the networks in more ways draws so many of them at random."""
ROUNDING = 1e-9
"""Two divisions whose differences are equal but for this share count as equal."""


class OverNetworks(NamedTuple):
    """Means or differences, each (R,), with 95 % intervals; NaN where there is none."""

    mean: Array
    lo: Array
    hi: Array


def mean_over_networks(values: Array, level: float = 0.95) -> OverNetworks:
    """Means over networks, with Student intervals of n − 1 degrees of freedom.

    Args:
        values: (R, n); NaN where a network lacks a number: then there is no mean.
        level: coverage.

    Returns:
        No interval of one network, nor of networks whose numbers are all equal.
    """
    mean, variance = values.mean(1), _variance(values)
    return _interval(mean, variance, np.full(len(values), values.shape[1] - 1.0), level)


def difference_over_networks(first: Array, second: Array, level: float = 0.95) -> OverNetworks:
    """The mean over some networks minus the mean over others, with Welch's interval.

    Args:
        first, second: (R, n) and (R, m).
        level: coverage.

    Returns:
        No interval if there is only one network on a side, or if none differs from the others of its side.

    Source: Welch 1947, Biometrika 34:28.
    """
    a, b = _variance(first), _variance(second)
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = (a + b) ** 2 / (a**2 / (first.shape[1] - 1) + b**2 / (second.shape[1] - 1))
    return _interval(first.mean(1) - second.mean(1), a + b, freedom, level)


def permutation_p(first: Array, second: Array) -> tuple[Array, float]:
    """The exact permutation test of a difference of means, two-sided: all ways to divide the networks into two sides.

    Args:
        first, second: (R, n) and (R, m).

    Returns:
        p (R,): the share of divisions whose difference is at least as large, in either direction. And the least p that
        there can be: 0.1 for 3 and 3 networks.
    """
    together, size = np.concatenate([first, second], 1), first.shape[1]
    weights, exact = _divisions(together.shape[1], size)
    p = np.full(len(together), math.nan)
    for start in range(0, len(together), 512):
        rows = together[start : start + 512]
        apart = np.abs((rows - rows.mean(1, keepdims=True)) @ weights.T)
        reached = apart >= apart[:, :1] * (1 - ROUNDING)
        p[start : start + 512] = np.where(np.isfinite(apart[:, 0]), reached.mean(1), math.nan)
    mirrored = exact and 2 * size == together.shape[1]  # exchanging two sides of one size is another division
    return p, (1 + mirrored) / len(weights)


def _divisions(total: int, size: int) -> tuple[Array, bool]:
    """Weights (divisions, total) of the difference of means, the observed division first; and whether these are all."""
    exact = math.comb(total, size) <= MOST_DIVISIONS
    if exact:
        chosen = np.array(list(combinations(range(total), size)))
    else:
        drawn = np.random.default_rng(0).random((MOST_DIVISIONS - 1, total)).argsort(1)[:, :size]
        chosen = np.concatenate([np.arange(size)[None], drawn])
    weights = np.full((len(chosen), total), -1.0 / (total - size))
    np.put_along_axis(weights, chosen, 1.0 / size, 1)
    return weights, exact


def _variance(values: Array) -> Array:
    """Variance (R,) of the mean over networks; NaN of one network, exactly 0 where all are equal."""
    count = values.shape[1]
    if count == 1:
        return np.full(len(values), math.nan)
    return np.where(np.ptp(values, 1) == 0, 0.0, values.var(1, ddof=1) / count)


def _interval(mean: Array, variance: Array, freedom: Array, level: float) -> OverNetworks:
    with np.errstate(invalid="ignore"):
        half = stdtrit(freedom, (1 + level) / 2) * np.sqrt(variance)
    half = np.where(variance > 0, half, math.nan)
    return OverNetworks(mean, mean - half, mean + half)

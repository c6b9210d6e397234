"""Medians of streamed values, from histograms, with intervals over clusters.

The histograms count values in fixed bins, log-spaced on both sides of zero. The interval is Woodruff's (1952, J. Am.
Stat. Assoc. 47:635): the interval of the distribution function at the median is turned into an interval of values.
The error of the distribution function over clusters needs only sums, so histograms can be merged like sums.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from .bootstrap import Array
from .intervals import MIN_CLUSTERS

PER_DECADE = 24
_positive = np.logspace(-8, 4, 12 * PER_DECADE + 1)
EDGES: Array = np.concatenate([-_positive[::-1], _positive])
"""Bins are [EDGES[k], EDGES[k + 1]). The middle bin, ±1e-8, contains zero. The first and last bins are open."""
BINS = len(EDGES) + 1


class Histograms:
    """Named histograms: cumulative counts, and the sums that their error over clusters needs.

    Attributes:
        below: (H, BINS) Σ_c m_c; m_c is the number of units of cluster c in this bin or a lower one.
        square: (H, BINS) Σ_c m_c²; ``cross``: Σ_c m_c·n_c; ``size``: (H,) Σ_c n_c²; ``clusters``: (H,).
    """

    FIELDS = ("below", "square", "cross", "size", "clusters")

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self.index = {name: k for k, name in enumerate(names)}
        h = len(names)
        self.below, self.square, self.cross = (np.zeros((h, BINS)) for _ in range(3))
        self.size, self.clusters = np.zeros(h), np.zeros(h)

    def add(self, values: Array, known: NDArray[np.bool_]) -> None:
        """Adds clusters.

        Args:
            values: (H, N, P): for every name, the values of N clusters of P units.
            known: (H, N, P) bool, False where a unit has no value.
        """
        h, n, units = values.shape
        place = np.searchsorted(EDGES, values, side="right")
        if units == 1:  # m_c is 0 or 1, so every sum equals the count
            flat = (np.arange(h)[:, None] * BINS + place[:, :, 0])[known[:, :, 0]]
            below = np.bincount(flat, minlength=h * BINS).reshape(h, BINS).cumsum(1).astype(np.float64)
            for field in ("below", "square", "cross"):
                getattr(self, field).__iadd__(below)
            self.size += below[:, -1]
            self.clusters += below[:, -1]
            return
        row = np.arange(h * n).reshape(h, n, 1)
        flat = (row * BINS + place)[known]
        count = np.bincount(flat, minlength=h * n * BINS).reshape(h, n, BINS).astype(np.float64)
        below = count.cumsum(2)
        total = below[:, :, -1:]
        self.below += below.sum(1)
        self.square += np.einsum("hnb,hnb->hb", below, below)
        self.cross += np.einsum("hnb,hn->hb", below, total[:, :, 0])
        self.size += (total**2).sum((1, 2))
        self.clusters += (total > 0).sum((1, 2))

    def merge(self, other: Histograms) -> None:
        if self.names != other.names:
            raise ValueError("they hold other measures")
        for field in self.FIELDS:
            getattr(self, field).__iadd__(getattr(other, field))

    def median(self, name: str, level: float = 0.95) -> tuple[float, float, float]:
        """(median, lo, hi); all NaN without values, NaN interval under ``MIN_CLUSTERS`` clusters."""
        k = self.index[name]
        total, clusters = self.below[k, -1], int(self.clusters[k])
        if total == 0:
            return math.nan, math.nan, math.nan
        share = self.below[k] / total
        middle = self._quantile(share, 0.5)
        if clusters < MIN_CLUSTERS:
            return middle, math.nan, math.nan
        variance = self.square[k] - 2 * share * self.cross[k] + share**2 * self.size[k]
        error = np.sqrt(np.maximum(variance, 0) * clusters / (clusters - 1)) / total
        at = min(int(np.searchsorted(share, 0.5)), BINS - 1)
        # the bin of the median can be wide compared with the error: take the larger error of its two edges
        spread = max(error[at], error[max(at - 1, 0)]) * stats.t.ppf((1 + level) / 2, clusters - 1)
        return middle, self._quantile(share, max(0.5 - spread, 0.0)), self._quantile(share, min(0.5 + spread, 1.0))

    @staticmethod
    def _quantile(share: Array, q: float) -> float:
        at = int(np.searchsorted(share, q))
        if at == 0 or at >= BINS - 1:
            return float(EDGES[0] if at == 0 else EDGES[-1])
        low, high = share[at - 1], share[at]
        within = (q - low) / (high - low) if high > low else 0.5
        return float(EDGES[at - 1] + within * (EDGES[at] - EDGES[at - 1]))

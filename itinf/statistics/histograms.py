"""Medians of streamed values, from histograms, with intervals over clusters.

Bins divide every power of two into equal parts, on both sides of zero: a bin is as wide in proportion for a cosine of
0.01 as for a gain of 10. Counts are in *fine* bins, of which only those with values are stored. The more values there
are, the wider the fine bins may be: the median is interpolated inside its bin, and its error falls with the root of
the counts of the bin. So a histogram of few values is nearly the values themselves, and one of many stays small; and
since wider bins are made of whole narrower ones, counts depend neither on order nor on batches.

The interval is Woodruff's (1952, J. Am. Stat. Assoc. 47:635): the interval of the distribution function at the median
is turned into an interval of values. The error of the distribution function over clusters needs only sums; they are
kept at the edges of a few *coarse* bins. Histograms can be merged like sums.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from .bootstrap import Array
from .intervals import MIN_CLUSTERS

LEAST, MOST = -27, 14
"""Exponents of two between which values are distinguished: from 7e-9 to 16384."""
FINE, WIDEST, COARSE = 14, 7, 3
"""A power of two has 2**FINE fine bins, at least 2**WIDEST of them with many values, and 2**COARSE coarse bins."""
FEW_VALUES = 2048
"""With more values, the fine bins are twice as wide each time the number of values doubles."""
HALF = (MOST - LEAST) << FINE
"""Fine bins on one side of zero; bin 0 contains zero, and the first and last bins are open."""


def places(values: Array) -> NDArray[np.int64]:
    """The fine bin of each value, from −HALF to HALF."""
    bits = np.abs(np.clip(values, -np.ldexp(1.0, MOST), np.ldexp(1.0, MOST))).astype(np.float64).view(np.int64)
    size = (bits - _LEAST_BITS >> 52 - FINE) + 1
    return np.where(values < 0, -1, 1) * np.clip(size, 0, HALF)


def edges(place: NDArray[np.int64]) -> Array:
    """The upper edges of fine bins; the lower edge of a bin is the upper edge of the bin before."""
    size = np.where(place >= 0, place, -place - 1)
    return np.where(place >= 0, 1, -1) * ((size << 52 - FINE) + _LEAST_BITS).view(np.float64)


_LEAST_BITS = int(np.float64(np.ldexp(1.0, LEAST)).view(np.int64))
_SPAN = 2 * HALF + 1
_COARSE: NDArray[np.int64] = np.concatenate(
    [-np.arange(0, HALF, 1 << FINE - COARSE)[::-1] - 1, np.arange(0, HALF + 1, 1 << FINE - COARSE)]
)
"""The last fine bin of every coarse bin."""
BINS = len(_COARSE)
OLDER_BINS = 579
"""Number of bins of an older itinf, see ``Histograms.of_decades``."""


class Histograms:
    """Named histograms: counts in fine bins, and the sums in coarse bins that their error over clusters needs.

    Attributes:
        fine: (F,) int64 h·(2·HALF + 1) + HALF + bin of each fine bin of histogram h that has values, sorted. Where bins
            are wider, the bin nearest to zero stands for all that it is joined with.
        counts: (F,) int32 their numbers of units.
        square: (H, BINS) Σ_c m_c²; m_c is the number of units of cluster c in this coarse bin or a lower one.
        cross: (H, BINS) Σ_c m_c·n_c; ``size``: (H,) Σ_c n_c²; ``clusters``: (H,).
    """

    SUMS = ("square", "cross", "size", "clusters")
    FIELDS = ("fine", "counts", *SUMS)

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self.index = {name: k for k, name in enumerate(names)}
        h = len(names)
        self.fine, self.counts = np.zeros(0, np.int64), np.zeros(0, np.int32)
        self.square, self.cross = (np.zeros((h, BINS)) for _ in range(2))
        self.size, self.clusters = np.zeros(h), np.zeros(h)

    def add(self, values: Array, known: NDArray[np.bool_]) -> None:
        """Adds clusters.

        Args:
            values: (H, N, P): for every name, the values of N clusters of P units.
            known: (H, N, P) bool, False where a unit has no value.
        """
        h, n, units = values.shape
        place = places(np.where(known, values, 0.0))
        self.add_counts((np.arange(h)[:, None, None] * _SPAN + HALF + place)[known])
        coarse = np.searchsorted(_COARSE, place, side="left")
        if units == 1:  # m_c is 0 or 1, so every sum equals the count
            flat = (np.arange(h)[:, None] * BINS + coarse[:, :, 0])[known[:, :, 0]]
            below = np.bincount(flat, minlength=h * BINS).reshape(h, BINS).cumsum(1).astype(np.float64)
            self.square += below
            self.cross += below
            self.size += below[:, -1]
            self.clusters += below[:, -1]
            return
        row = np.arange(h * n).reshape(h, n, 1)
        flat = (row * BINS + coarse)[known]
        count = np.bincount(flat, minlength=h * n * BINS).reshape(h, n, BINS).astype(np.float64)
        below = count.cumsum(2)
        total = below[:, :, -1:]
        self.square += np.einsum("hnb,hnb->hb", below, below)
        self.cross += np.einsum("hnb,hn->hb", below, total[:, :, 0])
        self.size += (total**2).sum((1, 2))
        self.clusters += (total > 0).sum((1, 2))

    def add_counts(self, fine: NDArray[np.int64], counts: NDArray[np.int32] | None = None) -> None:
        """Adds units in fine bins, numbered as in ``fine``; ``counts`` are their numbers, by default one each.

        Afterwards the bins are as wide as the number of values allows.
        """
        counts = np.ones(len(fine), np.int32) if counts is None else counts
        fine, counts = np.concatenate([self.fine, fine]), np.concatenate([self.counts, counts])
        number, place = np.divmod(fine, _SPAN)
        total = np.bincount(number, weights=counts, minlength=len(self.names)).astype(np.int64)
        doublings = np.ceil(np.log2(np.maximum(total / FEW_VALUES, 1))).astype(np.int64)
        shift = np.minimum(doublings, FINE - WIDEST)[number]
        side = place - HALF
        joined = np.sign(side) * (((np.abs(side) - 1 >> shift) << shift) + 1)
        self.fine, inverse = np.unique(number * _SPAN + HALF + joined, return_inverse=True)
        self.counts = np.bincount(inverse, weights=counts, minlength=len(self.fine)).astype(np.int32)

    def recount(self, fine: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        """Replaces the counts in fine bins; a bin may occur several times."""
        self.fine, self.counts = np.zeros(0, np.int64), np.zeros(0, np.int32)
        self.add_counts(fine, counts.astype(np.int32))

    def merge(self, other: Histograms) -> None:
        if self.names != other.names:
            raise ValueError("they hold other measures")
        self.add_counts(other.fine, other.counts)
        for field in self.SUMS:
            getattr(self, field).__iadd__(getattr(other, field))

    @classmethod
    def of_decades(cls, names: list[str], below: Array, square: Array, cross: Array, **sums: Array) -> Histograms:
        """Histograms of an older itinf, which had 24 bins in every power of ten and none that were finer.

        The values of such a bin are taken as evenly spaced, so medians and intervals stay what they were.

        Args:
            names: names of the histograms.
            below: (H, OLDER_BINS) numbers of units in this bin or a lower one; square, cross: as in the class.
            **sums: ``size`` and ``clusters``.
        """
        found = cls(names)
        positive = np.logspace(-8, 4, 12 * 24 + 1)
        old = np.concatenate([-positive[::-1], positive])
        lower, upper = np.r_[old[0], old], np.r_[old, old[-1]]
        for k, counts in enumerate(np.diff(below, axis=1, prepend=0).astype(np.int64)):
            rank = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts) + 0.5
            within = rank / np.repeat(counts, counts)
            values = np.repeat(lower, counts) + within * np.repeat(upper - lower, counts)
            found.add_counts(k * _SPAN + HALF + places(values))
            found.square[k], found.cross[k] = (
                np.interp(edges(_COARSE), old, x[k, :-1], 0, x[k, -1]) for x in (square, cross)
            )
        found.size, found.clusters = sums["size"].copy(), sums["clusters"].copy()
        return found

    def median(self, name: str, level: float = 0.95) -> tuple[float, float, float]:
        """(median, lo, hi); all NaN without values, NaN interval under ``MIN_CLUSTERS`` clusters."""
        k = self.index[name]
        of_name = slice(*np.searchsorted(self.fine, [k * _SPAN, (k + 1) * _SPAN]))
        place, counts = self.fine[of_name] - k * _SPAN - HALF, self.counts[of_name]
        total, clusters = int(counts.sum()), int(self.clusters[k])
        if total == 0:
            return math.nan, math.nan, math.nan
        below = counts.cumsum()
        middle = (_ranked(place, below, (total + 1) // 2) + _ranked(place, below, total // 2 + 1)) / 2
        if clusters < MIN_CLUSTERS:
            return middle, math.nan, math.nan
        share = np.r_[0, below][np.searchsorted(place, _COARSE, side="right")] / total
        variance = self.square[k] - 2 * share * self.cross[k] + share**2 * self.size[k]
        error = np.sqrt(np.maximum(variance, 0) * clusters / (clusters - 1)) / total
        at = min(int(np.searchsorted(share, 0.5)), BINS - 1)
        # the coarse bin of the median can be wide compared with the error: take the larger error of its two edges
        spread = max(error[at], error[max(at - 1, 0)]) * stdtrit(clusters - 1, (1 + level) / 2)
        lo, hi = (_ranked(place, below, (0.5 + sign * min(spread, 0.5)) * total + 0.5) for sign in (-1, 1))
        return middle, min(lo, middle), max(hi, middle)


def _ranked(place: NDArray[np.int64], below: NDArray[np.int64], rank: float) -> float:
    """The value with a rank from 1; the values of a fine bin are taken as evenly spaced.

    Args:
        place: (F,) fine bins of a histogram; below: (F,) numbers of values up to each bin.
        rank: between two values, the value is interpolated.
    """
    total = int(below[-1])
    at = min(int(np.searchsorted(below, min(rank, total))), len(place) - 1)
    if abs(place[at]) == HALF:
        return math.copysign(math.ldexp(1.0, MOST), place[at])
    low, high = _bounds(int(place[at]), total)
    before = int(below[at - 1]) if at else 0
    within = (rank - before - 0.5) / (int(below[at]) - before)
    return low + min(max(within, 0.0), 1.0) * (high - low)


def _bounds(place: int, total: int) -> tuple[float, float]:
    """The edges of a fine bin, which is as wide as the number of values allows."""
    shift = 0 if total <= FEW_VALUES else min(math.ceil(math.log2(total / FEW_VALUES)), FINE - WIDEST)
    if place == 0:
        return -math.ldexp(1.0, LEAST), math.ldexp(1.0, LEAST)
    inner, outer = (float(edges(np.array(abs(place) + step))) for step in (-1, (1 << shift) - 1))
    return (inner, outer) if place > 0 else (-outer, -inner)

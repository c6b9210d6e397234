"""placeholder"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]


BLOCK = 256
"""Clusters multiplied by their weights at once."""


# word -> weight: the inverse of the Poisson(1) distribution function on 16-bit words
_POISSON = np.searchsorted(stats.poisson(1).cdf(np.arange(12)), (np.arange(2**16) + 0.5) / 2**16).astype(np.uint8)


def poisson_weights(keys: NDArray[np.uint64], seed: int, replicates: int) -> NDArray[np.uint8]:
    """Bootstrap weights of clusters.

    Args:
        keys: (N,) uint64 cluster keys.
        seed: of the bootstrap.
        replicates: B.

    Returns:
        (N, B) weights, Poisson(1), the same for the same key wherever it is seen.
    """
    words = -(-replicates // 4)
    raw = np.empty((len(keys), words), dtype=np.uint64)
    for row, key in enumerate(keys):
        raw[row] = np.random.Philox(key=np.array([seed, key], dtype=np.uint64)).random_raw(words)
    return _POISSON[raw.astype("<u8").view("<u2")[:, :replicates]]


class Sums:
    """Named columns summed over clusters, plainly and per replicate.

    Attributes:
        plain: (K,) sums; ``replicates``: (B, K); ``clusters``: (K,) clusters that are not zero.
        keys: sorted keys of every cluster added.
    """

    def __init__(self, seed: int, replicates: int) -> None:
        self.seed, self.count = seed, replicates
        self.names: list[str] = []
        self.index: dict[str, int] = {}
        self.plain: Array = np.zeros(0)
        self.clusters: Array = np.zeros(0)
        self.replicates: Array = np.zeros((replicates, 0))
        self._keys: list[NDArray[np.uint64]] = []
        self._waiting: list[tuple[NDArray[np.uint64], Array]] = []

    def add(self, keys: NDArray[np.uint64], columns: Mapping[str, Array]) -> None:
        """Adds clusters.

        Args:
            keys: (N,) uint64.
            columns: name -> (N,) sums over each cluster's units; the same names in every call.
        """
        if not self.names:
            self.names = list(columns)
            self.index = {name: k for k, name in enumerate(self.names)}
            self.plain, self.clusters = np.zeros(len(columns)), np.zeros(len(columns))
            self.replicates = np.zeros((self.count, len(columns)))
        if list(columns) != self.names:
            raise ValueError("the columns of a batch differ from those before it")
        self._keys.append(keys)
        self._waiting.append((keys, np.stack(list(columns.values()), axis=1)))
        if sum(len(k) for k, _ in self._waiting) >= BLOCK:
            self.flush()

    def flush(self) -> None:
        """Multiplies what waits by its weights."""
        if not self._waiting:
            return
        keys = np.concatenate([k for k, _ in self._waiting])
        rows = np.concatenate([r for _, r in self._waiting])  # (N, K)
        self._waiting = []
        self.plain += rows.sum(0)
        self.clusters += (rows != 0).sum(0)
        weights = poisson_weights(keys, self.seed, self.count)
        self.replicates += weights.T.astype(np.float64) @ rows

    @property
    def keys(self) -> NDArray[np.uint64]:
        return np.sort(np.concatenate(self._keys)) if self._keys else np.zeros(0, dtype=np.uint64)

    def column(self, name: str) -> Array:
        """An estimate (1 + B,): the sum and its replicates."""
        self.flush()
        k = self.index[name]
        return np.concatenate([self.plain[k : k + 1], self.replicates[:, k]])

    def pair_mean(self, above: str, below: str) -> Array:
        """An estimate (1 + B,) of a mean over pairs of clusters.

        Both columns hold, per cluster, the row sum plus the column sum: of the values, and of their
        count. Replicates are the first-order (Hoeffding) projection, in which a cluster brings its row
        mean plus its column mean minus the overall mean: no pair of weights is ever needed.
        """
        mean = self.column(above) / self.column(below)
        return mean[0] + np.r_[0.0, 2 * (mean[1:] - mean[0])]

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Everything but the names, for a file or a reduction."""
        self.flush()
        return {"plain": self.plain, "clusters": self.clusters, "replicates": self.replicates, "keys": self.keys}

    @classmethod
    def of(cls, seed: int, names: list[str], arrays: Mapping[str, NDArray[np.generic]]) -> Sums:
        """The inverse of ``arrays``."""
        replicates = np.asarray(arrays["replicates"], dtype=np.float64)
        sums = cls(seed, len(replicates))
        sums.names, sums.index = list(names), {name: k for k, name in enumerate(names)}
        sums.plain = np.array(arrays["plain"], dtype=np.float64)
        sums.clusters = np.array(arrays["clusters"], dtype=np.float64)
        sums.replicates = replicates.copy()
        sums._keys = [np.asarray(arrays["keys"], dtype=np.uint64)]
        return sums

    def merge(self, other: Sums) -> None:
        """Adds another's sums over other clusters.

        Raises:
            ValueError: where seeds, columns or clusters do not allow it.
        """
        other.flush()
        self.flush()
        if not other.names:
            return
        if not self.names:
            self.__dict__.update(Sums.of(self.seed, other.names, other.arrays()).__dict__)
            return
        if (self.seed, self.count, self.names) != (other.seed, other.count, other.names):
            raise ValueError("they were made with other settings (seed, replicates or measures)")
        if shared := len(np.intersect1d(self.keys, other.keys)):
            raise ValueError(f"{shared} clusters are in both")
        self.plain += other.plain
        self.clusters += other.clusters
        self.replicates += other.replicates
        self._keys.append(other.keys)

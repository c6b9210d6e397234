"""Sums over clusters with a streamed Poisson bootstrap.

The weight of a cluster in replicate b is Poisson(1) and depends only on (seed, cluster key, b). So sums can be added
up across batches, processes and resumed runs, in any order. Two networks measured on the same clusters have the same
weights, which pairs their replicates.

An *estimate* is a float64 array of 1 + B numbers: the plain value, then the value of every replicate.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import pdtr

Array = NDArray[np.float64]

BLOCK = 256
"""Number of clusters that are multiplied by their weights at once."""

# word -> weight: the inverse of the Poisson(1) distribution function on 16-bit words
_POISSON = np.searchsorted(pdtr(np.arange(12), 1), (np.arange(2**16) + 0.5) / 2**16).astype(np.uint8)


def poisson_weights(keys: NDArray[np.uint64], seed: int, replicates: int) -> NDArray[np.uint8]:
    """Bootstrap weights of clusters.

    Args:
        keys: (N,) uint64 cluster keys.
        seed: seed of the bootstrap.
        replicates: B.

    Returns:
        (N, B) Poisson(1) weights; the weights of a key are always the same.
    """
    words = -(-replicates // 4)
    raw = np.empty((len(keys), words), dtype=np.uint64)
    for row, key in enumerate(keys):
        raw[row] = np.random.Philox(key=np.array([seed, key], dtype=np.uint64)).random_raw(words)
    return _POISSON[raw.astype("<u8").view("<u2")[:, :replicates]]


class Sums:
    """Named columns, summed over clusters plainly and with the weights of every replicate.

    Clusters are multiplied by their weights in blocks of ``BLOCK``, counted from the first cluster. The clusters of an
    unfinished block wait: reading the sums includes them without finishing the block, and ``arrays`` stores them
    unmultiplied. So the sums are the same to the last bit, no matter how many clusters are added at once, or when the
    sums are read, saved or loaded. ``merge`` finishes the blocks of both sides; after it, the last bits depend on
    how the clusters were divided.

    Attributes:
        plain: (K,) sums; ``replicates``: (B, K); ``clusters``: (K,) number of clusters that are not zero.
            Columns that are added as ``plain`` come last and have no replicates.
        keys: sorted keys of all clusters; ``size``: number of clusters.
    """

    def __init__(self, seed: int, replicates: int) -> None:
        self.seed, self.count = seed, replicates
        self.names: list[str] = []
        self.index: dict[str, int] = {}
        self._blocks: tuple[Array, Array, Array] = _nothing(replicates, 0, 0)
        self._keys: list[NDArray[np.uint64]] = []
        self._rows: Array = np.zeros((BLOCK, 0))
        self._weights = np.zeros((BLOCK, replicates), np.uint8)
        self._waiting = 0
        self._total: tuple[Array, Array, Array] | None = None

    def add(
        self, keys: NDArray[np.uint64], columns: Mapping[str, Array], plain: Mapping[str, Array] | None = None
    ) -> None:
        """Adds clusters.

        Args:
            keys: (N,) uint64.
            columns: name -> (N,) sums over the units of each cluster; the names are the same in every call.
            plain: the same, for columns that need no replicates.
        """
        every = {**columns, **(plain or {})}
        if not self.names:
            self._name(list(every), _nothing(self.count, len(every), len(columns)))
        if list(every) != self.names:
            raise ValueError("the columns of a batch differ from those before it")
        self._keys.append(keys)
        self._wait(keys, np.stack(list(every.values()), axis=1))

    def flush(self) -> None:
        """Finishes the block: the waiting clusters are multiplied, and the next cluster begins a new block."""
        if self._waiting:
            self._blocks = self._all()
            self._waiting = 0

    @property
    def plain(self) -> Array:
        return self._all()[0]

    @property
    def clusters(self) -> Array:
        return self._all()[1]

    @property
    def replicates(self) -> Array:
        return self._all()[2]

    @property
    def keys(self) -> NDArray[np.uint64]:
        return np.sort(np.concatenate(self._keys)) if self._keys else np.zeros(0, dtype=np.uint64)

    @property
    def size(self) -> int:
        return sum(map(len, self._keys))

    @property
    def replicated(self) -> int:
        """How many of the columns have replicates; they come first."""
        return int(self._blocks[2].shape[1])

    def column(self, name: str) -> Array:
        """An estimate (1 + B,): the sum of a column and its replicates."""
        plain, _, replicates = self._all()
        k = self.index[name]
        return np.concatenate([plain[k : k + 1], replicates[:, k]])

    def pair_mean(self, above: str, below: str) -> Array:
        """An estimate (1 + B,) of a mean over pairs of clusters.

        For each cluster, ``above`` holds the row sum plus the column sum of the values, and ``below`` the same of
        their count. Replicates are the first-order (Hoeffding) projection: a cluster contributes its row mean plus its
        column mean minus the overall mean. So products of the weights of two clusters are not needed. What belongs to
        neither cluster of a pair is then counted in both; ``itinf.statistics.twice`` says how intervals allow for it.
        """
        mean = self.column(above) / self.column(below)
        return mean[0] + np.r_[0.0, 2 * (mean[1:] - mean[0])]

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """The sums as arrays, for a file or a reduction, with the ``rows`` of waiting clusters if there are any."""
        arrays: dict[str, NDArray[np.generic]] = dict(zip(FINISHED, self._blocks, strict=True))
        arrays["keys"] = self.keys
        if self._waiting:
            arrays["rows"] = self._rows[: self._waiting]
            arrays["waiting"] = np.concatenate(self._keys)[-self._waiting :]
        return arrays

    @classmethod
    def of(cls, seed: int, names: list[str], arrays: Mapping[str, NDArray[np.generic]]) -> Sums:
        """The inverse of ``arrays``, which it keeps and never changes."""
        plain, clusters, replicates = (np.asarray(arrays[name], dtype=np.float64) for name in FINISHED)
        sums = cls(seed, len(replicates))
        sums._name(names, (plain, clusters, replicates))
        keys, waiting = (np.asarray(arrays.get(name, ()), dtype=np.uint64) for name in ("keys", "waiting"))
        sums._keys = [np.setdiff1d(keys, waiting), waiting]
        sums._wait(waiting, np.asarray(arrays.get("rows", np.zeros((0, len(names)))), dtype=np.float64))
        return sums

    def merge(self, other: Sums) -> None:
        """Adds the sums of ``other``, which are over other clusters.

        Raises:
            ValueError: seeds or columns differ, or some clusters are in both.
        """
        if not other.names:
            return
        if not self.names:
            self._name(other.names, _nothing(self.count, len(other.names), other.replicated))
            self.seed = other.seed
        if (self.seed, self.count, self.names) != (other.seed, other.count, other.names):
            raise ValueError(
                "they were made with other settings (seed, replicates or measures) or by another version of itinf"
            )
        if shared := len(np.intersect1d(self.keys, other.keys)):
            raise ValueError(f"{shared} clusters are in both")
        self.flush()
        self._blocks = _added(self._blocks, other._all())
        self._keys.append(other.keys)
        self._total = None

    def _name(self, names: list[str], blocks: tuple[Array, Array, Array]) -> None:
        self.names, self.index = list(names), {name: k for k, name in enumerate(names)}
        self._blocks, self._rows = blocks, np.zeros((BLOCK, len(names)))

    def _wait(self, keys: NDArray[np.uint64], rows: Array) -> None:
        """Adds rows (N, K) to the waiting block; a full block is multiplied."""
        weights = poisson_weights(keys, self.seed, self.count)
        self._total = None
        start = 0
        while start < len(rows):
            stop = min(start + BLOCK - self._waiting, len(rows))
            place = slice(self._waiting, self._waiting + stop - start)
            self._rows[place], self._weights[place] = rows[start:stop], weights[start:stop]
            self._waiting, start = place.stop, stop
            if self._waiting == BLOCK:
                self.flush()
                self._total = None

    def _all(self) -> tuple[Array, Array, Array]:
        """Plain sums, clusters and replicates of the finished blocks and the waiting clusters."""
        if not self._waiting:
            return self._blocks
        if self._total is None:
            rows, weights = self._rows[: self._waiting], self._weights[: self._waiting]
            replicated = weights.T.astype(np.float64) @ rows[:, : self.replicated]
            waiting = rows.sum(0), (rows != 0).sum(0).astype(np.float64), replicated
            self._total = _added(self._blocks, waiting)
        return self._total


FINISHED = ("plain", "clusters", "replicates")


def _nothing(replicates: int, columns: int, replicated: int) -> tuple[Array, Array, Array]:
    return np.zeros(columns), np.zeros(columns), np.zeros((replicates, replicated))


def _added(one: tuple[Array, Array, Array], other: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]

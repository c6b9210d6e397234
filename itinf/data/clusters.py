"""Clusters in a fixed keyed order that no loader can change, read a batch at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..errors import ItinfError
from .dataset import Batch, Data

Progress = Callable[[str, int, int], None]
"""Called with the name of a stage, clusters done, and clusters in all."""


def silent(stage: str, done: int, total: int) -> None:
    """Tells nobody."""


def cluster_key(data: str, item: str) -> int:
    """64-bit key of one cluster: a hash of the data set (with its split) and the item's name."""
    digest = hashlib.blake2b(f"{data}\x00{item}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


@dataclass(frozen=True)
class Order:
    """Which items are measured and in which order: sorted by a hash of seed and cluster key.

    Attributes:
        indices: (N,) items to measure.
        keys: (N,) uint64, their cluster keys.
        calibration: (M,) items that set channel means and scales once; disjoint from
            ``indices`` wherever the data suffice.
    """

    indices: np.ndarray
    keys: np.ndarray
    calibration: np.ndarray

    def part(self, chosen: slice | np.ndarray) -> Order:
        """Some of the items to measure."""
        return replace(self, indices=self.indices[chosen], keys=self.keys[chosen])


def keyed_order(data: Data, clusters: int | None, seed: int, calibration: int = 256) -> Order:
    """Chooses and orders the clusters of a study.

    Args:
        data: the data set.
        clusters: how many to measure; None for all.
        seed: another seed, another order.
        calibration: how many clusters calibrate.

    Raises:
        ItinfError: more clusters asked for than there are, or an item name that occurs twice.
    """
    total = len(data)
    clusters = total if clusters is None else clusters
    if not 0 < clusters <= total:
        raise ItinfError(
            f"{clusters:,} clusters asked for, but {data.name} has {total:,}. Ask for at most {total:,}, or for none to use all."
        )
    keys = np.array([cluster_key(data.name, data.key(i)) for i in range(total)], dtype=np.uint64)
    if len(np.unique(keys)) != total:
        raise ItinfError(f"{data.name}: two items share a name; every item needs one of its own.")
    mixed = np.array([cluster_key(str(seed), str(k)) for k in keys], dtype=np.uint64)
    order = np.argsort(mixed, kind="stable")
    chosen = order[:clusters]
    return Order(chosen, keys[chosen], order[-min(calibration, total) :])


def load_batch(data: Data, indices: Sequence[int] | np.ndarray, keys: np.ndarray | None = None) -> Batch:
    """Reads and stacks the given items."""
    inputs, targets = zip(*(data[int(i)] for i in indices), strict=True)
    shapes = {tuple(x.shape) for x in inputs}
    if len(shapes) > 1:
        raise ItinfError(f"{data.name}: items differ in shape ({sorted(shapes)}); make them one size first.")
    if keys is None:
        keys = np.array([cluster_key(data.name, data.key(int(i))) for i in indices], dtype=np.uint64)
    return Batch(torch.stack(inputs), torch.stack([torch.as_tensor(t) for t in targets]), keys)


def batches(
    data: Data, clusters: int | None, seed: int, batch: int, progress: Progress = silent, stage: str = "fitting"
) -> Iterator[Batch]:
    """The first clusters of a data set in keyed order, in batches."""
    order = keyed_order(data, clusters, seed)
    total = len(order.indices)
    progress(stage, 0, total)
    for start in range(0, total, batch):
        part = slice(start, start + batch)
        yield load_batch(data, order.indices[part], order.keys[part])
        progress(stage, min(start + batch, total), total)


def clusters_of(data: Data, units: int | None) -> int:
    """How many clusters so many units are, whole ones, at most all."""
    if units is None:
        return len(data)
    length = data[0][1].numel() if len(data) else 1
    return min(-(-units // length), len(data))


def groups(clusters: int, size: int) -> list[slice]:
    """Slices of ``size`` consecutive clusters; the last may be smaller."""
    return [slice(i, min(i + size, clusters)) for i in range(0, clusters, size)]

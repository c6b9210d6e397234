"""Clusters in a fixed order that depends on seed and names only, read a batch at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import ItinfError
from ..files import CONTENT
from .dataset import Batch, Data
from .progress import Progress as Progress
from .progress import silent as silent


def cluster_key(data: str, item: str) -> int:
    """64-bit key of one cluster: a hash of the data set (with its split) and the item's name."""
    digest = hashlib.blake2b(f"{data}\x00{item}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def cluster_keys(data: Data, indices: Sequence[int] | np.ndarray) -> np.ndarray:
    """(N,) uint64 keys of some items of a data set."""
    return np.array([cluster_key(data.name, data.key(int(i))) for i in indices], dtype=np.uint64)


def content_of(data: Data, indices: Sequence[int] | np.ndarray) -> str | None:
    """Hash of what some items hold, in any order; None if the data set has no ``content``: then its note says it.

    ``content(index) -> bytes`` is cheap to read and stands for the item: the bytes of its file, or of its tensors.
    """
    content = getattr(data, "content", None)
    if content is None:
        return None
    named = {data.key(i).encode(): i for i in {int(i) for i in indices}}
    hashes = [hashlib.blake2b(name + b"\x00" + content(named[name]), digest_size=16).digest() for name in sorted(named)]
    return hashlib.blake2b(b"".join(hashes), digest_size=16).hexdigest()


def identity_of(data: Data, indices: Sequence[int] | np.ndarray) -> dict[str, Any]:
    """The entries by which a record knows some items of a data set: names, how they were made, and what they hold."""
    content = content_of(data, indices)
    entries = {"name": data.name, "note": data.note, "unit": data.unit}
    return entries | ({} if content is None else {CONTENT: content})


@dataclass(frozen=True)
class Order:
    """Which items are measured and in which order: sorted by a hash of seed and cluster key.

    Attributes:
        indices: (N,) items to measure.
        keys: (N,) uint64, their cluster keys.
        calibration: (M,) items that set channel means and scales once; disjoint from
            ``indices`` wherever there are enough data.
        places: (N,) their places in the whole order of the study, of which these may be a part.
    """

    indices: np.ndarray
    keys: np.ndarray
    calibration: np.ndarray
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)

    def part(self, chosen: slice | np.ndarray) -> Order:
        """Some of the items to measure."""
        return replace(self, indices=self.indices[chosen], keys=self.keys[chosen], places=self.places[chosen])


def keyed_order(data: Data, clusters: int | None, seed: int, calibration: int = 256) -> Order:
    """Chooses and orders the clusters of a study.

    Args:
        data: the data set.
        clusters: how many to measure; None for all.
        seed: another seed gives another order.
        calibration: how many clusters calibrate.

    Raises:
        ItinfError: more clusters asked for than there are, or an item name that occurs twice.
    """
    total = len(data)
    clusters = total if clusters is None else clusters
    require_items(data)
    if not 0 < clusters <= total:
        raise ItinfError(
            f"{clusters:,} clusters asked for, but {data.name} has {total:,}. Ask for at most {total:,}, or for none to use all."
        )
    keys = cluster_keys(data, range(total))
    if len(np.unique(keys)) != total:
        raise ItinfError(f"{data.name}: two items share a name; every item needs one of its own.")
    mixed = np.array([cluster_key(str(seed), str(k)) for k in keys], dtype=np.uint64)
    order = np.argsort(mixed, kind="stable")
    chosen = order[:clusters]
    return Order(chosen, keys[chosen], order[-min(calibration, total) :], np.arange(clusters))


def require_items(data: Data) -> None:
    """Refuses a data set without items."""
    if not len(data):
        raise ItinfError(f"{data.name} has no items. Give data with at least one {data.unit}, better 100.")


def calibration_order(data: Data, order: Order) -> Order:
    """The calibration clusters of an order, to be read as an order of their own."""
    keys, places = cluster_keys(data, order.calibration), np.arange(len(order.calibration))
    return replace(order, indices=order.calibration, keys=keys, places=places)


def load_batch(data: Data, indices: Sequence[int] | np.ndarray, keys: np.ndarray | None = None) -> Batch:
    """Reads and stacks the given items."""
    import torch  # slow, and reading results needs the keys alone

    inputs, targets = zip(*(data[int(i)] for i in indices), strict=True)
    shapes = {tuple(x.shape) for x in inputs}
    if len(shapes) > 1:
        how = (
            "Cut or pad the sequences to one length; padding is marked by an attention_mask"
            if data.unit == "token"
            else "Cut the texts to one length"
            if data.unit == "text"
            else "Make them one size first"
        )
        raise ItinfError(f"{data.name}: items differ in shape ({', '.join(map(str, sorted(shapes)))}). {how}.")
    if keys is None:
        keys = cluster_keys(data, indices)
    return Batch(torch.stack(inputs), torch.stack([torch.as_tensor(t) for t in targets]), keys)


def batches(
    data: Data, order: Order, size: int, progress: Progress = silent, stage: str = "reading"
) -> Iterator[Batch]:
    """The clusters of an order, read in batches.

    Args:
        data: the data set.
        order: which of its clusters, and in which order.
        size: clusters per batch; the last batch may be smaller.
        progress: called with the stage, clusters done and clusters in all.
        stage: what the progress calls this.
    """
    progress(stage, 0, len(order))
    for piece in groups(len(order), size):
        part = order.part(piece)
        yield load_batch(data, part.indices, part.keys)
        progress(stage, piece.stop, len(order))


def units_per_cluster(data: Data) -> int:
    """Units in one cluster: 1 for images, the length of a sequence for tokens."""
    return data[0][1].numel()


def clusters_of(data: Data, units: int | None, *, at_most: bool = False) -> int:
    """How many whole clusters are needed for a number of units.

    Args:
        data: the data set.
        units: images or tokens; None for all.
        at_most: where the data have fewer units, take all of them.

    Raises:
        ItinfError: more units than the data have, unless ``at_most``; or not even one.
    """
    require_items(data)
    if units is None:
        return len(data)
    size = units_per_cluster(data)
    total = len(data) * size
    if units < 1 or (units > total and not at_most):
        what = f"{units:,} {data.unit}s asked for, but {data.name} has {total:,}"
        raise ItinfError(f"{what}. Ask for at most {total:,}.")
    return min(-(-units // size), len(data))


def groups(clusters: int, size: int) -> list[slice]:
    """Slices of ``size`` consecutive clusters; the last may be smaller."""
    return [slice(i, min(i + size, clusters)) for i in range(0, clusters, size)]

"""Who stands in for whom in the nulls: pairs inside groups, and partners of the same target."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..data.clusters import cluster_key, groups
from ..data.dataset import IGNORED

TRIES = 8
"""How many successors are looked at for one of another cluster."""


def neighbours(shape: tuple[int, int], size: int) -> NDArray[np.int64]:
    """For each unit the unit at the same position of the next cluster of its group, in a ring.

    Args:
        shape: (N, P).
        size: clusters per group.

    Returns:
        (N·P,) row numbers; −1 in a group of one.
    """
    n, p = shape
    following = np.full(n, -1)
    for group in groups(n, size):
        members = np.arange(group.start, group.stop)
        if len(members) > 1:
            following[members] = np.roll(members, -1)
    rows = following[:, None] * p + np.arange(p)
    return np.where(following[:, None] >= 0, rows, -1).ravel()


def same_target(targets: NDArray[np.int64], keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """For each unit one unit of another cluster with the same target.

    Units are ordered by target, then by a hash of cluster and position, so the choice depends on
    which clusters are in the window and on nothing else.

    Args:
        targets: (N, P); ``IGNORED`` units get and give no partner.
        keys: (N,) cluster keys.

    Returns:
        (N·P,) row numbers, −1 where there is none.
    """
    n, p = targets.shape
    salt = np.array([cluster_key("position", str(t)) for t in range(p)], dtype=np.uint64)
    mixed = ((keys[:, None] ^ salt) * np.uint64(0x9E3779B97F4A7C15)).ravel()
    flat, cluster = targets.ravel(), np.repeat(np.arange(n), p)
    order = np.lexsort((mixed, flat))
    order = order[flat[order] != IGNORED]
    label, owner = flat[order], cluster[order]
    starts = np.flatnonzero(np.r_[True, label[1:] != label[:-1]]) if len(order) else np.zeros(0, dtype=np.int64)
    lengths = np.diff(np.r_[starts, len(order)])
    start, length = np.repeat(starts, lengths), np.repeat(lengths, lengths)
    here = np.arange(len(order)) - start
    found = np.full(len(order), -1)
    for step in range(1, TRIES + 1):
        candidate = start + (here + step) % np.maximum(length, 1)
        fits = (found < 0) & (owner[candidate] != owner)
        found = np.where(fits, candidate, found)
    partner = np.full(n * p, -1)
    partner[order] = np.where(found >= 0, order[found], -1)
    return partner

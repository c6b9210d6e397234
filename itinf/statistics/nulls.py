"""The nulls: what stands in for what, and which unit is whose partner."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import registry
from ..data.clusters import cluster_key, groups
from ..data.dataset import IGNORED
from ..errors import ItinfError, nearest

TRIES = 8
"""How many successors are looked at for one of another cluster."""
Partners = Callable[[NDArray[np.int64], NDArray[np.uint64]], NDArray[np.int64]]
"""(targets (n, P), cluster keys (n,)) of one group -> (n·P,) row of each unit's partner in it, −1 for none."""


@dataclass(frozen=True)
class Null:
    """One null. A study's own is one with ``partners``, or a function that finds them.

    Attributes:
        name: as in the column ``null``.
        description: what stands in for what, in one line.
        partners: finds every unit's partner inside a group of clusters, so that no number depends on the batch;
            None where nothing of another unit stands in.
        effect: whether observed − null is a row of its own, with a paired interval.
        every_pair: whether numbers are of all pairs of a group, so that no unit is missing.
    """

    name: str
    description: str
    partners: Partners | None = None
    effect: bool = True
    every_pair: bool = False


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
    rank = np.arange(len(order)) - start
    following = np.full(len(order), -1)
    for step in range(1, TRIES + 1):
        candidate = start + (rank + step) % np.maximum(length, 1)
        fits = (following < 0) & (owner[candidate] != owner)
        following = np.where(fits, candidate, following)
    partner = np.full(n * p, -1)
    partner[order] = np.where(following >= 0, order[following], -1)
    return partner


def next_cluster(targets: NDArray[np.int64], keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """For each unit of a group the unit at the same position of the next cluster, in a ring."""
    return neighbours((targets.shape[0], targets.shape[1]), len(targets))


OBSERVED = "observed"
PAIRING = Null(
    "pairing",
    "another cluster's gradient or step stands in for the unit's own, at the same position; all pairs of a group, "
    "of steps one each",
    next_cluster,
    every_pair=True,
)
SAME_TARGET = Null(
    "same-target", "the gradient or step of another cluster's unit with the same target stands in", same_target
)
ORDER_SHUFFLED = Null(
    "order-shuffled", "the unit's own steps in random order stand in for their own order", effect=False
)
NULLS: dict[str, Null] = {
    null.name: null
    for null in (
        PAIRING,
        SAME_TARGET,
        ORDER_SHUFFLED,
        Null("untrained", "the same architecture with random weights stands in for the network", effect=False),
        Null("isotropic", "independent isotropic vectors stand in for updates and gradients", effect=False),
        Null("rotated", "freshly rotated states of each depth stand in for the states", effect=False),
    )
}
"""Name -> null: what probes, tables and figures know. ``null_of`` finds those of the session, too."""


def null_of(given: str | Null | Partners) -> Null:
    """A null by its name, or from a function that finds partners, which has the function's name.

    Raises:
        ItinfError: an unknown name, or a null of one's own that is called as another one is.
    """
    if isinstance(given, str):
        if given in NULLS:
            return NULLS[given]
        known = registry.names("nulls")
        if given not in known:
            raise ItinfError(
                f"There is no null {given!r}. {nearest(given, [*NULLS, *known])} One of your own is a function "
                "(targets, keys) -> partners; give the function itself, or register it: "
                'itinf.register(function, group="nulls").'
            )
        null = replace(_null(registry.opened("nulls", given)), name=given)
    else:
        null = _null(given)
    if (null.name in NULLS and NULLS[null.name] != null) or null.name == OBSERVED:
        raise ItinfError(f"A null of your own is called {null.name!r}, as one of itinf's is. Give it another name.")
    return null


def _null(given: Any) -> Null:
    if isinstance(given, Null):
        return given
    if not callable(given):
        raise ItinfError(f"{given!r} is no null; expected a name, an itinf.Null, or a function that finds partners.")
    first_line = (given.__doc__ or "").strip().split("\n")[0]
    return Null(getattr(given, "__name__", type(given).__name__), first_line, given)


def partners_of(
    null: Null, targets: NDArray[np.int64], keys: NDArray[np.uint64], members: Iterable[slice]
) -> NDArray[np.int64]:
    """Every unit's partner, group by group; units without a target neither get nor give one.

    Args:
        null: one with partners.
        targets: (N, P); ``IGNORED`` where a unit has none.
        keys: (N,) cluster keys.
        members: the clusters of each group.

    Returns:
        (N·P,) row numbers, −1 for none.

    Raises:
        ItinfError: what the null gives is not one row of the group for each of its units.
    """
    assert null.partners is not None
    positions = targets.shape[1]
    partner = np.concatenate(
        [
            _of_group(null.name, null.partners(targets[m], keys[m]), targets[m].size, m.start * positions)
            for m in members
        ]
    )
    known = targets.ravel() != IGNORED
    return np.where(known & (partner >= 0) & known[partner], partner, -1)


def _of_group(name: str, found: Any, units: int, start: int) -> NDArray[np.int64]:
    """A group's partners, as rows of the batch."""
    rows = np.asarray(found)
    if rows.shape != (units,) or rows.dtype.kind not in "iu":
        raise ItinfError(
            f"The null {name!r} gave {rows.dtype} of shape {rows.shape} for a group of {units} units. "
            f"Expected one integer for each unit, shape ({units},): the partner's row in the group, or -1 for none."
        )
    if rows.size and not (rows.min() >= -1 and rows.max() < units):
        raise ItinfError(
            f"The null {name!r} gave partners from {rows.min()} to {rows.max()} in a group of {units} units. "
            f"Expected rows of that group, 0 to {units - 1}, or -1 for none."
        )
    rows = rows.astype(np.int64)
    return np.where(rows >= 0, rows + start, -1)


def null_json(null: Null) -> dict[str, Any]:
    """What a table needs to know of a null, as plain data."""
    return {
        "name": null.name,
        "description": null.description,
        "effect": null.effect,
        "every_pair": null.every_pair,
    }


def recorded_null(name: str, recorded: Mapping[str, Null]) -> Null:
    """A null by the name in a row: one of itinf's, or one that the study has on record."""
    return NULLS.get(name) or recorded.get(name) or Null(name, "")

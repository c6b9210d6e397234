"""The nulls, and the partners of units for the pairing and same-target nulls."""

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
"""How many following units with the same target are tried, to find one of another cluster."""
CLIQUE = 32
"""Largest number of tokens with the same target of which all pairs are taken."""
Partners = Callable[[NDArray[np.int64], NDArray[np.uint64]], NDArray[np.int64]]
"""(targets (n, P), cluster keys (n,)) of a group -> (n·P,) row in the group of each unit's partner, −1 for none."""


@dataclass(frozen=True)
class Null:
    """A null. A null of your own needs ``partners``; a function that finds partners is enough, too.

    Attributes:
        name: name in the column ``null``.
        description: one line that says what is replaced, and by what.
        partners: finds the partner of every unit inside its group of clusters, so numbers do not depend on the batch;
            None for a null that uses no other units.
        effect: whether the table has a row observed − null, with a paired interval.
        every_pair: whether numbers are means over all pairs of a group; then no unit is missing.
    """

    name: str
    description: str
    partners: Partners | None = None
    effect: bool = True
    every_pair: bool = False


def neighbours(shape: tuple[int, int], size: int) -> NDArray[np.int64]:
    """The partner of each unit: the unit at the same position of the next cluster in its group.

    The first cluster of a group follows the last one.

    Args:
        shape: (N, P).
        size: clusters per group.

    Returns:
        (N·P,) row numbers; −1 in a group of one cluster.
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
    """The partner of each unit: a unit of another cluster with the same target.

    Units are sorted by target, then by a hash of cluster and position. So the partners depend only on which clusters
    are in the group.

    Args:
        targets: (N, P); ``IGNORED`` units have no partner, and are nobody's partner.
        keys: (N,) cluster keys.

    Returns:
        (N·P,) row numbers, −1 for no partner.
    """
    n, p = targets.shape
    order, starts, lengths = _by_target(targets, keys)
    owner = order // p
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


def cliques(targets: NDArray[np.int64], keys: NDArray[np.uint64], most: int = CLIQUE) -> list[NDArray[np.int64]]:
    """The units of a group with the same target, so that all pairs of them can be taken.

    Of images, a clique is all units of one target. Of tokens, a frequent target is divided by a hash of cluster and
    position into cliques of at most ``most`` units: all pairs would grow with the square of the frequency.

    Args:
        targets: (N, P); ``IGNORED`` units are in no clique.
        keys: (N,) cluster keys.
        most: largest number of units of a clique, where clusters have several units.

    Returns:
        Arrays (C, m) of row numbers, one for each power of two m; −1 fills up cliques of fewer units.
    """
    order, starts, lengths = _by_target(targets, keys)
    of_size: dict[int, list[NDArray[np.int64]]] = {}
    for start, length in zip(starts, lengths, strict=True):
        parts = 1 if targets.shape[1] == 1 else -(-int(length) // most)
        for part in range(parts):
            rows = order[start + part : start + length : parts]
            if len(rows) > 1:
                size = 1 << (len(rows) - 1).bit_length()
                of_size.setdefault(size, []).append(np.pad(rows, (0, size - len(rows)), constant_values=-1))
    return [np.stack(of_size[size]) for size in sorted(of_size)]


def _by_target(
    targets: NDArray[np.int64], keys: NDArray[np.uint64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers sorted by target, then by a hash of cluster and position; where each target starts; how many it has."""
    positions = targets.shape[1]
    salt = np.array([cluster_key("position", str(t)) for t in range(positions)], dtype=np.uint64)
    mixed = ((keys[:, None] ^ salt) * np.uint64(0x9E3779B97F4A7C15)).ravel()
    flat = targets.ravel()
    order = np.lexsort((mixed, flat))
    order = order[flat[order] != IGNORED]
    label = flat[order]
    starts = np.flatnonzero(np.r_[True, label[1:] != label[:-1]]) if len(order) else np.zeros(0, dtype=np.int64)
    return order, starts, np.diff(np.r_[starts, len(order)])


def next_cluster(targets: NDArray[np.int64], keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The partner of each unit of a group: the unit at the same position of the next cluster."""
    return neighbours((targets.shape[0], targets.shape[1]), len(targets))


OBSERVED = "observed"
PAIRING = Null(
    "pairing",
    "the gradient or step of another cluster, at the same position, replaces that of the unit; for gradients all pairs "
    "of a group are used, for steps one partner each",
    next_cluster,
    every_pair=True,
)
SAME_TARGET = Null(
    "same-target",
    "the gradient or step of another cluster's unit with the same target replaces the unit's; for gradients the mean over "
    "all such units of a group is used, for steps one partner each",
    same_target,
)
ORDER_SHUFFLED = Null("order-shuffled", "the unit's own steps are taken in random order")
NULLS: dict[str, Null] = {
    null.name: null
    for null in (
        PAIRING,
        SAME_TARGET,
        ORDER_SHUFFLED,
        Null("mean", "what a block adds to the unit is replaced by its mean over other units"),
        Null("random-walk", "the unit's own steps keep their lengths, and are uncorrelated"),
        Null(
            "same p_y",
            "other units that give their label as much probability at the state, and are not borderline there",
        ),
        Null("yoked", "what another run inserted stands in the places of what was inserted, among the same own tokens"),
        Null("other-place", "another earlier position, which holds another token, is raised"),
        Null("other-token", "the token of another cluster is raised, and read, at the same two positions"),
        Null("cross", "the token of another cluster is raised, and the unit's own is read"),
        Null("untrained", "the same architecture with random weights replaces the network", effect=False),
        Null("isotropic", "independent isotropic vectors replace updates and gradients", effect=False),
        Null("rotated", "the states of each depth are rotated at random", effect=False),
    )
}
"""Name -> null, for the built-in nulls. ``null_of`` also finds registered nulls."""


def null_of(given: str | Null | Partners) -> Null:
    """The null with a name, or a null made from a function that finds partners; it has the name of the function.

    Raises:
        ItinfError: there is no null with that name, or your own null has the name of a built-in null.
    """
    if isinstance(given, str):
        if given in NULLS:
            return NULLS[given]
        known = registry.names("nulls")
        if given not in known:
            raise ItinfError(
                f"There is no null {given!r}. {nearest(given, [*NULLS, *known])} A null of your own is a function "
                "(targets, keys) -> partners; give the function itself, or register it: "
                'itinf.register(function, group="nulls").'
            )
        null = replace(_null(registry.opened("nulls", given)), name=given)
    else:
        null = _null(given)
    if (null.name in NULLS and NULLS[null.name] != null) or null.name == OBSERVED:
        raise ItinfError(f"A null of your own is called {null.name!r}, but itinf has that name. Give it another name.")
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
    """The partners of all units, group by group. Units without a target have no partner and are nobody's partner.

    Args:
        null: a null with partners.
        targets: (N, P); ``IGNORED`` for a unit without a target.
        keys: (N,) cluster keys.
        members: slices of clusters, one for each group.

    Returns:
        (N·P,) row numbers, −1 for no partner.

    Raises:
        ItinfError: the null does not return one row of the group for each unit.
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
    """The partners of a group, converted from rows of the group to rows of the batch."""
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
    """A null as plain data, for a file of sums; without its partners."""
    return {
        "name": null.name,
        "description": null.description,
        "effect": null.effect,
        "every_pair": null.every_pair,
    }


def recorded_null(name: str, recorded: Mapping[str, Null]) -> Null:
    """The null with the name in a row: a built-in null, or a null that the study has recorded."""
    return NULLS.get(name) or recorded.get(name) or Null(name, "")

"""Estimators over units in strata: the others of each stratum, as many as were chosen there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..statistics.bootstrap import Array, Sums
from .estimators import Estimator

LEAST = 8
"""Fewest others in a stratum that is compared."""


@dataclass(frozen=True, init=False)
class OfSameStratum(Estimator):
    """Mean over units that were not chosen, where each stratum counts as much as it does among those that were.

    Its columns are, for every stratum S, ``chosen|S`` and ``own|S``, number and sum of the chosen units, and ``others|S``
    and ``theirs|S``, those of the others. Strata of fewer than ``LEAST`` others are left out on both sides: the mean of a few is
    not told from a replicate without them. It has no interval of a share, for others count as often as their stratum needs.
    """

    strata: tuple[tuple[str, str], ...]

    def __init__(self, n: str, **strata: str) -> None:
        object.__setattr__(self, "n", n)
        object.__setattr__(self, "strata", tuple(strata.items()))

    @property
    def columns(self) -> dict[str, str]:
        return {"n": self.n, **dict(self.strata)}

    def _of(self, sums: Sums, role: str) -> Array:
        """(strata, 1 + B)."""
        return np.stack([sums.column(name) for key, name in self.strata if key.startswith(f"{role}|")])

    def estimate(self, sums: Sums) -> Array:
        chosen, others, theirs = (self._of(sums, role) for role in ("chosen", "others", "theirs"))
        return _weighted(chosen * theirs / np.where(others > 0, others, 1), chosen, others)

    def own_estimate(self, sums: Sums) -> Array | None:
        return _weighted(self._of(sums, "own"), self._of(sums, "chosen"), self._of(sums, "others"))


def stratified(names: Mapping[str, list[str]]) -> dict[str, str]:
    """Role -> column, from the columns of all strata by the part of their role before the bar."""
    return {f"{role}|{stratum}": name for role, columns in names.items() for stratum, name in enumerate(columns)}


def _weighted(sums: Array, chosen: Array, others: Array) -> Array:
    known = others[:, 0] >= LEAST  # the same strata in every replicate
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(sums[known].sum(0) / chosen[known].sum(0))

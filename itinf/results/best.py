"""The estimator of the best of several options, which each half of the clusters chooses for the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..statistics.bootstrap import Array, Sums
from .estimators import Estimator


@dataclass(frozen=True, init=False)
class BestOption(Estimator):
    """Mean over units of the option whose mean is least on the other half of the clusters.

    Its columns are ``n0`` and ``n1``, the units of each half, and ``HALF|OPTION``, their sum under each option. Every replicate
    chooses anew.
    """

    options: tuple[tuple[str, str], ...]

    def __init__(self, n: str, **options: str) -> None:
        object.__setattr__(self, "n", n)
        object.__setattr__(self, "options", tuple(options.items()))

    @property
    def columns(self) -> dict[str, str]:
        return {"n": self.n, **self._roles}

    @property
    def _roles(self) -> Mapping[str, str]:
        return dict(self.options)

    def estimate(self, sums: Sums) -> Array:
        roles = self._roles
        number = sum(role.startswith("0|") for role in roles)
        totals = np.stack([[sums.column(roles[f"{half}|{i}"]) for i in range(number)] for half in range(2)])
        units = np.stack([sums.column(roles[f"n{half}"]) for half in range(2)])
        # chosen by the other half, where an option that overflows is not chosen
        chosen = np.nan_to_num(totals[::-1], nan=np.inf).argmin(1)  # (2, 1 + B)
        least = np.take_along_axis(totals, chosen[:, None], 1)[:, 0].sum(0)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where((units > 0).all(0), least / units.sum(0), np.nan)

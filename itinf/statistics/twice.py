"""What the replicates of a mean over pairs count twice, so that intervals can leave it out once.

A mean over pairs is a sum over dyads, that is, over the pairs of units between two clusters. Let T_d be the share of
dyad d in the error of the estimate, and R_c = Σ T_d over the dyads of cluster c. Two dyads depend on each other if
they have a cluster in common, so the variance of the estimate is

    V = Σ_d Σ_e T_d T_e  over d, e with a common cluster  = Σ_c R_c² − Σ_d T_d².

The replicates draw clusters, and a dyad moves with both of its clusters: their variance is Σ_c R_c². It counts
Σ_d T_d² twice. For all pairs of a group with effects of the clusters that hardly matters; with one partner each, or
where pairs are mere noise, intervals would be √2 too wide. The same holds for observed − null: against all pairs the
observed part O_c has no dyads and V = Σ_c (O_c − R_c)² − Σ_d T_d²; against partners T_d is the share of the dyad in the
difference, so that what units with the same target have in common is gone before anything is squared. (In the null
itself a target that differs from the others enters through both units of a pair; its interval is then too wide.)

Source: Fafchamps and Gubert 2007, J. Dev. Econ. 83:326; Aronow, Samii and Assenova 2015, Political Analysis 23:564.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .bootstrap import Array, Sums

STEP = 1e-4
"""Step of the numerical derivatives, in root sums of squares over dyads."""


def product_name(one: str, other: str) -> str:
    """The name of the column that holds, for each cluster, ½ Σ over its dyads of the product of two columns."""
    return f"{one}×{other}"


def counted_twice(estimate: Callable[[Any], Array], columns: Iterable[str], sums: Sums) -> float:
    """Σ_d T_d² of an estimate: the variance that its replicates count twice; 0 for an estimate without pairs.

    Args:
        estimate: computes the estimate from sums, of which it uses ``column`` and ``pair_mean``.
        columns: the columns that it uses. Those over dyads have products in the sums.
        sums: the sums.
    """
    names = dyadic(columns, sums)
    if not names:
        return 0.0
    products = np.array([[_product(sums, a, b) for b in names] for a in names])
    steps = STEP * np.sqrt(np.maximum(products.diagonal(), 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        values = estimate(_Nudged(sums, dict(zip(names, steps, strict=True))))[1:].reshape(-1, 2)
        slopes = np.where(steps > 0, (values[:, 0] - values[:, 1]) / (2 * steps), 0.0)
    # a column holds every dyad in both of its clusters, so that T_d moves it by 2 T_d
    total = 4 * float(slopes @ products @ slopes)
    return max(total, 0.0) if np.isfinite(total) else 0.0


def dyadic(columns: Iterable[str], sums: Sums) -> list[str]:
    """Those of some columns that are over dyads: they have products."""
    return [name for name in dict.fromkeys(columns) if product_name(name, name) in sums.index]


def _product(sums: Sums, one: str, other: str) -> float:
    for name in (product_name(one, other), product_name(other, one)):
        if name in sums.index:
            return float(sums.plain[sums.index[name]])
    return 0.0


class _Nudged:
    """Sums whose "replicates" are the plain sums with one column moved up, then down, by its step."""

    def __init__(self, sums: Sums, steps: dict[str, float]) -> None:
        self._sums, self._steps = sums, steps

    def column(self, name: str) -> Array:
        values = np.full(1 + 2 * len(self._steps), self._sums.plain[self._sums.index[name]])
        if name in self._steps:
            place = 1 + 2 * list(self._steps).index(name)
            values[place] += self._steps[name]
            values[place + 1] -= self._steps[name]
        return values

    def pair_mean(self, above: str, below: str) -> Array:
        return self.column(above) / self.column(below)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sums, name)

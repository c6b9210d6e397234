"""What a transferred lens retains of what the state's own lens tells."""

from __future__ import annotations

import numpy as np

from ...networks.trace import Target
from ...statistics.bootstrap import Array
from ...statistics.intervals import interval
from .cells import Cell
from .matrix import TransferMatrix, ratio
from .scores import TARGETS

READABLE_SHARE = 0.05
"""A state whose own lens tells less than this share of what the last one's tells has no retention."""


NOTHING = "what the last state tells of it is nothing, or not known to within half of it"


TOO_LITTLE = "its own lens tells less than 5 % of what the last state's tells"


UNSURE = "what its own lens tells is not known to within half of it"


def diagonal_cells(grid: TransferMatrix) -> dict[int, Cell]:
    """Number of the state -> its own lens's read."""
    return {read.at: read for read in grid.reads if read.diagonal}


class Retention:
    """What reads keep of what each state's own lens tells of one target."""

    def __init__(self, grid: TransferMatrix, target: Target) -> None:
        self.grid, self.target = grid, target
        own = diagonal_cells(grid)
        self.diagonal = {
            raw: {at: grid.readable(read, target, raw) for at, read in own.items()} for raw in (False, True)
        }
        self.last = self.diagonal[False][max(own)]
        something = _surely(self.last, grid.clusters)
        self.missing = {
            raw: {at: self._why(x, something) for at, x in own.items()} for raw, own in self.diagonal.items()
        }

    def _why(self, told: Array, something: bool) -> str:
        """Why a state has no retention; "" where it has."""
        if not something:
            return NOTHING
        if told[0] < READABLE_SHARE * self.last[0]:
            return TOO_LITTLE
        return "" if _surely(told, self.grid.clusters) else UNSURE

    def of(self, read: Cell, raw: bool = False) -> tuple[Array | None, str]:
        """Estimate (1 + B,) of the retention, or None and why there is none."""
        below = self.diagonal[raw][read.at]
        if why := self.missing[raw][read.at]:
            return None, why
        return ratio(below if read.diagonal else self.grid.readable(read, self.target, raw), below), ""


def precise_enough(grid: TransferMatrix, precision: float) -> bool:
    """Whether more units would change little: no interval is wider than ± ``precision``, and no state's own lens is
    known too badly for a retention that more units could give it."""
    kept = [Retention(grid, target) for target in TARGETS]
    if any(UNSURE in one.missing[False].values() for one in kept):
        return False
    if all(one.last[0] > 0 and NOTHING in one.missing[False].values() for one in kept):
        return False
    return widest_half_width(grid) <= precision


def widest_half_width(grid: TransferMatrix) -> float:
    """Half-width of the widest interval of a retention, which more units make narrower; NaN for too few clusters."""
    found = []
    for target in TARGETS:
        kept = Retention(grid, target)
        found += [x for read in grid.reads if not read.diagonal and (x := kept.of(read)[0]) is not None]
    lo, hi = interval(max(found, key=_spread), grid.clusters) if found else (0.0, 0.0)
    return (hi - lo) / 2


def _spread(estimate: Array) -> float:
    finite = estimate[1:][np.isfinite(estimate[1:])]
    return float(finite.std()) if len(finite) else 0.0


def _surely(told: Array, clusters: int) -> bool:
    """Above half of itself with its interval, or a ratio to it could be anything; with too few clusters, above zero."""
    lo, _ = interval(told, clusters)
    return bool(told[0] > 0 and not lo <= told[0] / 2)

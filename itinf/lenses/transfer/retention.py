"""Retention: how much of what a state's own lens tells another lens tells there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ...networks.trace import Target
from ...results.reasons import LAST_UNRELIABLE, OWN_LENS_TELLS_LITTLE, OWN_LENS_UNCERTAIN, Reason
from ...statistics.bootstrap import Array
from ...statistics.intervals import interval
from .cells import LOGIT, Cell
from .counterfactual import OWN
from .matrix import TransferMatrix, ratio
from .scores import TARGETS

READABLE_SHARE = 0.05
"""A state whose own lens tells less than this share of what the last one's tells has no retention."""


def diagonal_cells(matrix: TransferMatrix) -> dict[int, Cell]:
    """Index of the state -> the cell of its own lens."""
    return {cell.at: cell for cell in matrix.cells if cell.diagonal}


class Retention:
    """What cells retain of what each state's own lens tells about one target.

    Attributes:
        matrix, target: the transfer matrix and the target.
        diagonal: raw -> index of the state -> what its own lens tells, (1 + B,), nats per unit.
        last: the same of the last state, at its best temperature.
        missing: raw -> index of the state -> why it has no retention, None where it has one.
    """

    def __init__(self, matrix: TransferMatrix, target: Target) -> None:
        self.matrix, self.target = matrix, target
        own_cells = self._own = diagonal_cells(matrix)
        self._counted = {(cell.at, cell.among): cell for cell in matrix.cells if cell.form in OWN}
        self.diagonal = {
            raw: {at: matrix.readable(cell, target, raw) for at, cell in own_cells.items()} for raw in (False, True)
        }
        self.last = self.diagonal[False][max(own_cells)]
        last_is_known = _well_known(self.last, matrix.clusters)
        unreadable = {at: matrix.why_unreadable(cell, target) for at, cell in own_cells.items()}
        self.missing = {
            raw: {
                at: unreadable[max(own_cells)]
                or (None if raw else unreadable[at])
                or self._why_missing(readable, last_is_known)
                for at, readable in by_state.items()
            }
            for raw, by_state in self.diagonal.items()
        }

    def _why_missing(self, readable: Array, last_is_known: bool) -> Reason | None:
        if not last_is_known:
            return LAST_UNRELIABLE
        if readable[0] < READABLE_SHARE * self.last[0]:
            return OWN_LENS_TELLS_LITTLE
        return None if _well_known(readable, self.matrix.clusters) else OWN_LENS_UNCERTAIN

    def of(self, cell: Cell, raw: bool = False) -> tuple[Array | None, Reason | None]:
        """Estimate (1 + B,) of the retention and None; or None and the reason why it has no value."""
        own = self.diagonal[raw][cell.at]
        if why := self.missing[raw][cell.at]:
            return None, why
        if cell.among:
            return self._counterfactual(cell)
        if not raw and (why := self.matrix.why_unreadable(cell, self.target)):
            return None, why
        return ratio(own if cell.diagonal else self.matrix.readable(cell, self.target, raw), own), None

    def _counterfactual(self, cell: Cell) -> tuple[Array | None, Reason | None]:
        """The same of a counterfactual state, over the units that have a partner."""
        own = self._counted[cell.at, cell.among]
        why = self.matrix.why_unreadable(cell, self.target) or self.matrix.why_unreadable(own, self.target)
        if why:
            return None, why
        told = self.matrix.readable(own, self.target)
        if not _well_known(told, self.matrix.clusters):
            return None, OWN_LENS_UNCERTAIN
        return ratio(self.matrix.readable(cell, self.target), told), None

    def carried_at_most(self, cell: Cell) -> tuple[Array | None, Reason | None]:
        """What an onward cell would retain if the blocks between left the lens's code alone: own_i / own_j."""
        if why := self.missing[False][cell.at] or self.matrix.why_unreadable(self._own[cell.fitted_at], self.target):
            return None, why
        return ratio(self.diagonal[False][cell.fitted_at], self.diagonal[False][cell.at]), None

    def surplus(self, cell: Cell) -> tuple[Array | None, Reason | None]:
        """What an onward cell retains beyond that: the gain from h_i to h_j under the lens of h_i, over what h_j's own tells."""
        (kept, why), (at_most, why_not) = self.of(cell), self.carried_at_most(cell)
        if kept is None or at_most is None:
            return None, why or why_not
        return kept - at_most, None


class FittingRetention(Retention):
    """What lenses that were fitted on other data tell of what the same lenses tell that are transferred."""

    def across(self) -> Iterator[tuple[Cell, Array | None, Reason | None]]:
        """Each cell of other data with its estimate (1 + B,), or the reason why it has none.

        The logit lens has no fitting set. It stands among them all the same, and retains exactly 1.
        """
        usual = {(cell.lens, cell.at): cell for cell in self.matrix.cells if _usual(cell)}
        others = [cell for cell in self.matrix.cells if cell.of_other_data]
        for cell in others:
            yield cell, *self._over(cell, usual[cell.lens, cell.at])
        for form in dict.fromkeys(cell.form for cell in others):
            for cell in (cell for cell in usual.values() if cell.lens == LOGIT):
                yield replace(cell, form=form), *self._over(cell, cell)

    def _over(self, cell: Cell, same: Cell) -> tuple[Array | None, Reason | None]:
        why = self.missing[False][cell.at]
        why = why or next((w for c in (cell, same) if (w := self.matrix.why_unreadable(c, self.target))), None)
        below = self.matrix.readable(same, self.target)
        if why is None and not _well_known(below, self.matrix.clusters):
            why = OWN_LENS_UNCERTAIN
        return (None, why) if why else (ratio(self.matrix.readable(cell, self.target), below), None)


def _usual(cell: Cell) -> bool:
    return not cell.off_diagonal and cell.null == "observed" and cell.form == ""


def precise_enough(matrix: TransferMatrix, precision: float) -> bool:
    """Whether to stop: no retention's interval is wider than ± ``precision``, and more units would add no retention."""
    retentions = [Retention(matrix, target) for target in TARGETS]
    if any(OWN_LENS_UNCERTAIN in retention.missing[False].values() for retention in retentions):
        return False
    if all(retention.last[0] > 0 and LAST_UNRELIABLE in retention.missing[False].values() for retention in retentions):
        return False
    return widest_half_width(matrix) <= precision


def widest_half_width(matrix: TransferMatrix) -> float:
    """Half-width of the widest interval of a retention, diagonal ones left out; NaN for too few clusters."""
    estimates = []
    for target in TARGETS:
        retention = Retention(matrix, target)
        estimates += [x for cell in matrix.cells if not cell.diagonal and (x := retention.of(cell)[0]) is not None]
    lo, hi = interval(max(estimates, key=_spread), matrix.clusters) if estimates else (0.0, 0.0)
    return (hi - lo) / 2


def _spread(estimate: Array) -> float:
    finite = estimate[1:][np.isfinite(estimate[1:])]
    return float(finite.std()) if len(finite) else 0.0


def _well_known(readable: Array, clusters: int) -> bool:
    """Whether the interval lies above half the estimate: a ratio to anything less certain could be anything.

    With too few clusters for an interval, the estimate has to be above zero.
    """
    lo, _ = interval(readable, clusters)
    return bool(readable[0] > 0 and not lo <= readable[0] / 2)

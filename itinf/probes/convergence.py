"""The convergence probe: does a network do what one step, taken again and again, would do?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ..results.ratios import ClearRatio
from ..results.reasons import NO_NEIGHBOUR
from ..results.recorder import Recorder
from ..results.row import Row
from ..statistics.nulls import OBSERVED
from .batch import ProbeBatch
from .borderline import follow
from .intervention import Change, Intervention, Piece
from .lesion import LESION
from .repeat import form_of, repeated
from .swap import SWAP, are_neighbours

AGAIN = "again"
"""Form: a block runs again in the place of the next one."""
CONVERGENCE, RECURRENCE, DIVERGENCE = "convergence_index", "recurrence_index", "divergence_index"
LOSS, ERROR = "loss", "error"
COSTS = {LOSS: "cost", ERROR: "accuracy_cost"}
"""Form -> the cost of an intervention in it."""
ROWS = (
    (CONVERGENCE, LOSS),
    (CONVERGENCE, ERROR),
    (RECURRENCE, SWAP),
    (RECURRENCE, AGAIN),
    (DIVERGENCE, LOSS),
    (DIVERGENCE, ERROR),
)


@dataclass(frozen=True, repr=False)
class Convergence(Intervention):
    """Three indices of iterative convergence, over the last run of blocks that keep the shape of the state.

    States 0 … K of the run are read by the network's own readout. Each index is a ratio of sums, in a row about the last state:

    * ``convergence_index``: 1 − 2 × the area under the loss by depth, where the first state is at 1 and the last at 0.
      1: all is gained at the first step; 0: the same at every step; −1: all at the last one. In the form "error" with the share
      of wrong answers in place of the loss, which a few early readings that are sure and wrong do not own.
    * ``recurrence_index``: 1 − what it changes, over what leaving out a block changes (KL of the output), where two
      neighbours run in the other order, "swap", or a block runs again in the place of the next, "again". 1: steps are one
      step; 0: the other block does no better than none. Blocks that add what they add whatever the state is can change places,
      too; only "again" tells them from steps.
    * ``divergence_index``: what K further runs of the last block lose, over what the run has gained; in loss or in errors. At
      most 0: the state stays, or descends further; 1: all is lost again; it has no upper end.

    Where the readout does not clearly gain over the run, the first and last have no value. The three questions are those of the paper; its
    formulas are other ones, so that values do not compare.

    Source: after Lippl, Peters, Kriegeskorte 2024, PLoS ONE 19(3): e0293440.
    """

    measure = CONVERGENCE
    statistic = "ratio"

    def changes(self, piece: Piece) -> Iterator[Change]:
        run, calls, last = last_run(piece.batch), piece.on.calls, len(piece.on.calls) - 1
        for block in run:
            yield Change(LESION, block, piece.on.last(block, calls[block].before))
        for block in run[:-1]:
            first = calls[block + 1].again({}, calls[block].before)[0]
            yield Change(SWAP, block, piece.on.last(block + 1, calls[block].again({}, first)[0]))
            yield Change(AGAIN, block, piece.on.last(block + 1, calls[block].again({}, calls[block].after)[0]))
        if len(run) > 1:
            *_, state = repeated(calls[last], 1.0, len(run))
            yield Change(form_of(len(run), 1.0), last, state)

    def measure_batch(self, batch: ProbeBatch, record: Recorder) -> None:
        self.beside(batch, record, self.found(batch))

    def beside(self, batch: ProbeBatch, record: Recorder, found: Mapping[Row, Tensor]) -> None:
        trace, run = batch.trace, last_run(batch)
        if len(run) < 2:
            for measure, form in ROWS:
                record.absent(self._row(batch, measure, form), NO_NEIGHBOUR)
            return

        def of(measure: str, form: str, block: int) -> Tensor:
            return found[self.row(batch, measure, block, form)]

        states = [trace.before[run[0]], *(trace.after[block] for block in run)]
        read = follow(batch, states, shuffled=False)
        by_depth = {
            LOSS: [read[OBSERVED, state].loss for state in states],
            ERROR: [1 - read[OBSERVED, state].right.double() for state in states],
        }
        for form, values in by_depth.items():
            gained, lost = values[0] - values[-1], of(COSTS[form], form_of(len(run), 1.0), run[-1])
            self._ratio(batch, record, self._row(batch, CONVERGENCE, form), gained - 2 * _area(values), gained)
            self._ratio(batch, record, self._row(batch, DIVERGENCE, form), lost, gained)
        gone = [of("intervention_kl", LESION, block) for block in run]
        pairs = {
            SWAP: torch.stack([(one + other) / 2 for one, other in pairwise(gone)]).sum(0),
            AGAIN: torch.stack(gone[1:]).sum(0),
        }
        for form, without in pairs.items():
            changed = torch.stack([of("intervention_kl", form, block) for block in run[:-1]]).sum(0)
            self._ratio(batch, record, self._row(batch, RECURRENCE, form), without - changed, without)

    def _row(self, batch: ProbeBatch, measure: str, form: str) -> Row:
        target = "" if measure == RECURRENCE else "label"
        return batch.state_row(measure, len(batch.trace.states) - 1, statistic="ratio", form=form, target=target)

    @staticmethod
    def _ratio(batch: ProbeBatch, record: Recorder, row: Row, above: Tensor, below: Tensor) -> None:
        record.per_unit(row, ClearRatio, {"above": above, "below": below}, batch.trace.known, "n|known")


def last_run(batch: ProbeBatch) -> list[int]:
    """The last blocks of the network that follow each other and keep one shape of the state."""
    trace, run = batch.trace, [len(batch.trace.after) - 1]
    while run[0] > 0 and are_neighbours(trace, run[0] - 1):
        run.insert(0, run[0] - 1)
    return run


def _area(values: Sequence[Tensor]) -> Tensor:
    """The area under values by depth from 0 to 1, above the last of them (trapezoids)."""
    above = [value - values[-1] for value in values]
    return (torch.stack(above).sum(0) - above[0] / 2) / (len(values) - 1)

"""The swap probe: what does it cost if two neighbouring blocks run in the other order?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from ..networks.trace import Trace
from ..results.reasons import NO_NEIGHBOUR
from ..results.recorder import Recorder
from ..results.row import Row
from .batch import ProbeBatch
from .intervention import MEASURES, Change, Intervention, Piece

SWAP = "swap"


@dataclass(frozen=True, repr=False)
class Swap(Intervention):
    """The cost of two neighbouring blocks in the other order, in rows about the first of the two.

    Both have to keep the state's shape, with nothing between them. Each block takes its own other arguments along. Blocks that
    are steps of one iteration can change places; so can blocks that add nothing, or that add independent things.

    Source: Veit et al. 2016 (reordering blocks); Lad et al. 2024 (swapping layers).
    """

    measure = "cost"

    def changes(self, piece: Piece) -> Iterator[Change]:
        calls = piece.on.calls
        for block in range(len(calls) - 1):
            if are_neighbours(piece.trace, block):
                first = calls[block + 1].again({}, calls[block].before)[0]
                state = calls[block].again({}, first)[0]
                yield Change(SWAP, block, piece.on.last(block + 1, state))

    def beside(self, batch: ProbeBatch, record: Recorder, found: Mapping[Row, Tensor]) -> None:
        for block in range(len(batch.network.blocks)):
            if not are_neighbours(batch.trace, block):
                for measure in MEASURES:
                    record.absent(self.row(batch, measure, block, SWAP), NO_NEIGHBOUR)


def are_neighbours(trace: Trace, block: int) -> bool:
    """Whether a block and the next one keep one shape of state, with nothing between them."""
    if block + 1 == len(trace.after) or trace.after[block] != trace.before[block + 1]:
        return False
    shapes = {trace.states[state].shape for state in (trace.before[block], *trace.after[block : block + 2])}
    return len(shapes) == 1

"""The repeat probe: what happens if a block runs again?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import torch
from torch import Tensor

from ..errors import ItinfError, shown
from ..lenses.transfer.matrix import half_of
from ..networks.block_call import BlockCall
from ..networks.proofs import ends_in_relu
from ..results.reasons import SHAPE_CHANGES
from ..results.recorder import Recorder
from ..results.row import Row
from ..settings import whole
from .batch import ProbeBatch
from .borderline import borderline
from .intervention import MEASURES, Change, Intervention, Piece

BEST, NORM = "repeat best", "repeated_norm"


@dataclass(frozen=True, repr=False)
class Repeat(Intervention):
    """The cost of a block that runs again, with its whole update or a share of it.

    It runs k more times, each time with a share a: h ← h + a·(f(h) − h); a post-activation block ends in its ReLU,
    h ← ReLU(h + a·F(h)).

    Every block is repeated once and in full, "repeat 1 × 1". The last block is repeated in every combination of ``times`` and
    ``scale``. If it is a step down the loss of the readout, the loss goes on falling. Beside these stand:

    * the form "repeat best": the cost of the combination that costs least on *other* clusters. Each half of the clusters chooses
      for the other, anew in every replicate. Without a scale that is chosen so, "no improvement" says nothing: repeated in
      full, a block of a usual network only inflates its state.
    * ``repeated_norm``: length of the state after the repeats / length of the state before them.
    * subsets "borderline at S", with the state S after the last block or before it: costs of the units that are borderline there,
      see ``Borderline``. They are chosen before what is repeated.

    Attributes:
        times: how many more times, k.
        scale: shares of the update, a.
        last_alone: True repeats the last block alone, which takes a small share of the time.

    Raises:
        ItinfError: a number of times is below 1, or a scale is not positive.

    Source: Jastrzębski et al. 2018, section 4.4 (scaled steps of the last block).
    """

    times: Sequence[int] = (1, 2, 5)
    scale: Sequence[float] = (0.05, 0.1, 0.3, 1.0)
    last_alone: bool = False

    measure = "cost"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, values in (("times", self.times), ("scale", self.scale)):
            if not isinstance(values, list | tuple) or not values:
                raise ItinfError(f"Repeat: {name} is {shown(values)}; expected a sequence of numbers, such as (1, 2).")
        for k in self.times:
            whole("times", k, 1, "the block runs so many more times")
        if wrong := [a for a in self.scale if not isinstance(a, int | float) or not a > 0]:
            raise ItinfError(
                f"Repeat: the scale {shown(wrong[0])} is not positive. Give shares of the update, such as 0.1."
            )

    @property
    def combinations(self) -> list[tuple[int, float]]:
        """(k, a) of the last block."""
        return list(product(sorted(set(self.times)), sorted(set(self.scale))))

    def changes(self, piece: Piece) -> Iterator[Change]:
        calls = piece.on.calls
        for block, call in enumerate(calls):
            is_last = block == len(calls) - 1
            if call.before.shape != call.after.shape or (self.last_alone and not is_last):
                continue
            wanted = {(1, 1.0), *(self.combinations if is_last else ())}
            for a in sorted({scale for _, scale in wanted}):
                for k, state in enumerate(repeated(call, a, max(k for k, scale in wanted if scale == a)), 1):
                    if (k, a) in wanted:
                        size = {NORM: (_norm(piece, state) / _norm(piece, call.after))}
                        yield Change(form_of(k, a), block, piece.on.last(block, state), beside=size)

    def beside(self, batch: ProbeBatch, record: Recorder, found: Mapping[Row, Tensor]) -> None:
        trace, last = batch.trace, len(batch.network.blocks) - 1
        for block in range(last if self.last_alone else 0, last + 1):
            if trace.states[trace.before[block]].shape != trace.states[trace.after[block]].shape:
                for measure in (*MEASURES, NORM):
                    record.absent(self.row(batch, measure, block, form_of(1, 1.0)), SHAPE_CHANGES)
            elif block == last:
                self._of_last(batch, record, found, "all", trace.known)
                for state in (trace.before[block], trace.after[block]):
                    self._of_last(batch, record, found, f"borderline at {state}", borderline(trace, state))

    def _of_last(
        self, batch: ProbeBatch, record: Recorder, found: Mapping[Row, Tensor], subset: str, known: Tensor
    ) -> None:
        """The best repeat of the last block, and every one for a subset of the units, (N, P) bool."""
        count = record.count("n|known" if subset == "all" else f"n|{subset}", known)
        second = torch.from_numpy(half_of(batch.trace.keys).astype(bool)).to(known.device)
        for measure in ("cost", "accuracy_cost"):
            rows = [
                self.row(batch, measure, len(batch.network.blocks) - 1, form_of(*each)) for each in self.combinations
            ]
            best = replace(rows[0], form=BEST, subset=subset)
            record.best(best, [found[row] for row in rows], known, second, count)
            for row in rows if subset != "all" else ():
                record.mean(replace(row, subset=subset), found[row], known, count)


def form_of(times: int, scale: float) -> str:
    """The name of a repeat in the column ``form``."""
    return f"repeat {times} × {scale:g}"


def repeated(call: BlockCall, scale: float, times: int) -> Iterator[Tensor]:
    """The states after 1, 2 … further runs of a block, each with a share of its update."""
    state, branch = call.after, call.block.branch
    for _ in range(times):
        after, inside = call.again({}, state)
        if scale != 1:
            relu = branch is not None and ends_in_relu(call)
            after = (state + scale * inside[branch]).relu() if relu and branch else state + scale * (after - state)
        state = after
        yield state


def _norm(piece: Piece, state: Tensor) -> Tensor:
    """(N, P) float64: the length of each unit's state; 1 where it is zero, NaN where it is not finite."""
    network = piece.batch.network
    norm = network.canonical(network.batch_first(state)).double().square().sum((2, 3)).sqrt()
    return torch.where(norm.isfinite(), torch.where(norm > 0, norm, 1.0), torch.nan)

"""The update-norm probe: the size of each block's update relative to the state that it is added to."""

from __future__ import annotations

from dataclasses import dataclass

from ..results.reasons import SHAPE_CHANGES
from ..results.recorder import Recorder
from .block import BlockProducts, requested
from .probe import Probe


@dataclass(frozen=True, repr=False)
class UpdateNorm(Probe):
    """|update| / |state that it is added to|, a ratio of l2 norms: its mean and its median over units.

    The norm of an image is taken over the whole feature map, the norm of a token over its vector.

    Source: Jastrzębski et al. 2018, section 4.2 (mean of ratios).
    """

    def measure_block(self, block: BlockProducts, record: Recorder) -> None:
        trace = block.batch.trace
        before, after = trace.states[trace.before[block.number]], trace.states[trace.after[block.number]]
        for c, reason in requested(block, ("output",), ("label",))[1].items():
            record.absent(block.row("update_norm", update=c.update, target=""), reason)
        for update, part in block.updates:
            row = block.row("update_norm", update=update, part=part, target="")
            if before.shape != after.shape:
                record.absent(row, SHAPE_CHANGES)
                continue
            norm = block.update_squares[update, part].sum(2).sqrt()
            base = block.base_norm(part)
            fits = trace.known & (base > 0)
            ratio = norm / base.where(base > 0, 1.0)
            record.mean(row, ratio, fits, f"n|base|{part}|{block.number + 1}", median=True)

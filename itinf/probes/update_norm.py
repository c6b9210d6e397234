"""How large is each block's update against the state it is added to?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..networks.trace import Target
from ..results.recorder import Recorder
from ..results.row import Row
from .batch import ProbeBatch
from .block import BlockProducts, requested
from .gradients import GradientName


@dataclass(frozen=True)
class UpdateNorm:
    """|update| / |state it is added to|, the l2 ratio: mean over units of the ratio, and its median.

    For an image the norms are over the whole feature map, for a token over its own vector.

    Source: Jastrzębski et al. 2018, section 4.2 (mean of ratios).
    """

    gradients: Sequence[GradientName] = ()
    targets: Sequence[Target] = ()
    readouts: bool = False

    def measure_batch(self, view: ProbeBatch, record: Recorder) -> None:
        return None

    def measure_block(self, view: BlockProducts, record: Recorder) -> None:
        trace, network = view.batch.trace, view.batch.network
        before, after = trace.states[trace.before[view.block]], trace.states[trace.after[view.block]]
        for c, reason in requested(view, ("output",), ("label",))[1].items():
            record.absent(Row("update_norm", view.block + 1, network.unit, update=c.update, target=""), reason)
        for update, part in view.updates:
            row = Row("update_norm", view.block + 1, network.unit, update=update, part=part, target="")
            if before.shape != after.shape:
                record.absent(row, "the block changes the state's shape")
                continue
            norm = view.update_squares[update, part].sum(2).sqrt()
            base = view.base_norm(part)
            fits = trace.known & (base > 0)
            record.mean(row, norm / base.where(base > 0, 1.0), fits, f"n|base|{part}|{view.block + 1}", median=True)

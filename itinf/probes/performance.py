"""How well does the network do, and what would its readout say at every depth?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..networks.trace import Target
from ..results.recorder import Recorder
from ..results.row import Row
from .batch import ProbeBatch
from .block import BlockProducts
from .gradients import GradientName


@dataclass(frozen=True)
class Performance:
    """Top-1 accuracy and cross-entropy (nats per unit) of the network, as the last block's rows."""

    gradients: Sequence[GradientName] = ()
    targets: Sequence[Target] = ()
    readouts: bool = False

    def measure_block(self, view: BlockProducts, record: Recorder) -> None:
        return None

    def measure_batch(self, view: ProbeBatch, record: Recorder) -> None:
        trace, last = view.trace, len(view.network.blocks)
        unit = view.network.unit
        right = (trace.answer == trace.targets).double()
        record.mean(Row("accuracy", last, unit), right, trace.known, "n|known")
        record.mean(Row("loss", last, unit), trace.loss, trace.known, "n|known")

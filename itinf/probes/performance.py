"""How well does the network do, and what would its readout say at every depth?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..recorder import Recorder, Row
from ..tracing import Target
from ..vectors import GradientName
from ..view import BatchView, BlockView


@dataclass(frozen=True)
class Performance:
    """Top-1 accuracy and cross-entropy (nats per unit) of the network, as the last block's rows."""

    gradients: Sequence[GradientName] = ()
    targets: Sequence[Target] = ()
    readouts: bool = False

    def block(self, view: BlockView, record: Recorder) -> None:
        return None

    def whole(self, view: BatchView, record: Recorder) -> None:
        trace, last = view.trace, len(view.network.blocks)
        unit = view.network.unit
        right = (trace.answer == trace.targets).double()
        record.mean(Row("accuracy", last, unit), right, trace.known, "n|known")
        record.mean(Row("loss", last, unit), trace.loss, trace.known, "n|known")

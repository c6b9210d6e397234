"""The performance probe: accuracy and loss of the network."""

from __future__ import annotations

from dataclasses import dataclass

from ..results.recorder import Recorder
from .batch import ProbeBatch
from .probe import Probe


@dataclass(frozen=True, repr=False)
class Performance(Probe):
    """Top-1 accuracy and cross-entropy (nats per unit) of the network, in rows about the last block."""

    def measure_batch(self, batch: ProbeBatch, record: Recorder) -> None:
        trace, last = batch.trace, len(batch.network.blocks) - 1
        record.share(batch.row("accuracy", last), trace.answer == trace.targets, trace.known, "n|known")
        record.mean(batch.row("loss", last), trace.loss, trace.known, "n|known")

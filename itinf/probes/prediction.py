"""Blocks in prediction space: gain, movement and efficiency, free of any basis and of the number of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..recorder import Recorder, Row, row_and_column
from ..steps import Step, steps
from ..tracing import Target
from ..vectors import GradientName
from ..view import BatchView, BlockView


@dataclass(frozen=True)
class Prediction:
    """Gain G, movement K (bits per unit) and efficiency ΣG / (|ΣG| + ΣK) of every block the readout fits.

    Efficiency 0 is movement without gain, about ½ calibrated new evidence, towards 1 descent that
    knows the target, negative harm. A positive cosine in logit space says nothing: it is implied
    by movement (``itinf.steps.gain_and_movement``).

    Attributes:
        targets: "label", or "model" (the network's final distribution; the update is then a summand
            of its own target, and even a random walk gains).
        nulls: "pairing", "same-target" (another unit's increments), "order-shuffled" (the unit's own
            increments in random depth order).
    """

    targets: Sequence[Target] = ("label",)
    nulls: Sequence[str] = ("pairing", "same-target", "order-shuffled")
    gradients: Sequence[GradientName] = ()
    readouts: bool = False

    def block(self, view: BlockView, record: Recorder) -> None:
        return None

    def whole(self, view: BatchView, record: Recorder) -> None:
        partners = {name: view.partners[name] for name in ("pairing", "same-target") if name in self.nulls}
        found = steps(
            view.network,
            view.trace,
            self.targets,
            {name: p.cpu().numpy() for name, p in partners.items()},
            "order-shuffled" in self.nulls,
            view.seed,
        )
        for (block, target, null), step in found.items():
            if null in partners:
                self._partnered(
                    view, record, block, target, null, step, partners[null], found[block, target, "observed"]
                )
            else:
                self._own(view, record, block, target, null, step)
        measured = {block for block, _, _ in found}
        for block in range(len(view.trace.before)):
            if block not in measured:
                for target in self.targets:
                    for measure, statistic in (
                        ("efficiency", "ratio"),
                        ("prediction_gain", "mean"),
                        ("prediction_movement", "mean"),
                    ):
                        row = Row(measure, block + 1, view.network.unit, statistic, target=target)
                        record.absent(row, "the readout does not fit both states; it takes a lens")

    def _own(self, view: BatchView, record: Recorder, block: int, target: Target, null: str, step: Step) -> None:
        unit = view.network.unit
        for measure, values in (("prediction_gain", step.gain), ("prediction_movement", step.movement)):
            row = Row(measure, block + 1, unit, target=target, null=null)
            record.mean(row, values, step.known, "n|known")
        gain, movement = ((torch.where(step.known, x, 0.0)).sum(1) for x in (step.gain, step.movement))
        row = Row("efficiency", block + 1, unit, "ratio", target=target, null=null)
        record.custom(row, "efficiency", {"gain": gain, "movement": movement}, {"n": "n|known"})

    def _partnered(
        self,
        view: BatchView,
        record: Recorder,
        block: int,
        target: Target,
        null: str,
        step: Step,
        partner: Tensor,
        observed: Step,
    ) -> None:
        unit, count = view.network.unit, f"partners|{null}"
        for measure, values, own in (
            ("prediction_gain", step.gain, observed.gain),
            ("prediction_movement", step.movement, observed.movement),
        ):
            record.partners(Row(measure, block + 1, unit, target=target, null=null), values, own, partner, count)
        fits = (partner >= 0).reshape(step.gain.shape)
        columns = {
            "gain": row_and_column(torch.where(fits, step.gain, 0.0), partner),
            "movement": row_and_column(torch.where(fits, step.movement, 0.0), partner),
            "own gain": torch.where(fits, observed.gain, 0.0).sum(1),
            "own movement": torch.where(fits, observed.movement, 0.0).sum(1),
        }
        row = Row("efficiency", block + 1, unit, "ratio", target=target, null=null)
        record.custom(row, "pair efficiency", columns, {"n": f"{count}|own", "pairs": count})

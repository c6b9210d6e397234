"""The prediction probe: gain, movement and efficiency of blocks in prediction space, independent of any basis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product

from torch import Tensor

from ..lenses.lens import translators_at
from ..networks.trace import Target
from ..results.estimators import Efficiency, PairEfficiency
from ..results.reasons import NO_READOUT_OF_BOTH, NO_TRANSLATOR_OF_BOTH, OTHER_WIDTH_BEFORE
from ..results.recorder import Recorder
from ..results.row import Row
from ..settings import whole
from .batch import ProbeBatch
from .prediction_space import Step, prediction_steps
from .probe import NullChoice, Probe
from .steps import StepSpan, block_steps, merged_steps

MEASURES = (("efficiency", "ratio"), ("prediction_gain", "mean"), ("prediction_movement", "mean"))
"""Measures with their statistics."""


@dataclass(frozen=True, repr=False)
class Prediction(Probe):
    """Gain G, movement K (bits per unit) and efficiency ΣG / (|ΣG| + ΣK) of every block whose two states are read.

    An efficiency of 0 means movement without gain; about ½ means calibrated new evidence; near 1 means descent that
    knows the target; a negative one means harm. A positive cosine in logit space says nothing, because every movement
    implies it (``itinf.probes.prediction_space.gain_and_movement``).

    The network's own readout fits only states of the width of the last state; a lens also reads the others. With a
    lens, the gain is also split into two parts if the translator of the block's end fits the width of both states:
    ``block_gain`` is the gain under that translator, and ``lens_change_gain`` is the rest. Efficiency depends on the
    number of steps. So that networks can be compared, their blocks are merged into the same number of steps: rows of
    the form "merged to 6" are about the last block of each step. With a lens, these rows have the nulls; rows of single
    blocks have then only the null "pairing".

    Attributes:
        targets: "label", or "model" (the network's final distribution; the update is then part of its own target,
            and even a random walk gains).
        nulls: "pairing", "same-target" or a null of your own (steps of another unit), "order-shuffled" (steps of the
            unit itself, in random depth order). The last two are questions, not judges: the controls do not pass
            them reliably, see ``docs/power.md``.
        lens: a lens that reads the states; None for the network's own readout, whose rows have the ``lens`` "". The
            shared lens has one map for all states of a segment; only mean and scale differ between depths.
        name: name of the lens in the table; by default its kind.
        merge: number of steps into which blocks are also merged if there is a lens; None for no merged steps. With
            fewer blocks there are fewer steps, and the form says how many.

    Raises:
        ItinfError: ``merge`` is less than 1.
    """

    targets: Sequence[Target] = ("label",)
    nulls: Sequence[NullChoice] = ("pairing", "same-target", "order-shuffled")
    merge: int | None = field(default=6, metadata={"lens": True})

    measure = "efficiency"
    statistic = "ratio"
    own_nulls = ("order-shuffled",)

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("merge", self.merge, 1, "None leaves out merged steps", optional=True)

    def without_nulls(self) -> Prediction:
        """With the pairing null alone: the onset of an untrained network needs it, too."""
        return self._with(nulls=[null for null in self.nulls if null == "pairing"]) if self.nulls else self

    def measure_batch(self, batch: ProbeBatch, record: Recorder) -> None:
        through = translators_at(batch.trace, self.lens)
        paths = {"": block_steps(batch.trace, through)}
        if self.lens is not None and self.merge is not None:
            joined = merged_steps(batch.trace, through, self.merge)
            paths |= {f"merged to {len(joined)}": joined} if joined else {}
        partners = {name: batch.partners[name] for name in self.partner_nulls}
        steps = prediction_steps(
            batch.trace,
            through,
            paths,
            self.targets,
            partners,
            shuffled="order-shuffled" in self.null_names,
            seed=batch.seed,
            paired_alone=[""] if len(paths) > 1 else [],
        )
        for (form, block, target, null), step in steps.items():
            columns = {"form": form, "target": target, "null": null, "lens": self.lens_name}
            row = batch.row("efficiency", block, statistic="ratio", **columns)
            if null in partners:
                self._partnered(record, row, step, partners[null], steps[form, block, target, "observed"])
            else:
                self._own(record, row, step)
                if null == "observed" and self.lens is not None:
                    _split(record, row, step)
        self._absent(batch, record, paths[""])

    def _absent(self, batch: ProbeBatch, record: Recorder, measured: Sequence[StepSpan]) -> None:
        why = NO_READOUT_OF_BOTH if self.lens is None else NO_TRANSLATOR_OF_BOTH
        missing = sorted(set(range(len(batch.trace.before))) - {span.block for span in measured})
        for block, target, (measure, statistic) in product(missing, self.targets, MEASURES):
            row = batch.row(measure, block, statistic=statistic, target=target, lens=self.lens_name)
            record.absent(row, why)

    def _own(self, record: Recorder, row: Row, step: Step) -> None:
        for measure, values in (("prediction_gain", step.gain), ("prediction_movement", step.movement)):
            record.mean(replace(row, measure=measure, statistic="mean"), values, step.known, "n|known")
        record.per_unit(row, Efficiency, {"gain": step.gain, "movement": step.movement}, step.known, "n|known")

    def _partnered(self, record: Recorder, row: Row, step: Step, partner: Tensor, observed: Step) -> None:
        count = f"partners|{row.null}"
        for measure, theirs, own in (
            ("prediction_gain", step.gain, observed.gain),
            ("prediction_movement", step.movement, observed.movement),
        ):
            record.partners(replace(row, measure=measure, statistic="mean"), theirs, own, partner, count)
        values = {"gain": step.gain, "movement": step.movement}
        values |= {"own_gain": observed.gain, "own_movement": observed.movement}
        record.per_partner(row, PairEfficiency, values, partner, n=f"{count}|own", pairs=count)


def _split(record: Recorder, row: Row, step: Step) -> None:
    block, change = (replace(row, measure=m, statistic="mean") for m in ("block_gain", "lens_change_gain"))
    if step.block_gain is None:
        record.absent(block, OTHER_WIDTH_BEFORE)
        record.absent(change, OTHER_WIDTH_BEFORE)
        return
    record.mean(block, step.block_gain, step.known, "n|known")
    record.mean(change, step.gain - step.block_gain, step.known, "n|known")

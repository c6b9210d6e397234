"""Blocks in prediction space: gain, movement and efficiency, free of any basis and of the number of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..errors import ItinfError
from ..lenses.lens import translators_at
from ..networks.trace import Target
from ..results.recorder import Recorder, row_and_column
from ..results.row import Row
from .batch import ProbeBatch, lens_name
from .block import BlockProducts
from .gradients import GradientName
from .prediction_space import Step, block_steps, merged_steps, prediction_steps
from .probe import ThroughLens

NO_TRANSLATORS = "the lens has no translator for both states"
OTHER_WIDTH = "the lens of the step's end does not fit the width of its start"


@dataclass(frozen=True, repr=False)
class Prediction(ThroughLens):
    """Gain G, movement K (bits per unit) and efficiency ΣG / (|ΣG| + ΣK) of every block both of whose states are read.

    Efficiency 0 is movement without gain, about ½ calibrated new evidence, towards 1 descent that
    knows the target, negative harm. A positive cosine in logit space says nothing: it is implied
    by movement (``itinf.probes.prediction_space.gain_and_movement``).

    The network's own readout fits only states of the last one's width; a lens reads the others,
    too. With a lens the gain is also split into ``block_gain``, what the block does under the lens
    of its end, and ``lens_change_gain``, the rest, where that lens fits the width of both states.
    Efficiency depends on how finely depth is cut, so networks are compared with their blocks merged
    to as many steps: rows of the form "merged to 6" stand at each step's last block, and there with a
    lens the nulls stand, too.

    Attributes:
        targets: "label", or "model" (the network's final distribution; the update is then a summand
            of its own target, and even a random walk gains).
        nulls: "pairing", "same-target" (another unit's increments), "order-shuffled" (the unit's own
            increments in random depth order).
        lens: what states are read through; None for the network's own readout, whose rows are
            ``lens`` "". The shared lens is one for all states of a segment but for each depth's
            mean and scale, and another in the next segment.
        name: of the lens in the table; by default its kind.
        merge: with a lens, blocks are also merged to so many steps, fewer where there are fewer
            blocks, which the form then says; None for not.

    Raises:
        ItinfError: ``merge`` is less than 1.
    """

    targets: Sequence[Target] = ("label",)
    nulls: Sequence[str] = ("pairing", "same-target", "order-shuffled")
    gradients: Sequence[GradientName] = ()
    readouts: bool = False
    merge: int | None = field(default=6, metadata={"lens": True})

    def __post_init__(self) -> None:
        if self.merge is not None and self.merge < 1:
            raise ItinfError(f"merge is {self.merge}; expected at least 1 step, or None for no merged steps.")

    def measure_block(self, view: BlockProducts, record: Recorder) -> None:
        return None

    def measure_batch(self, view: ProbeBatch, record: Recorder) -> None:
        lens = lens_name(self)
        partners = {name: view.partners[name] for name in ("pairing", "same-target") if name in self.nulls}
        nulls = {name: p.cpu().numpy() for name, p in partners.items()}
        through = translators_at(view.trace, self.lens)
        ways = {"": block_steps(view.trace, through)}
        if self.lens is not None and self.merge is not None:
            joined = merged_steps(view.trace, through, self.merge)
            ways |= {f"merged to {len(joined)}": joined} if joined else {}
        shuffled = "order-shuffled" in self.nulls
        bare = [""] if len(ways) > 1 else []
        found = prediction_steps(view.trace, through, ways, self.targets, nulls, shuffled, view.seed, bare)
        for (form, block, target, null), step in found.items():
            row = Row(
                "efficiency", block + 1, view.network.unit, "ratio", form=form, target=target, null=null, lens=lens
            )
            if null in partners:
                self._partnered(record, row, step, partners[null], found[form, block, target, "observed"])
            else:
                self._own(record, row, step)
                if null == "observed" and self.lens is not None:
                    _split(record, row, step)
        measured = {block for form, block, *_ in found if not form}
        why = "the readout does not fit both states; it takes a lens" if self.lens is None else NO_TRANSLATORS
        for block in range(len(view.trace.before)):
            if block not in measured:
                for target in self.targets:
                    for measure, statistic in (
                        ("efficiency", "ratio"),
                        ("prediction_gain", "mean"),
                        ("prediction_movement", "mean"),
                    ):
                        row = Row(measure, block + 1, view.network.unit, statistic, target=target, lens=lens)
                        record.absent(row, why)

    def _own(self, record: Recorder, row: Row, step: Step) -> None:
        for measure, values in (("prediction_gain", step.gain), ("prediction_movement", step.movement)):
            record.mean(replace(row, measure=measure, statistic="mean"), values, step.known, "n|known")
        gain, movement = ((torch.where(step.known, x, 0.0)).sum(1) for x in (step.gain, step.movement))
        record.add(row, "efficiency", {"gain": gain, "movement": movement}, {"n": "n|known"})

    def _partnered(self, record: Recorder, row: Row, step: Step, partner: Tensor, observed: Step) -> None:
        count = f"partners|{row.null}"
        for measure, values, own in (
            ("prediction_gain", step.gain, observed.gain),
            ("prediction_movement", step.movement, observed.movement),
        ):
            record.partners(replace(row, measure=measure, statistic="mean"), values, own, partner, count)
        fits = (partner >= 0).reshape(step.gain.shape)
        columns = {
            "gain": row_and_column(torch.where(fits, step.gain, 0.0), partner),
            "movement": row_and_column(torch.where(fits, step.movement, 0.0), partner),
            "own gain": torch.where(fits, observed.gain, 0.0).sum(1),
            "own movement": torch.where(fits, observed.movement, 0.0).sum(1),
        }
        record.add(row, "pair efficiency", columns, {"n": f"{count}|own", "pairs": count})


def _split(record: Recorder, row: Row, step: Step) -> None:
    block, change = (replace(row, measure=m, statistic="mean") for m in ("block_gain", "lens_change_gain"))
    if step.block_gain is None:
        record.absent(block, OTHER_WIDTH)
        record.absent(change, OTHER_WIDTH)
        return
    record.mean(block, step.block_gain, step.known, "n|known")
    record.mean(change, step.gain - step.block_gain, step.known, "n|known")

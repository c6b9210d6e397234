"""How much loss does each block take away: to first order, in fact, and the part the gradient leaves unexplained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..lenses.lens import translators_at
from ..networks.trace import Target
from ..results.recorder import Recorder
from ..results.row import Row
from .batch import NO_TRANSLATOR, Combination, ProbeBatch, lens_name
from .block import BlockProducts, requested
from .dot_products import both_known, off_diagonal
from .gradients import GradientName
from .probe import ThroughLens
from .readouts import read_state


@dataclass(frozen=True, repr=False)
class Gain(ThroughLens):
    """⟨update, −gradient⟩ of the loss itself, in nats per unit, and the gain realised by the readout.

    * ``first_order_gain``, for each gradient: with ``output`` what deleting the block would cost, to
      first order; with ``readout`` what the block should take off the readout's loss.
    * ``realised_gain``: ℓ(readout(h_{l−1})) − ℓ(readout(h_l)), where the readout fits both states.
      It telescopes over depth. With a lens both states are read through that of h_{l−1}, whose
      gradient ``readout`` then is; so it does not telescope, unlike ``Prediction``'s gain.
    * ``unexplained_gain``: realised − first-order (``readout``), the curvature of the step.

    A mean cosine and a mean gain can have opposite signs.

    Attributes:
        gradients, targets: as for ``Alignment``; the realised gain is against the label.
        nulls: "pairing": another cluster's gradient, all pairs of a group.
        lens, name: as for ``Alignment``.
    """

    gradients: Sequence[GradientName] = ("input", "output", "readout")
    targets: Sequence[Target] = ("label",)
    nulls: Sequence[str] = ("pairing",)

    @property
    def readouts(self) -> bool:
        return "readout" in self.gradients

    def measure_batch(self, view: ProbeBatch, record: Recorder) -> None:
        return None

    def measure_block(self, view: BlockProducts, record: Recorder) -> None:
        present, absent = requested(view, self.gradients, self.targets, lens_name(self))
        for combination, reason in absent.items():
            record.absent(self._row("first_order_gain", view, combination), reason)
        for combination in present:
            self._first_order(view, record, combination)
        self._realised(view, record)

    def _first_order(self, view: BlockProducts, record: Recorder, c: Combination) -> None:
        known = view.batch.trace.known
        scale = view.gradients[c].scale
        own, pairs, numbers = [], [], []
        for group, members in enumerate(view.batch.groups):
            gains = -view.raw(c, group) * scale[members].T.unsqueeze(1)  # (P, n, n): update i, loss of k
            own.append(gains.diagonal(dim1=1, dim2=2).T)
            both = both_known(known[members])
            pairs.append(off_diagonal(gains, both))
            numbers.append(off_diagonal(both.double(), both))
        row = self._row("first_order_gain", view, c)
        record.mean(row, torch.cat(own), known, "n|known", median=True)
        if "pairing" in self.nulls:
            null = replace(row, null="pairing")
            record.pairs(null, torch.cat(pairs), torch.cat(numbers), "pairs|known")
        for subset, chosen in view.correct_before(c.part, c.lens).items():
            part = replace(row, subset=subset)
            record.mean(part, torch.cat(own), known & chosen, _tag(c, subset, view.block))

    def _realised(self, view: BlockProducts, record: Recorder) -> None:
        trace = view.batch.trace
        if "readout" not in self.gradients:
            return
        combination = Combination("update", "", "readout", "label", lens_name(self))
        row = self._row("realised_gain", view, combination)
        realised = self._taken(view)
        if isinstance(realised, str):
            for measure in ("realised_gain", "unexplained_gain"):
                record.absent(self._row(measure, view, combination), realised)
            return
        record.mean(row, realised, trace.known, "n|known", median=True)
        if combination in view.gradients:
            own = [view.raw(combination, g).diagonal(dim1=1, dim2=2).T for g in range(len(view.batch.groups))]
            first = -torch.cat(own) * view.gradients[combination].scale
            record.mean(self._row("unexplained_gain", view, combination), realised - first, trace.known, "n|known")

    def _taken(self, view: BlockProducts) -> Tensor | str:
        """(N, P): what the block takes off the loss of the readout of its start, in nats; or why there is none."""
        network, trace = view.batch.network, view.batch.trace
        read = view.batch.readouts_of(lens_name(self))
        before, after = trace.before[view.block], trace.after[view.block]
        if self.lens is None:
            if before not in read or after not in read:
                return "the readout does not fit both states; it takes a lens"
            return read[before].loss - read[after].loss
        if before not in read:
            return NO_TRANSLATOR
        if network.width(trace.states[before]) != network.width(trace.states[after]):
            return "the lens of the block's start does not fit the width of its end"
        translator = translators_at(trace, self.lens)[before]
        return read[before].loss - read_state(trace, after, (), translator).loss

    def _row(self, measure: str, view: BlockProducts, c: Combination) -> Row:
        unit = view.batch.network.unit
        return Row(measure, view.block + 1, unit, "mean", c.gradient, c.update, c.part, "", c.target, lens=c.lens)


def _tag(c: Combination, subset: str, block: int) -> str:
    tag = f"n|{subset}|{c.part}|{block + 1}"
    return f"{tag}|{c.lens}" if c.lens else tag

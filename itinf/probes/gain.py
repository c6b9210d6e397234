"""The gain probe: how much each block lowers the loss, to first order, in fact, and the difference of the two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..lenses.lens import translators_at
from ..networks.trace import Target
from ..results.dyads import stacked
from ..results.reasons import NO_READOUT_OF_BOTH, NO_TRANSLATOR, OTHER_WIDTH_AFTER, Reason
from ..results.recorder import Recorder
from .batch import Combination
from .block import BlockProducts
from .dot_products import between_clusters, both_known
from .gradients import GradientName
from .probe import NullChoice, Probe
from .readouts import read_state


@dataclass(frozen=True, repr=False)
class Gain(Probe):
    """⟨update, −gradient⟩ of the loss, in nats per unit, and the realised gain of the readout.

    * ``first_order_gain``, for each gradient. With ``output`` it is the cost of deleting the block, to first order;
      with ``readout`` it is the predicted decrease of the readout's loss over the block.
    * ``realised_gain``: ℓ(readout(h_{l−1})) − ℓ(readout(h_l)), if the readout fits both states. It telescopes over
      depth. With a lens, both states are read through the translator of h_{l−1}, because the ``readout`` gradient
      is taken through it; so this gain does not telescope, unlike the gain of ``Prediction``.
    * ``unexplained_gain``: realised − first-order (``readout``): the effect of the curvature.

    A mean cosine and a mean gain can have opposite signs.

    Attributes:
        gradients, targets: as for ``Alignment``; the realised gain is against the label.
        nulls: "pairing" (another cluster's gradient, all pairs of a group), "same-target" (the gradient of another
            unit with the same target), or a null of your own that has partners.
        lens, name: as for ``Alignment``.
    """

    gradients: Sequence[GradientName] = ("input", "output", "readout")
    targets: Sequence[Target] = ("label",)
    nulls: Sequence[NullChoice] = ("pairing",)

    measure = "first_order_gain"

    def measure_block(self, block: BlockProducts, record: Recorder) -> None:
        present, absent = self.requested(block)
        for combination, reason in absent.items():
            record.absent(block.row("first_order_gain", combination), reason)
        for combination in present:
            self._first_order(block, record, combination)
        if "readout" in self.gradients:
            self._realised(block, record)

    def _first_order(self, block: BlockProducts, record: Recorder, c: Combination) -> None:
        known = block.batch.trace.known
        scale = block.gradients[c].scale
        gain, pairs, numbers = [], [], []
        for group, members in enumerate(block.batch.groups):
            gains = -block.raw(c, group) * scale[members].T.unsqueeze(1)  # (P, n, n): update i, loss of k
            gain.append(gains.diagonal(dim1=1, dim2=2).T)
            both = both_known(known[members])
            pairs.append(between_clusters(gains, both))
            numbers.append(between_clusters(both.double(), both))
        row, observed = block.row("first_order_gain", c), torch.cat(gain)
        record.mean(row, observed, known, "n|known", median=True)
        for name in self.partner_nulls:
            if name == "pairing":
                record.pairs(replace(row, null=name), stacked(pairs), stacked(numbers), "pairs|known")
                continue
            if name == "same-target":
                self._same_target(block, record, c, observed)
                continue
            partner = block.batch.partners[name]
            theirs = -block.partner_products(c, partner) * scale.flatten()[partner]
            record.partners(
                replace(row, null=name), theirs.reshape(observed.shape), observed, partner, f"partners|{name}"
            )
        for subset, chosen in block.correct_before(c.part, c.lens).items():
            record.mean(replace(row, subset=subset), observed, known & chosen, _tag(c, subset, block.number))

    def _same_target(self, block: BlockProducts, record: Recorder, c: Combination, observed: Tensor) -> None:
        """Every unit's update with the gradients of all units of its group that have its target."""
        pairs, scale = block.batch.same_target, block.gradients[c].scale.flatten()
        known, weights = pairs.weights(block.batch.trace.known)

        def theirs(group: int, rows: Tensor) -> Tensor:
            return -block.clique_products(c, group, rows) * scale[rows.clamp_min(0)].unsqueeze(1)

        row, tables = block.row("first_order_gain", c, null="same-target"), pairs.tables(weights, theirs, observed)
        record.partner_means(row, tables, known, "partners|same-target|known")

    def _realised(self, block: BlockProducts, record: Recorder) -> None:
        known = block.batch.trace.known
        c = Combination("update", "", "readout", "label", self.lens_name)
        rows = [block.row(measure, c) for measure in ("realised_gain", "unexplained_gain")]
        realised = self._taken(block)
        if isinstance(realised, Reason):
            for row in rows:
                record.absent(row, realised)
            return
        record.mean(rows[0], realised, known, "n|known", median=True)
        if c in block.gradients:
            first_order = -block.own_products(c) * block.gradients[c].scale
            record.mean(rows[1], realised - first_order, known, "n|known")

    def _taken(self, block: BlockProducts) -> Tensor | Reason:
        """(N, P): the decrease of the readout's loss over the block, in nats; or the reason why it is undefined."""
        network, trace = block.batch.network, block.batch.trace
        readouts = block.batch.readouts_of(self.lens_name)
        before, after = trace.before[block.number], trace.after[block.number]
        if self.lens is None:
            if before not in readouts or after not in readouts:
                return NO_READOUT_OF_BOTH
            return readouts[before].loss - readouts[after].loss
        if before not in readouts:
            return NO_TRANSLATOR
        if network.width(trace.states[before]) != network.width(trace.states[after]):
            return OTHER_WIDTH_AFTER
        translator = translators_at(trace, self.lens)[before]
        return readouts[before].loss - read_state(trace, after, (), translator).loss


def _tag(c: Combination, subset: str, block: int) -> str:
    tag = f"n|{subset}|{c.part}|{block + 1}"
    return f"{tag}|{c.lens}" if c.lens else tag

"""The lesion probe: what does it cost if a block adds nothing?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..networks.network import Network
from ..networks.states import segments
from ..networks.trace import Target, Trace, UpdateName, updates
from ..results.reasons import OTHER_SHAPE, SHAPE_CHANGES, Reason
from ..results.recorder import Recorder
from ..results.row import Row
from ..settings import whole
from ..statistics.nulls import OBSERVED
from .batch import Combination, ProbeBatch, gradient_of
from .gradients import GradientName, Key
from .intervention import BITS, MEASURES, Change, Intervention, Piece
from .probe import NullChoice

LESION, MEAN = "lesion", "mean"
PREDICTED, DIRECT, REPAIR = "predicted_cost", "direct_cost", "self_repair"
"""Measures of a lesion alone."""


@dataclass(frozen=True, repr=False)
class Lesion(Intervention):
    """The cost of a block that adds nothing.

    Its branch is zero, so a post-activation block gives ReLU(skip), and a block that changes the shape keeps its shortcut.
    Where the branch alone is not known, the block gives its input; in a network without skips this deletes a whole layer.

    Beside the measures of ``Intervention``:

    * ``predicted_cost``: ⟨what the block adds, −gradient after it⟩, in bits: the cost to first order, which is
      ``first_order_gain`` with the gradient ``output``. Of a token it is the share of what is added there in the cost of its
      whole sequence, so means compare with the cost, and single tokens do not.
    * ``direct_cost``: the cost if later blocks did not answer: what the lesion changes at its block is added to the last
      state. Undefined where it does not fit there.
    * ``self_repair``: direct − actual cost; positive where later blocks make good for the lesion, negative where the loss of
      what they read costs more than the loss of what is read out. 0 at the last block.

    A lesion takes away what the block computes, and gives later blocks a state that they never saw. The nulls tell the two
    apart: with ``mean`` the block adds its mean over the calibration clusters, so that only what it does to this unit is
    lost (it runs again without each part of these clusters, so that intervals contain the error of this mean); with
    ``pairing`` and ``same-target`` it adds what it adds to another unit. All positions of a sequence change at once; a token without a
    partner keeps its own.

    Attributes:
        nulls: "mean", "pairing", "same-target", or a null of your own that has partners.
        units: at most so many images or sequences are measured, the first ones of the study; None for all.

    Raises:
        ItinfError: ``units`` is less than 1.

    Source: Veit et al. 2016 (deleting blocks); McGrath et al. 2023 (direct and actual effects).
    """

    nulls: Sequence[NullChoice] = (MEAN, "pairing", "same-target")
    units: int | None = None

    own_nulls = (MEAN,)
    measure = "cost"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.units is not None:
            whole("units", self.units, 1, "at most so many images or sequences are measured")

    @property
    def gradients(self) -> Sequence[GradientName]:
        return ("output",)

    @property
    def apart(self) -> bool:
        return MEAN in self.null_names

    @property
    def targets(self) -> Sequence[Target]:
        return ("label",)

    def changes(self, piece: Piece) -> Iterator[Change]:
        calls = piece.on.calls
        for block in range(len(calls)):
            taken = taken_away(piece.batch, block)
            if isinstance(taken, Reason):
                continue
            update, vector = taken
            for null in (OBSERVED, *self.null_names):
                others = self._instead(piece, block, taken, null)
                for place, other in enumerate(others):
                    state = _given(piece, block, update, vector, other)
                    without = place - 1 if place else None
                    yield Change(LESION, block, piece.on.last(block, state), update, null, without=without)
                if null == OBSERVED and _fits_at_the_end(piece.trace, block):
                    direct = calls[-1].after + (state - calls[block].after)
                    direct = state if block == len(calls) - 1 else direct  # without rounding
                    yield Change(LESION, block, direct, update, names={"cost": DIRECT})

    def _instead(
        self, piece: Piece, block: int, taken: tuple[UpdateName, Tensor], null: str
    ) -> Sequence[Tensor | None]:
        """What the block adds instead, in the network's layout: one, and for ``mean`` also those without each part."""
        batch, (update, vector) = piece.batch, taken
        if null == OBSERVED:
            return [None]
        if null == MEAN:
            key: Key = ("vector", block, update, "")
            means = [batch.calibration.means[key], *batch.calibration.without.get(key, ())]
            return [piece.part(_spread(batch.network, mean, vector)) for mean in means]
        network, partner = batch.network, batch.partners[null]
        width = len(partner) // len(vector)
        mine = slice(piece.clusters.start * width, piece.clusters.stop * width)
        chosen = torch.where(partner >= 0, partner, torch.arange(len(partner), device=partner.device))[mine]
        rows = network.per_prediction(vector)[chosen]
        return [network.batch_first(rows.view(-1, *vector.shape[1:]))]

    def beside(self, batch: ProbeBatch, record: Recorder, found: Mapping[Row, Tensor]) -> None:
        known, count = self.chosen(batch)
        for block in range(len(batch.network.blocks)):
            taken = taken_away(batch, block)
            if isinstance(taken, Reason):
                for measure in (*MEASURES, PREDICTED, DIRECT, REPAIR):
                    record.absent(self.row(batch, measure, block, LESION, "update"), taken)
                continue
            rows = {m: self.row(batch, m, block, LESION, taken[0]) for m in ("cost", PREDICTED, DIRECT, REPAIR)}
            record.mean(rows[PREDICTED], _predicted(batch, block, *taken), known, count)
            if rows[DIRECT] in found:
                record.mean(rows[REPAIR], found[rows[DIRECT]] - found[rows["cost"]], known, count)
            else:
                for measure in (DIRECT, REPAIR):
                    record.absent(rows[measure], OTHER_SHAPE)


def taken_away(batch: ProbeBatch, block: int) -> tuple[UpdateName, Tensor] | Reason:
    """What a lesion of a block takes away: its branch, or the update where the branch alone is not known."""
    vectors = updates(batch.trace, block)
    name: UpdateName
    for name in ("branch", "update"):
        if (name, "") in vectors:
            return name, vectors[name, ""]
    return SHAPE_CHANGES


def _fits_at_the_end(trace: Trace, block: int) -> bool:
    """Whether what changes after a block can be added to the last state: the same shape, and a basis in common."""
    after, last, numbers = trace.after[block], len(trace.states) - 1, segments(trace)
    return trace.states[after].shape == trace.states[last].shape and numbers[after] == numbers[last]


def _predicted(batch: ProbeBatch, block: int, update: UpdateName, vector: Tensor) -> Tensor:
    """(N, P) float64: the cost to first order, in bits."""
    gradient = gradient_of(batch.trace, {}, block, Combination(update, "", "output", "label"))
    assert not isinstance(gradient, Reason)  # the gradient at the state after a block always exists
    canonical = batch.network.canonical
    products = (canonical(vector).double() * canonical(gradient.direction).double()).sum((2, 3))
    return -products * gradient.scale * BITS


def _given(piece: Piece, block: int, update: UpdateName, vector: Tensor, other: Tensor | None) -> Tensor:
    """What a block gives if it adds something else than its update or branch; nothing where ``other`` is None."""
    call = piece.on.calls[block]
    if update == "branch":
        assert call.block.branch is not None
        added = torch.zeros_like(piece.part(vector)) if other is None else other
        return call.again({call.block.branch: added})[0]
    return call.before if other is None else call.before + other


def _spread(network: Network, mean: Tensor, vector: Tensor) -> Tensor:
    """A mean (C, S) of the calibration, for every unit of a vector (N, …)."""
    one, shape = mean if network.layout == "n c h w" else mean.T, vector.shape[1:]
    one = one.expand(shape) if network.unit == "token" else one.reshape(shape)
    return one.to(vector).expand_as(vector)

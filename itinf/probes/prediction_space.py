"""Steps in prediction space: movement and gain of the readout over each step of a path."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..lenses.translator import Translator, translated_logits
from ..networks.readout import classes_of
from ..networks.trace import SiteId, Target, Trace
from .steps import StepSpan, follow_each_other

CELLS = 2**17
"""About how many float64 logits of one depth are held at once; few enough for the logits of a step to fit a cache."""
LEAST = 16
"""Smallest number of units read at once: every matrix product loads the whole head from memory."""


@dataclass
class Step:
    """One step in prediction space, in bits per unit.

    Attributes:
        gain: (N, P) float64, ℓ(z_{l−1}) − ℓ(z_l).
        movement: (N, P) float64, KL(p_{l−1} ‖ p_l) ≥ 0.
        known: (N, P) bool, units that have a target, and a partner if the null needs one.
        block_gain: (N, P) float64, ℓ(lens_l(h_{l−1})) − ℓ(lens_l(h_l)): the part of the gain under the translator of
            the block's end; the rest comes from the change of translator. None without a lens, under a null, and if
            that translator does not fit the width of h_{l−1}.
    """

    gain: Tensor
    movement: Tensor
    known: Tensor
    block_gain: Tensor | None = None

    @classmethod
    def empty(cls, units: int, device: torch.device, split: bool) -> Step:
        """A step of ``units`` = N·P units, filled with zeros."""
        gain, movement, block_gain = (torch.zeros(units, dtype=torch.float64, device=device) for _ in range(3))
        return cls(gain, movement, torch.zeros(units, dtype=torch.bool, device=device), block_gain if split else None)

    def shape(self, known: Tensor) -> None:
        """Reshapes from (N·P,) to (N, P), and sets which units are known."""
        self.gain, self.movement, self.known = self.gain.view_as(known), self.movement.view_as(known), known
        self.block_gain = None if self.block_gain is None else self.block_gain.view_as(known)


StepKey = tuple[str, int, Target, str]
"""Path, block, target and null of a step."""


def gain_and_movement(before: Tensor, after: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Gain and movement of a step between two logits, in nats.

    Their sum is exactly ⟨z_l − z_{l−1}, t − p_{l−1}⟩, because cross-entropy is convex in the logits.

    Args:
        before, after: (R, classes) float64 logits.
        target: (R,) int64 labels, or (R, classes) float64 probabilities.

    Returns:
        gain (R,), movement (R,).
    """
    return _Move(Logits.of(before), after - before, after.logsumexp(1)).gain_and_movement(target)


class Logits(NamedTuple):
    """Logits (R, classes) with their log-partition (R,) and softmax; every step that starts here needs them."""

    logits: Tensor
    log_partition: Tensor
    probabilities: Tensor

    @classmethod
    def of(cls, logits: Tensor) -> Logits:
        log_partition = logits.logsumexp(1)
        return cls(logits, log_partition, (logits - log_partition.unsqueeze(1)).exp_())


class _Move(NamedTuple):
    """A step of R units: the logits at its start, their change, and the log-partition at its end."""

    start: Logits
    change: Tensor
    log_partition: Tensor

    @classmethod
    def between(cls, start: Logits, end: Logits) -> _Move:
        return cls(start, end.logits - start.logits, end.log_partition)

    def gain_and_movement(self, target: Tensor) -> tuple[Tensor, Tensor]:
        spread = self.log_partition - self.start.log_partition
        if target.ndim == 1:
            reached = self.change.gather(1, target.unsqueeze(1)).squeeze(1)
        else:
            reached = torch.linalg.vecdot(target, self.change)
        return reached - spread, spread - torch.linalg.vecdot(self.start.probabilities, self.change)


def prediction_steps(
    trace: Trace,
    through: Mapping[SiteId, Translator | None],
    paths: Mapping[str, Sequence[StepSpan]],
    targets: Sequence[Target] = ("label",),
    partners: Mapping[str, Tensor] | None = None,
    shuffled: bool = True,
    seed: int = 0,
    paired_alone: Collection[str] = (),
) -> dict[StepKey, Step]:
    """All steps of the paths in prediction space; every state is read once for all paths.

    Args:
        trace: trace of the batch.
        through: state -> its translator, see ``itinf.lenses.lens.translators_at``.
        paths: name of a path -> its steps.
        targets: "label" or "model" (the network's final distribution).
        partners: null -> (N·P,) row of the unit whose step is applied instead, −1 for no partner.
        shuffled: True adds the ``order-shuffled`` null, the unit's own steps in random depth order, for paths
            without bridges between their steps.
        seed: seed of these orders; every cluster has its own order.
        paired_alone: names of paths that have no other null than "pairing".

    Returns:
        (path, block, target, null) -> step; the null of the observed steps is ``"observed"``.
    """
    tested = {name: path for name, path in paths.items() if name not in paired_alone}
    orders = {
        name: orders_of(trace, len(path), seed) for name, path in tested.items() if shuffled and follow_each_other(path)
    }
    with_partners = {name: _partners_of(partners or {}, name in tested) for name in paths}
    steps: dict[StepKey, Step] = {}
    for name, path in paths.items():
        nulls = ["observed", *with_partners[name], *(["order-shuffled"] if name in orders else [])]
        for span, target, null in product(path, targets, nulls):
            split = null == "observed" and _same_lens_fits(through, span)
            steps[name, span.block, target, null] = Step.empty(trace.targets.numel(), trace.targets.device, split)
    if not steps:
        return {}
    states = {state for path in paths.values() for span in path for state in (span.start, span.end)}
    rows = {i: trace.network.per_prediction(trace.states[i]) for i in sorted({*states, len(trace.states) - 1})}
    with torch.no_grad():
        for part in parts_of(trace, rows):
            readings = PathReadings(trace, through, rows, part)
            aims = {target: readings.aim(target) for target in targets}
            for name, path in paths.items():
                order = orders[name][part] if name in orders else None
                for span, null, move in _moves(readings, path, with_partners[name], order):
                    for target, aim in aims.items():
                        gain, movement = move.gain_and_movement(aim)
                        step = steps[name, span.block, target, null]
                        step.gain[part], step.movement[part] = gain / math.log(2), movement / math.log(2)
                for span in path:
                    _split_gain(readings, span, {t: steps[name, span.block, t, "observed"] for t in targets}, aims)
    known = trace.known
    for (*_, null), step in steps.items():
        has_partner = (partners[null] >= 0).reshape(known.shape) if partners and null in partners else None
        step.shape(known if has_partner is None else known & has_partner)
    return steps


def _partners_of(partners: Mapping[str, Tensor], tested: bool) -> dict[str, Tensor]:
    """The partners of a path: of all nulls, or of the pairing null alone."""
    return {null: rows for null, rows in partners.items() if tested or null == "pairing"}


def parts_of(trace: Trace, rows: Mapping[int, Tensor]) -> Iterator[slice]:
    """Slices of units; the logits of a slice are few enough to hold."""
    units = trace.targets.numel()
    size = max(LEAST, CELLS // classes_of(trace.network, rows[len(trace.states) - 1]))
    return (slice(first, first + size) for first in range(0, units, size))


class PathReadings:
    """The logits read at the states of some units; each state is read once."""

    def __init__(
        self, trace: Trace, through: Mapping[SiteId, Translator | None], rows: Mapping[int, Tensor], part: slice
    ) -> None:
        self.trace, self.through, self.rows, self.part = trace, through, rows, part
        self._states: dict[int, Logits] = {}
        self._partners: dict[tuple[str, int], Tensor] = {}

    def at(self, state: int) -> Logits:
        """Logits of a state, read through the translator of that state."""
        if state not in self._states:
            self._states[state] = Logits.of(self._logits(state, self.part, self.through[state]))
        return self._states[state]

    def partner(self, null: str, partner: Tensor, state: int) -> Tensor:
        """(R, classes) logits of the partners of the units; arbitrary for a unit without a partner."""
        if (null, state) not in self._partners:
            rows = partner[self.part].clamp_min(0)
            self._partners[null, state] = self._logits(state, rows, self.through[state])
        return self._partners[null, state]

    def same_lens(self, span: StepSpan) -> Logits:
        """Logits of the start of a step, read through the translator of its end."""
        return Logits.of(self._logits(span.start, self.part, self.through[span.end]))

    def aim(self, target: Target) -> Tensor:
        """The target: (R,) labels, or the (R, classes) final distribution."""
        if target != "model":
            return self.trace.targets.flatten()[self.part].clamp_min(0)
        last = self.rows[len(self.trace.states) - 1]
        return self.trace.network.readout(last[self.part]).double().softmax(1)

    def _logits(self, state: int, chosen: slice | Tensor, translator: Translator | None) -> Tensor:
        return translated_logits(self.trace.network, self.rows[state][chosen], translator).double()


def _moves(
    readings: PathReadings, path: Sequence[StepSpan], partners: Mapping[str, Tensor], order: Tensor | None
) -> Iterator[tuple[StepSpan, str, _Move]]:
    """Every step of a path, observed and under each null."""
    shuffled = None if order is None else logits_in_order(readings, path, order)
    for number, span in enumerate(path):
        start = readings.at(span.start)
        yield span, "observed", _Move.between(start, readings.at(span.end))
        for null, partner in partners.items():
            change = readings.partner(null, partner, span.end) - readings.partner(null, partner, span.start)
            yield span, null, _Move(start, change, (start.logits + change).logsumexp(1))
        if shuffled is not None:
            yield span, "order-shuffled", _Move.between(shuffled[number], shuffled[number + 1])


def _split_gain(
    readings: PathReadings, span: StepSpan, steps: Mapping[Target, Step], aims: Mapping[Target, Tensor]
) -> None:
    """Fills ``block_gain``: the gain under the translator of the step's end, if that translator fits both states."""
    if not _same_lens_fits(readings.through, span):
        return
    move = _Move.between(readings.same_lens(span), readings.at(span.end))
    for target, step in steps.items():
        assert step.block_gain is not None
        step.block_gain[readings.part] = move.gain_and_movement(aims[target])[0] / math.log(2)


def _same_lens_fits(through: Mapping[SiteId, Translator | None], span: StepSpan) -> bool:
    """Whether the translator of a step's end also fits its start."""
    start, end = through[span.start], through[span.end]
    return start is not None and end is not None and start.weight.shape == end.weight.shape


def orders_of(trace: Trace, length: int, seed: int) -> Tensor:
    """(R, length): a random order of the steps for every cluster."""
    keys = [np.array([seed, k], dtype=np.uint64) for k in trace.keys]
    # start far along the stream: its beginning gives the bootstrap weights of the cluster
    drawn = [
        np.random.Philox(key=key, counter=np.array([0, 0, 0, 1], dtype=np.uint64)).random_raw(length) for key in keys
    ]
    order = np.repeat(np.argsort(np.stack(drawn), axis=1), trace.targets.shape[1], axis=0)
    return torch.as_tensor(order, device=trace.targets.device)


def logits_in_order(readings: PathReadings, path: Sequence[StepSpan], order: Tensor) -> list[Logits]:
    """The states of a path when its steps are taken in another order."""
    ends = [(readings.at(span.start), readings.at(span.end)) for span in path]
    moves = torch.stack([end.logits - start.logits for start, end in ends])  # (steps, R, classes)
    units = torch.arange(order.shape[0], device=order.device)
    states = [ends[0][0]]
    for number in range(len(path) - 1):
        states.append(Logits.of(states[-1].logits + moves[order[:, number], units]))
    return [*states, ends[-1][1]]  # every order ends at the same state

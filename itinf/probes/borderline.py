"""The borderline probe: what becomes of units that are between their label and another class?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from ..errors import ItinfError, shown
from ..lenses.lens import translators_at
from ..networks.measuring import evaluating
from ..networks.readout import chunks, classes_of
from ..networks.residual import top1
from ..networks.trace import Trace
from ..results.reasons import ALONE
from ..results.recorder import Recorder
from ..results.row import Row
from ..results.strata import OfSameStratum, stratified
from ..statistics.nulls import OBSERVED
from .batch import ProbeBatch
from .intervention import BITS
from .prediction_space import orders_of
from .probe import Probe

NEAR = 0.1
"""Units whose label and best other class are less than twice this apart in probability are borderline."""
BINS = 10
"""Bins of p_y, for the null ``same p_y``."""
SHUFFLED, SAME_P = "order-shuffled", "same p_y"
ACCURACY, LOSS, ENTROPY, SHARE = "borderline_accuracy", "borderline_loss", "borderline_entropy", "borderline_share"
AT_END = "borderline at the end"


@dataclass(frozen=True, repr=False)
class Borderline(Probe):
    """Accuracy, loss and entropy by depth of the units that are borderline at an earlier state.

    A unit is borderline at a state if |p_y − max_{c ≠ y} p_c| / 2 < 0.1 there, by the network's own readout. It is chosen at
    one state and followed after it: chosen at the last one, it is chosen by the outcome, and half of such units
    are right at the end and move towards that from either side, whatever the blocks do.

    * ``borderline_accuracy``, ``borderline_loss``, ``borderline_entropy`` (bits): of these units, by their state and from it on.
    * ``borderline_share``: the share of all units that they are.

    Nulls: "order-shuffled", the unit's own steps of the logits after the state, in random order (the last state is the same); and
    "same p_y", other units that give their label as much probability there (in bins of 1/10), and are not borderline: what the
    confidence alone foretells. With many classes all units are borderline where every probability is small, so that in
    the first states of a language model the word says "not decided".

    Attributes:
        at: the state they are chosen at, counted from the last, so −1 is the last but one. The first that the readout fits
            where fewer lie before the last.
        at_end: True also follows, backwards, the units that are borderline at the last state, for comparison.

    Raises:
        ItinfError: ``at`` is not below 0.

    Source: Jastrzębski et al. 2018, section 4.4, who choose at the last state.
    """

    at: int = -5
    at_end: bool = False

    measure = ACCURACY
    nulls = own_nulls = (SHUFFLED, SAME_P)

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.at, bool) or not isinstance(self.at, int) or self.at >= 0:
            raise ItinfError(
                f"Borderline: at is {shown(self.at)}; expected a whole number below 0. Units are chosen before the last "
                "state, so that they are not chosen by the outcome: -5 is five states before it."
            )

    def measure_batch(self, batch: ProbeBatch, record: Recorder) -> None:
        read = [state for state in translators_at(batch.trace) if isinstance(state, int)]
        if len(read) < 2:
            for measure in (ACCURACY, LOSS, ENTROPY, SHARE):
                record.absent(batch.state_row(measure, read[-1]), ALONE)
            return
        states = read[max(len(read) - 1 + self.at, 0) :]
        followed = follow(batch, states, SHUFFLED in self.null_names)
        known, start = batch.trace.known, followed[OBSERVED, states[0]]
        chosen = known & start.borderline
        subset = f"borderline at {states[0]}"
        record.share(batch.state_row(SHARE, states[0]), chosen, known, "n|known")
        for (null, state), one in followed.items():
            _record(record, batch.state_row(ACCURACY, state, subset=subset, null=null), one, chosen)
            if null == OBSERVED and SAME_P in self.null_names:
                row = batch.state_row(ACCURACY, state, subset=subset, null=SAME_P)
                _others(record, row, one, start.probability, chosen, known)
        if self.at_end:
            last = known & followed[OBSERVED, states[-1]].borderline
            for state in states:
                _record(record, batch.state_row(ACCURACY, state, subset=AT_END), followed[OBSERVED, state], last)


@dataclass(frozen=True)
class Reading:
    """What is read of every unit at one state, each (N, P): whether it is right, its loss and entropy in bits, the probability of
    its label, and half of what the label is above the best other class."""

    right: Tensor
    loss: Tensor
    entropy: Tensor
    probability: Tensor
    margin: Tensor

    @property
    def borderline(self) -> Tensor:
        return self.margin.abs() < NEAR

    @property
    def measured(self) -> dict[str, Tensor]:
        """Measure -> its values."""
        return {ACCURACY: self.right.double(), LOSS: self.loss, ENTROPY: self.entropy}


def follow(batch: ProbeBatch, states: Sequence[int], shuffled: bool) -> dict[tuple[str, int], Reading]:
    """Reads some states of every unit through the network's own readout.

    Args:
        batch: the batch; states: numbers of the states, in order.
        shuffled: True adds the states between the first and the last one with the steps of the logits in random order.

    Returns:
        (null, state) -> reading.
    """
    trace, network = batch.trace, batch.network
    rows = {state: trace.per_prediction(state) for state in states}
    labels = trace.targets.flatten().clamp_min(0)
    order = orders_of(trace, len(states) - 1, batch.seed)
    pieces: dict[tuple[str, int], list[tuple[Tensor, ...]]] = {}
    with torch.no_grad(), evaluating(network):
        for part in chunks(len(labels), classes_of(network, rows[states[-1]]) * len(states)):
            read = {state: network.readout(rows[state][part]).double() for state in states}
            for state, logits in read.items():
                pieces.setdefault((OBSERVED, state), []).append(_told(logits, labels[part]))
            if shuffled:
                now = read[states[0]]
                moves = torch.stack([later - earlier for earlier, later in pairwise(read.values())])
                for place, state in enumerate(states[1:-1]):
                    now = now + moves[order[part][:, place], torch.arange(len(now), device=now.device)]
                    pieces.setdefault((SHUFFLED, state), []).append(_told(now, labels[part]))
    return {
        key: Reading(*(torch.cat(values).view_as(trace.targets) for values in zip(*found, strict=True)))
        for key, found in pieces.items()
    }


def borderline(trace: Trace, state: int) -> Tensor:
    """(N, P) bool: the units with a target that are borderline at a state that the network's readout fits."""
    network, rows = trace.network, trace.per_prediction(state)
    labels = trace.targets.flatten().clamp_min(0)
    with torch.no_grad(), evaluating(network):
        margins = [
            _margin(network.readout(rows[part]), labels[part]) for part in chunks(len(rows), classes_of(network, rows))
        ]
    return trace.known & (torch.cat(margins).view_as(trace.targets).abs() < NEAR)


def _margin(logits: Tensor, labels: Tensor) -> Tensor:
    """(R,) float64: (p_y − max_{c ≠ y} p_c) / 2."""
    p, label = logits.double().softmax(1), labels.unsqueeze(1)
    return (p.gather(1, label) - p.scatter(1, label, 0.0).amax(1, keepdim=True)).squeeze(1) / 2


def _told(logits: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
    """The fields of a ``Reading``, each (R,)."""
    log_p, label = logits.log_softmax(1), labels.unsqueeze(1)
    of_label = log_p.gather(1, label).squeeze(1)
    entropy = torch.special.entr(log_p.exp()).sum(1)
    return top1(logits) == labels, -of_label * BITS, entropy * BITS, of_label.exp(), _margin(logits, labels)


def _record(record: Recorder, row: Row, one: Reading, chosen: Tensor) -> None:
    count = f"n|{row.subset}"
    for measure, values in one.measured.items():
        add = record.share if measure == ACCURACY else record.mean
        add(replace(row, measure=measure), values, chosen, count)


def _others(record: Recorder, row: Row, one: Reading, probability: Tensor, chosen: Tensor, known: Tensor) -> None:
    """Rows of the null ``same p_y``."""
    of_bin = (probability * BINS).long().clamp_max(BINS - 1)
    both = {"chosen": ("own", chosen), "others": ("theirs", known & ~chosen)}
    for measure, values in one.measured.items():
        columns: dict[str, list[str]] = {}
        for number, (sums, units) in both.items():
            for place in range(BINS):
                here, tag = units & (of_bin == place), f"{row.subset}|{number}|{place}"
                columns.setdefault(number, []).append(record.total(tag, torch.ones_like(values), here))
                columns.setdefault(sums, []).append(record.total(f"{measure}|{row.state}|{tag}", values, here))
        record.add(replace(row, measure=measure), OfSameStratum, {}, None, n=f"n|{row.subset}", **stratified(columns))

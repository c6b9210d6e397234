"""Interventions: passes in which a block gives something else, and what they change at the end of the network."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..data.clusters import groups
from ..networks.measuring import evaluating
from ..networks.network import Network
from ..networks.onward import Onward, is_chain, onward
from ..networks.readout import chunks, classes_of
from ..networks.residual import top1
from ..networks.trace import Trace
from ..results.calibrated import CalibratedMean, CalibratedShare
from ..results.estimators import PartnerMean, PartnerShare
from ..results.recorder import Recorder
from ..results.row import Row
from ..statistics.nulls import OBSERVED
from .batch import ProbeBatch
from .probe import Probe

LOGITS = 2**25
"""Most logits of the clusters that run together: those without the intervention are held meanwhile."""
BITS = 1 / math.log(2)
MEASURES = ("cost", "accuracy_cost", "intervention_kl", "agreement")
"""Of every intervention."""
AGAINST_LABEL = ("cost", "accuracy_cost", "predicted_cost", "direct_cost", "self_repair")
"""Measures of a loss that is taken against the label; others compare two outputs or two states."""


@dataclass(frozen=True)
class Change:
    """One intervention on some clusters.

    Attributes:
        form: name of the intervention; ``about``: number of the block that its row is about.
        update: what is taken away or replaced, "update" or "branch"; "" for others.
        null: what replaces it; "observed" for nothing.
        last: the last state with the intervention, in the network's layout.
        beside: further measure -> (N, P) values of these clusters.
        names: measure of ``MEASURES`` that is recorded -> its name in the table.
        without: number of the part of the calibration that the change leaves out; None for none.
    """

    form: str
    about: int
    last: Tensor
    update: str = ""
    null: str = OBSERVED
    beside: Mapping[str, Tensor] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=lambda: {name: name for name in MEASURES})
    without: int | None = None


@dataclass(frozen=True)
class Piece:
    """Some clusters of a batch: which they are, and their pass."""

    batch: ProbeBatch
    clusters: slice
    on: Onward

    @property
    def trace(self) -> Trace:
        return self.batch.trace

    def part(self, vector: Tensor) -> Tensor:
        """The part of a vector of the trace that belongs to these clusters, in the network's layout."""
        return self.batch.network.batch_first(vector[self.clusters])


class Intervention(Probe):
    """What changes at the end of the network if a block gives something else; weights stay as they are.

    Each intervention has four measures, of every unit:

    * ``cost``: the loss with the intervention minus the loss without it, in bits. Mean and median: a few units often
      own the mean.
    * ``accuracy_cost``: accuracy without the intervention minus accuracy with it.
    * ``intervention_kl``: KL(output ‖ output with the intervention), in bits.
    * ``agreement``: share of units whose top-1 stays.

    A pass is taken up after the block, and all later blocks run; BatchNorm keeps the statistics that it has. Where more
    than blocks lies on the way, whole passes run instead.

    Attributes:
        units: at most so many images or sequences are measured, the first ones of the study; None for all.
    """

    units: int | None = None

    @abstractmethod
    def changes(self, piece: Piece) -> Iterator[Change]:
        """Runs every intervention on some clusters."""

    @abstractmethod
    def beside(self, batch: ProbeBatch, record: Recorder, found: Mapping[Row, Tensor]) -> None:
        """Adds what stands beside the interventions, and rows without a value for blocks that have none.

        Args:
            batch, record: as for ``measure_batch``; ``found``: row -> (N, P) values.
        """

    def measure_batch(self, batch: ProbeBatch, record: Recorder) -> None:
        every = self._every(batch)
        found = {row: values for (row, without), values in every.items() if without is None}
        for row, values in found.items():
            left_out = [each for (of, without), each in every.items() if of == row and without is not None]
            self._record(batch, record, row, values, found[replace(row, null=OBSERVED)], left_out)
        self.beside(batch, record, found)

    def found(self, batch: ProbeBatch) -> dict[Row, Tensor]:
        """Runs every intervention: row -> (N, P) values."""
        return {row: values for (row, without), values in self._every(batch).items() if without is None}

    def _every(self, batch: ProbeBatch) -> dict[tuple[Row, int | None], Tensor]:
        """The same with the part of the calibration that is left out, or None."""
        trace, network = batch.trace, batch.network
        assert trace.inputs is not None
        every: dict[tuple[Row, int | None], Tensor] = {}
        with torch.no_grad(), evaluating(network):
            chained = is_chain(network, trace.inputs[:1])
            chosen, _ = self.chosen(batch)
            slices = groups(len(trace), _together(batch))
            for clusters in [each for each in slices if chosen[each].any()] or [
                slice(0, 1)
            ]:  # every batch has all rows
                piece = Piece(batch, clusters, onward(network, trace.inputs[clusters], trace.after, chained))
                before = _read(network, piece.on.calls[-1].after)
                for change in self.changes(piece):
                    effects = _compare(before, _read(network, change.last), trace.targets[clusters].flatten())
                    named = {change.names[name]: values for name, values in effects.items() if name in change.names}
                    for measure, values in {**named, **change.beside}.items():
                        row = self.row(batch, measure, change.about, change.form, change.update, change.null)
                        whole = every.setdefault((row, change.without), torch.zeros_like(trace.loss))
                        whole[clusters] = values.view_as(whole[clusters])
        return every

    def chosen(self, batch: ProbeBatch) -> tuple[Tensor, str]:
        """(N, P) bool, which units are measured; and the name of their counts."""
        known = batch.trace.known
        if self.units is None:
            return known, "n|known"
        return known & batch.among_first(self.units).unsqueeze(1), f"n|first {self.units}"

    @staticmethod
    def row(batch: ProbeBatch, measure: str, block: int, form: str, update: str = "", null: str = OBSERVED) -> Row:
        """The row of a measure of an intervention."""
        target = "label" if measure in AGAINST_LABEL else ""
        return batch.row(measure, block, form=form, update=update, null=null, target=target)

    def _record(
        self, batch: ProbeBatch, record: Recorder, row: Row, values: Tensor, observed: Tensor, without: Sequence[Tensor]
    ) -> None:
        (known, count), share = self.chosen(batch), row.measure == "agreement"
        if row.null in self.partner_nulls:
            of = PartnerShare if share else PartnerMean
            partner = batch.partners[row.null]
            partner = torch.where(known.flatten(), partner, -1)
            record.partners(row, values, observed, partner, f"{count}|changed|partners|{row.null}", of)
        elif without:
            kind = CalibratedShare if share else CalibratedMean
            record.mean(row, values, known, count, kind=kind, without=without)
        elif share:
            record.share(row, values, known, count)
        else:
            record.mean(row, values, known, count, median=row.null == OBSERVED and row.measure != "accuracy_cost")


def _together(batch: ProbeBatch) -> int:
    """Clusters that run together: as many as their logits allow."""
    trace = batch.trace
    classes = classes_of(batch.network, trace.per_prediction(len(trace.states) - 1))
    return max(1, min(batch.at_once, LOGITS // (classes * trace.targets.shape[1])))


def _read(network: Network, last: Tensor) -> Tensor:
    """(R, classes) log-probabilities of a last state in the network's layout, in float32 or better."""
    rows = network.per_prediction(network.batch_first(last))
    parts = [network.readout(rows[part]) for part in chunks(len(rows), classes_of(network, rows))]
    wide = torch.cat(parts)
    return (wide.float() if wide.element_size() < 4 else wide).log_softmax(1)


def _compare(before: Tensor, after: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Measure -> (R,) float64: costs, KL, and whether the top-1 agrees; NaN where the output is not finite, which is never right."""
    label = targets.clamp_min(0).unsqueeze(1)
    first, then = (top1(log_p).unsqueeze(1) for log_p in (before, after))
    cost = (before.gather(1, label).double() - after.gather(1, label).double()).squeeze(1) * BITS
    kl = (before.exp() * (before - after)).sum(1).double() * BITS
    finite = after.isfinite().all(1)  # some repeats overflow
    cost, kl = (torch.where(finite, x, torch.nan) for x in (cost, kl))
    finite = finite.unsqueeze(1)
    accuracy = ((first == label).double() - ((then == label) & finite).double()).squeeze(1)
    same = ((first == then) & finite).double().squeeze(1)
    return {"cost": cost, "accuracy_cost": accuracy, "intervention_kl": kl, "agreement": same}

"""The probe of estimation errors: do the blocks of a segment refine one estimate, as an estimator would that homes in?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from ..results.ratios import RootRatio
from ..results.recorder import Recorder
from ..statistics.nulls import OBSERVED
from .batch import ProbeBatch
from .probe import Probe, require_names
from .segment_states import COUNT, FORMS, Spread, absent, counted, row_of, runs, vectors

BY_STATE = ("estimation_error", "estimation_bias", "error_over_walk", "error_over_order")


@dataclass(frozen=True, repr=False)
class EstimationError(Probe):
    """How far each state of a segment is from the last one, beside steps of the same lengths without direction or order.

    h_s is the pooled state s of a unit, h_K the last one of its segment, e_s = h_s − h_K its error as an estimate of h_K, and
    D the steps between two states. The error must fall to 0 whatever the blocks do, so it is told beside references.

    * ``estimation_error``: E|e_s|² / tr Var(h_K).
    * ``estimation_bias``: |E e_s| / √tr Var(e_s), the error that all units share beside the one that they do not.
    * ``error_over_walk``: E|e_s|² over the sum of E|D|² of the steps that follow: 1 if steps are uncorrelated, more if they
      persist in their direction (the number of steps left on a straight line), less if they take back what others did.
    * ``error_over_order``: E|e_s|² over its mean over all orders of the unit's own steps, in closed form: less than 1 where
      the large steps come first, as of an estimator that homes in, more where they come last.
    * ``straightness``: Σ|h_K − h_0| / ΣΣ|D| over the whole segment, in a row about its last state.

    Nulls are "random-walk" (steps of the same lengths, uncorrelated) and "order-shuffled" (the unit's own steps in random order).

    Attributes:
        forms: "raw"; "centred", without the means over units: steps that are the same for all units persist in direction, too,
            and say nothing about a unit (there the bias is 0, and ``estimation_error`` is 1 − ``carried_share``); and
            "gauge-fixed", which no rewriting of the weights changes.

    Source: Greff et al. 2017, section 4, with the two references.
    """

    forms: Sequence[str] = FORMS

    measure = "estimation_error"
    statistic = "ratio"
    nulls = own_nulls = ("random-walk", "order-shuffled")
    scales = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require_names("EstimationError", "forms", self.forms, FORMS)

    def measure_batch(self, batch: ProbeBatch, record: Recorder) -> None:
        spread = Spread(counted(batch), batch.groups)
        for states in runs(batch):
            for form in self.forms:
                why = absent(batch, states, form)
                if why is None:
                    self._measure(batch, record, spread, states, form)
                    continue
                for measure, state in (*product(BY_STATE, states[:-1] or states), ("straightness", states[-1])):
                    record.absent(row_of(batch, measure, state, form), why)

    def _measure(self, batch: ProbeBatch, record: Recorder, spread: Spread, states: Sequence[int], form: str) -> None:
        known, tag = spread.known, f"estimation|{form}"
        count = record.count(COUNT, known)

        def total(name: str, values: Tensor) -> str:
            return record.total(f"{tag}|{states[-1]}|{name}", values, known)

        def ratio(measure: str, state: int, above: str, below: str, null: str = OBSERVED) -> None:
            record.quotient(row_of(batch, measure, state, form, null), above, below, count)

        def variance(values: Tensor) -> Tensor:
            apart = spread.centred(values)
            return spread.product(apart, apart)

        def size(difference: Tensor) -> Tensor:
            return variance(difference) if form == "centred" else difference.square().sum(2)

        last = vectors(batch, states[-1], form)
        end = total("end", variance(last))
        errors: list[Tensor] = []
        steps: list[Tensor] = []
        before = None
        for state in states:
            here = vectors(batch, state, form)
            steps += [] if before is None else [size(here - before)]
            before = here
            if state != states[-1]:
                errors.append(size(here - last))
                if form != "centred":
                    own = variance(here - last)
                    columns = {"above": errors[-1] - own, "below": own}
                    record.per_unit(row_of(batch, "estimation_bias", state, form), RootRatio, columns, known, count)
        walks, orders = references(steps, errors[0])
        for state, error, walk, order in zip(states, errors, walks, orders, strict=False):
            above = total(f"{state}|error", error)
            nulls = {"random-walk": total(f"{state}|walk", walk), "order-shuffled": total(f"{state}|order", order)}
            ratio("estimation_error", state, above, end)
            ratio("error_over_walk", state, above, nulls["random-walk"])
            ratio("error_over_order", state, above, nulls["order-shuffled"])
            for null in self.null_names:
                ratio("estimation_error", state, nulls[null], end, null)
        path = total("path", torch.stack([step.sqrt() for step in steps]).sum(0))
        ratio("straightness", states[-1], total("direct", errors[0].sqrt()), path)
        if "random-walk" in self.null_names:
            ratio("straightness", states[-1], total("walk", walks[0].sqrt()), path, "random-walk")


def references(steps: Sequence[Tensor], whole: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Mean squares of the error before each step, if steps were uncorrelated, and over all orders of the steps.

    Of K steps m are left. A random set of m of them has the mean square m/K Σ|D|² + m(m−1)/(K(K−1)) Σ_{a≠b} ⟨D_a, D_b⟩.

    Args:
        steps: the squares |D|² of the K steps, each (N, P).
        whole: |h_K − h_0|² (N, P), which is all the steps' sum squared.
    """
    number = len(steps)
    squares = torch.stack(list(steps))
    left = squares.flip(0).cumsum(0).flip(0)
    pairs = whole - left[0]
    orders = [m / number * left[0] + m * (m - 1) / max(number * (number - 1), 1) * pairs for m in range(number, 0, -1)]
    return list(left), orders

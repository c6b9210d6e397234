"""The probe of variance shares: which block writes what the last state of a segment holds, and what is carried to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from ..results.ratios import Explained
from ..results.recorder import Recorder
from ..statistics.nulls import OBSERVED
from .batch import ProbeBatch
from .probe import Probe, require_names
from .segment_states import COUNT, Spread, absent, counted, row_of, runs, vectors

MEASURES = ("variance_share", "carried_share", "carried_share_scaled")


@dataclass(frozen=True, repr=False)
class VarianceShares(Probe):
    """Where the variance of a segment's last state comes from, and how much of it stands in the state before already.

    h_s is the pooled state s of a unit, h_K the last one of its segment, D_s = h_s − h_{s−1}. Variances are over units, and add up
    over channels.

    * ``variance_share``: tr Cov(D_s, h_K) / tr Var(h_K), a share of what the step to state s has written. At the first
      state of the segment the state itself replaces D. The shares of a segment add up to 1 exactly, and one is negative
      where a step takes back what others wrote.
    * ``carried_share``: 1 − tr Var(h_K − h_s) / tr Var(h_K), what the state predicts of the last one as it is; less than 0
      where it predicts worse than the mean.
    * ``carried_share_scaled``: the same for the state times the one number that fits best: the most that carrying with
      growth or decay can explain.

    Variances are of what varies between units. In the mean over units states are much alike: their plain cosine with the
    last state says little more than that.

    The null "random-walk" has steps of the same sizes, which are uncorrelated: then the share of a step is its own variance over
    that of all.

    Attributes:
        forms: "raw", and "gauge-fixed", which no rewriting of the weights changes.
    """

    forms: Sequence[str] = ("raw", "gauge-fixed")

    measure = "variance_share"
    statistic = "ratio"
    nulls = own_nulls = ("random-walk",)
    scales = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require_names("VarianceShares", "forms", self.forms, ("raw", "gauge-fixed"))

    def measure_batch(self, batch: ProbeBatch, record: Recorder) -> None:
        spread = Spread(counted(batch), batch.groups)
        for states in runs(batch):
            for form in self.forms:
                why = absent(batch, states, form)
                if why is None:
                    self._measure(batch, record, spread, states, form)
                    continue
                for measure, state in (("variance_share", states[-1]), *product(MEASURES, states[:-1])):
                    record.absent(row_of(batch, measure, state, form), why)

    def _measure(self, batch: ProbeBatch, record: Recorder, spread: Spread, states: Sequence[int], form: str) -> None:
        known = spread.known
        count = record.count(COUNT, known)

        def total(name: str, values: Tensor) -> str:
            return record.total(f"variance|{form}|{name}", values, known)

        def ratio(measure: str, state: int, above: str, below: str, null: str = OBSERVED) -> None:
            record.quotient(row_of(batch, measure, state, form, null), above, below, count)

        last = spread.centred(vectors(batch, states[-1], form))
        end = total(f"{states[-1]}|end", spread.product(last, last))
        before: Tensor | None = None
        alone: dict[int, Tensor] = {}
        for state in states:
            here = spread.centred(vectors(batch, state, form))
            step = here if before is None else here - before
            before = here
            alone[state] = spread.product(step, step)
            ratio("variance_share", state, total(f"{state}|written", spread.product(step, last)), end)
            if state == states[-1]:
                continue
            with_last, own = spread.product(here, last), spread.product(here, here)
            ratio("carried_share", state, total(f"{state}|carried", 2 * with_last - own), end)
            columns = {"cross": total(f"{state}|with last", with_last), "own": total(f"{state}|own", own)}
            row = row_of(batch, "carried_share_scaled", state, form)
            record.add(row, Explained, {}, {}, n=count, last=end, **columns)
        if "random-walk" in self.null_names:
            every = total(f"{states[-1]}|walk", torch.stack(list(alone.values())).sum(0))
            for state, size in alone.items():
                ratio("variance_share", state, total(f"{state}|alone", size), every, "random-walk")

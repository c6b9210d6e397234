"""The distribution probe: does a depth hold a distribution, honest about labels and moved by evidence alone?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import torch
from torch import Tensor

from ..lenses.lens import translators_at
from ..lenses.transfer.temperature import tempered_losses
from ..lenses.translator import Translator, translated_logits
from ..networks.readout import chunks, classes_of
from ..networks.trace import SiteId, Trace
from ..results.reasons import NO_READOUT, NO_READOUT_OF_BOTH, NO_TRANSLATOR, NO_TRANSLATOR_OF_BOTH
from ..results.recorder import Recorder
from ..results.row import Row
from ..results.tempered import AtBest, AtBestBoth
from ..statistics.nulls import OBSERVED
from .batch import ProbeBatch
from .beliefs import BEST, EXCESS, HONESTY, LOSS, MOVEMENT, READ, SHUFFLED, Numbers, beliefs
from .calibration import Calibration
from .probe import NullChoice, Probe
from .steps import StepSpan, block_steps

CONFIDENCE = "best_confidence"
ORDERS = ("first", "second", "third")
"""Of the derivatives of the loss."""
PILOT = 64
"""Units of each calibration cluster, at most, from which a temperature near the best one is chosen."""


@dataclass(frozen=True, repr=False)
class Distribution(Probe):
    """Whether what is read at a depth is a distribution: honest about the label, and moved as a belief is by evidence.

    p is what is read at a state, t the label; p' and p are read before and after a block.

    * ``honesty`` of a state: E[p(t)] − E[Σ p²]. 0 if calibrated, negative if overconfident. It needs no bins.
    * ``excess_movement`` of a block: E|p − p'|² − E[|p|² − |p'|²], without labels. 0 for beliefs that gather evidence, whose
      mean after the block is what was held before it: E[p | p'] = p'. Above 0 they go too far and come back (over-reaction),
      below 0 they go on in one direction (each step too small, or sharper without evidence). ``squared_movement`` is E|p − p'|².

    Both depend on how confident the reading is, and a lens may be to blame for that. So both are given as read, and in the form
    "best temperature": each state at its own β of π^{1−β} q^β, with q the reading and π the target frequencies of the lens
    (equal for all classes without a lens), under which the labels are likeliest. ``best_confidence`` of a state is that β. It is
    found near the best one of the calibration clusters, anew in every replicate.

    Attributes:
        nulls: "order-shuffled", the unit's own steps between logits in random order, as read.
        lens: a lens that reads the states; None for the network's own readout.
        name: name of the lens in the table; by default its kind.

    Source: for excess movement Augenblick and Rabin 2021, with depth in the place of time.
    """

    nulls: Sequence[NullChoice] = (SHUFFLED,)

    measure = EXCESS
    own_nulls = (SHUFFLED,)
    through_lenses = True
    looks = True

    def look(self, trace: Trace, calibration: Calibration) -> None:
        """Losses of a sample of the units of the calibration clusters, at several temperatures of each state."""
        every = torch.arange(trace.known.shape[1], device=trace.known.device) % -(-trace.known.shape[1] // PILOT) == 0
        index = (trace.known & every).flatten().nonzero().flatten()
        labels, prior = trace.targets.flatten()[index], self._log_prior(trace)
        for state, translator in self._through(trace).items():
            rows = trace.per_prediction(state)
            for part in chunks(len(index), len(prior)):
                with torch.no_grad():
                    z, of = translated_logits(trace.network, rows[index[part]], translator).double(), labels[part]
                    losses = tempered_losses(z[None], prior, z.gather(1, of[:, None]).T, prior[of])
                calibration.add_losses(self.lens_name, state, losses.sum(2).cpu())

    def measure_batch(self, batch: ProbeBatch, record: Recorder) -> None:
        trace, through = batch.trace, self._through(batch.trace)
        path = block_steps(trace, through)
        self._absent(batch, record, through, path)
        if not through:
            return
        beta = {state: batch.calibration.confidence(self.lens_name, state) for state in through}
        seed = batch.seed if SHUFFLED in self.null_names else None
        sites = dict[SiteId, Translator | None](through.items())
        held, moved = beliefs(trace, sites, path, self._log_prior(trace), beta, seed)
        for (state, form), numbers in held.items():
            self._held(batch, record, state, form, numbers, beta[state])
        for span in path:
            for form in (READ, BEST, SHUFFLED):
                if (span.block, form) in moved:
                    self._moved(batch, record, span, form, moved[span.block, form])

    def _held(self, batch: ProbeBatch, record: Recorder, state: int, form: str, numbers: Numbers, beta: float) -> None:
        known, honesty = batch.trace.known, numbers[HONESTY]
        row = batch.state_row(HONESTY, state, form=form, target="label", lens=self.lens_name)
        if form == READ:
            record.mean(row, honesty["sum"].view_as(known), known, "n|known")
            return
        for name, value in numbers[LOSS].items():
            record.total(self._name(state, name), value.view_as(known), known)
        fixed = torch.full_like(honesty["sum"], beta)
        confidence = {"sum": fixed, "slope": fixed, "bend": fixed}  # all derivatives of β by log β
        for measure, values in ((HONESTY, honesty), (CONFIDENCE, confidence)):
            self._at_best(record, replace(row, measure=measure), AtBest, values, known, {"": state})

    def _moved(self, batch: ProbeBatch, record: Recorder, span: StepSpan, form: str, numbers: Numbers) -> None:
        known, null = batch.trace.known, SHUFFLED if form == SHUFFLED else OBSERVED
        row = batch.row(EXCESS, span.block, form=BEST if form == BEST else READ, null=null, lens=self.lens_name)
        for measure, values in numbers.items():
            one = replace(row, measure=measure)
            if form == BEST:
                self._at_best(record, one, AtBestBoth, values, known, {"": span.start, "later_": span.end})
            else:
                record.mean(one, values["sum"].view_as(known), known, "n|known")

    def _at_best(
        self,
        record: Recorder,
        row: Row,
        kind: type[AtBest],
        values: Mapping[str, Tensor],
        known: Tensor,
        states: Mapping[str, int],
    ) -> None:
        """``states``: beginning of a role -> the state whose temperature it is about."""
        columns = {role: torch.where(known, value.view_as(known), 0.0).sum(1) for role, value in values.items()}
        shared = {f"{of}{name}": self._name(state, name) for of, state in states.items() for name in ORDERS}
        shared["n"] = record.count("n|known", known)
        record.add(row, kind, columns, None, **shared)

    def _name(self, state: int, name: str) -> str:
        """The column of a state's loss."""
        return f"distribution|{self.lens_name}|{state}|{name}"

    def _through(self, trace: Trace) -> dict[int, Translator | None]:
        return {state: one for state, one in translators_at(trace, self.lens).items() if isinstance(state, int)}

    def _log_prior(self, trace: Trace) -> Tensor:
        """(classes,) log π, float64."""
        if self.lens is not None:
            return self.lens.log_prior.to(trace.targets.device)
        classes = classes_of(trace.network, trace.per_prediction(len(trace.states) - 1)[:1])
        return torch.full((classes,), 1 / classes, dtype=torch.float64, device=trace.targets.device).log()

    def _absent(
        self, batch: ProbeBatch, record: Recorder, through: dict[int, Translator | None], path: Sequence[StepSpan]
    ) -> None:
        one, both = (NO_READOUT, NO_READOUT_OF_BOTH) if self.lens is None else (NO_TRANSLATOR, NO_TRANSLATOR_OF_BOTH)
        for state, measure in product(
            sorted(set(range(len(batch.trace.states))) - set(through)), (HONESTY, CONFIDENCE)
        ):
            form = BEST if measure == CONFIDENCE else READ
            record.absent(batch.state_row(measure, state, form=form, target="label", lens=self.lens_name), one)
        measured = {span.block for span in path}
        for block, measure in product(sorted(set(range(len(batch.trace.before))) - measured), (EXCESS, MOVEMENT)):
            record.absent(batch.row(measure, block, lens=self.lens_name), both)

"""The probe of errors carried forward: is what an earlier position predicts subtracted from what later ones predict?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..errors import ItinfError, shown
from ..lenses.lens import translators_at
from ..lenses.translator import Translator
from ..networks.measuring import evaluating
from ..networks.network import Network
from ..networks.readout import classes_of
from ..results.ratios import TaughtRatio
from ..results.reasons import NO_LATER_TOKENS, NO_READOUT, NO_TRANSLATOR, Reason
from ..results.recorder import Recorder
from ..results.row import Row
from ..settings import whole
from .batch import ProbeBatch
from .nudges import most_probable_wrong
from .probe import Probe
from .raised import Raise, finite, first_order, probabilities, taught
from .token_pairs import MATCH, NEAREST, Pairs, pairs_of

OTHER_PLACE, OTHER_TOKEN, CROSS = "other-place", "other-token", "cross"
SHARE, TOTAL = "subtracted_share", "later_response_total"
SAME_TOKEN: dict[str, tuple[str, ...]] = {MATCH: ("", "same depth"), NEAREST: (NEAREST,)}
"""Lags of the same token, with the forms of their ``SHARE``; the first is the form of all their rows."""


@dataclass(frozen=True, repr=False)
class LaterResponse(Probe):
    """What raising a prediction at one position does to what a later position predicts, all tokens held fixed.

    In each sequence i < j are two positions that hold the same token, and v is the token that the network holds for most
    probable after i, other than the one that follows. At state l, d = ∂[z_v − mean z]/∂h is the direction that raises v where
    i stands:

    * ``later_response``: χ = ⟨∂[z_v − mean z](j)/∂h_i, d⟩ / |d|²: nats at j, in the network's last logits, for each nat at i.
      Negative: what was predicted earlier is subtracted later. Exactly 0 at the last state.
    * ``later_response_total``: the sum over all earlier positions, and over those with the same token.
    * ``taught``: κ, the change of the last logit of v at j if v takes the place of the token after i: what its being true
      teaches. In a row about the last state.
    * ``subtracted_share``: ρ = −Σχ / Σκ p(1 − p), with p the probability of v at i: 1 where predictions are subtracted as truths are
      added, as error correction needs; 0 for copying; negative where earlier predictions are passed on. It has no value where
      κ is not clearly above zero, or where v is no more probable than any token.

    Corrections that follow the state alone count, so in a network of equal corrections ρ falls to 0 linearly with depth.
    χ is exact to first order; in the form "finite" one pair in ``finite_one_in`` is raised by 1 nat and the network runs on, and
    ``finite_same_sign`` is the share of them in which both agree in sign.

    Nulls: "other-place" raises v at another earlier position, with another token; "other-token" raises and reads the token of
    another sequence, "cross" raises that one and reads v. A regression of what blocks write on earlier truths and predictions
    is no substitute: it finds error correction in networks that only copy.

    Attributes:
        lags: "match" for two positions with the same token, drawn among all that are two or more apart; "nearest" for the
            last such position before the same later one, in the form "nearest", which has χ, κ and ρ; a whole number for
            positions so far apart, in the form "lag N", which have χ alone.
        after: the later position is one after this.
        finite_one_in: one pair in so many is also raised by 1 nat.
        lens: a lens that reads the states; the last logits are the network's own.

    Raises:
        ItinfError: a lag is neither "match" nor "nearest" nor a whole number from 1 on, or another number is too small.
    """

    lags: Sequence[str | int] = (MATCH, 1)
    after: int = 32
    finite_one_in: int = 8

    measure = "later_response"
    nulls = own_nulls = (OTHER_PLACE, OTHER_TOKEN, CROSS)

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("after", self.after, 0, "the later position is one after this")
        whole("finite_one_in", self.finite_one_in, 1, "one pair in so many is raised by 1 nat")
        if isinstance(self.lags, str) or not isinstance(self.lags, Sequence) or not self.lags:
            raise ItinfError(f"lags is {shown(self.lags)}; expected a sequence such as ('match', 1).")
        for lag in self.lags:
            if lag not in SAME_TOKEN:
                whole("lags", lag, 1, "'match', 'nearest', or how far apart the two positions stand")

    def missing_rows(self, network: Network) -> list[Row]:
        assert self.lens is not None
        states = [site.id for site in self.lens.sites if isinstance(site.id, int)]
        return [Row("later_response", 0, network.unit, target="", lens=self.lens_name, state=state) for state in states]

    def measure_batch(self, batch: ProbeBatch, record: Recorder) -> None:
        trace, network = batch.trace, batch.network
        reads_ids = network.unit == "token" and network.causal
        if not reads_ids or trace.inputs is None or trace.inputs.is_floating_point():
            self._absent(batch, record, range(len(trace.states)), NO_LATER_TOKENS)
            return
        through = {i: t for i, t in translators_at(trace, self.lens).items() if isinstance(i, int)}
        for lag in self.lags:
            pairs = pairs_of(trace, lag, batch.seed, self.after, self.finite_one_in)
            _Rows(self, batch, record, through, lag, pairs).add()
        unread = [state for state in range(len(trace.states)) if state not in through]
        self._absent(batch, record, unread, NO_READOUT if self.lens is None else NO_TRANSLATOR)

    def row(self, batch: ProbeBatch, measure: str, state: int, **columns: str) -> Row:
        return batch.state_row(measure, state, **{"target": "", "lens": self.lens_name} | columns)

    def _absent(self, batch: ProbeBatch, record: Recorder, states: Sequence[int], why: Reason) -> None:
        for state in states:
            for lag in self.lags:
                record.absent(self.row(batch, "later_response", state, form=form_of(lag)), why)
            if MATCH in self.lags:
                record.absent(self.row(batch, TOTAL, state), why)
            for form in [form for lag in self.lags for form in shares_of(lag)]:
                record.absent(self.row(batch, SHARE, state, form=form, statistic="ratio"), why)


def form_of(lag: str | int) -> str:
    """The form of the rows of a lag."""
    return SAME_TOKEN[lag][0] if isinstance(lag, str) else f"lag {lag}"


def shares_of(lag: str | int) -> tuple[str, ...]:
    """The forms of the rows of ρ of a lag; the second has the probability of the same state, the first that of the last."""
    return SAME_TOKEN[lag] if isinstance(lag, str) else ()


class _Rows:
    """The rows of one kind of pairs; numbers are (N, 1), one pair in each sequence."""

    def __init__(
        self,
        probe: LaterResponse,
        batch: ProbeBatch,
        record: Recorder,
        through: Mapping[int, Translator | None],
        lag: str | int,
        pairs: Pairs,
    ) -> None:
        self.probe, self.batch, self.record, self.pairs, self.form = probe, batch, record, pairs, form_of(lag)
        self.shares = shares_of(lag)
        trace, network = batch.trace, batch.network
        assert trace.inputs is not None
        self.number = classes_of(network, trace.per_prediction(len(trace.states) - 1))
        truth = trace.inputs.gather(1, pairs.earlier.unsqueeze(1) + 1).squeeze(1)
        end = trace.per_prediction(len(trace.states) - 1)[pairs.rows(pairs.earlier)]
        with evaluating(network):
            tokens = most_probable_wrong(network, end, None, truth, self.number)
        partner = next_known(pairs.known, batch.groups)
        others = tokens[partner.clamp_min(0)]
        self.partner = torch.where((others != tokens) & (others != truth), partner, -1)
        self.raise_ = Raise(batch, through, pairs, tokens, others)
        self.known = pairs.known.unsqueeze(1)
        self.tag = "|".join(("later", probe.lens_name, str(probe.after), self.form))

    def _row(self, measure: str, state: int, **columns: str) -> Row:
        return self.probe.row(self.batch, measure, state, **{"form": self.form} | columns)

    def add(self) -> None:
        found = {name: values.unsqueeze(2) for name, values in first_order(self.raise_).items()}  # (S, N, 1)
        for place, state in enumerate(self.raise_.through):
            here = {name: values[place] for name, values in found.items()}
            row = self._row("later_response", state)
            self._mean(row, here["there"], median=True)
            if OTHER_PLACE in self.probe.null_names:
                self._mean(replace(row, null=OTHER_PLACE), here["elsewhere"])
            self._partners(replace(row, null=OTHER_TOKEN), here["other"], here["there"])
            self._partners(replace(row, null=CROSS), here["cross"], here["there"])
            if not self.form:
                total = replace(row, measure=TOTAL)
                self._mean(total, here["total"])
                self._mean(replace(total, subset="same token"), here["total_same"])
                self._partners(replace(total, null=CROSS), here["cross_total"], here["total"])
        if self.shares:
            self._shares(found["there"])
        if not self.form:
            self._finite(found["there"])

    def _mean(self, row: Row, values: Tensor, median: bool = False) -> None:
        self.record.mean(row, values, self.known, f"{self.tag}|n", median=median)

    def _partners(self, row: Row, values: Tensor, observed: Tensor) -> None:
        if row.null in self.probe.null_names:
            self.record.partners(row, values, observed, self.partner, f"{self.tag}|partners")

    def _shares(self, effects: Tensor) -> None:
        """κ, and ρ at every state."""
        truth = taught(self.raise_).unsqueeze(1)
        self._mean(self._row("taught", self.raise_.last), truth)
        count = self.record.count(f"{self.tag}|n", self.known)
        total = self.record.total(f"{self.tag}|taught", truth, self.known)
        p = probabilities(self.raise_, self.raise_.through, self.number).unsqueeze(2)
        (end,) = probabilities(self.raise_, {self.raise_.last: None}, self.number).unsqueeze(2)
        for place, state in enumerate(self.raise_.through):
            for form, of in zip(self.shares, (end, p[place]), strict=False):
                row = self._row(SHARE, state, form=form, statistic="ratio")
                below = torch.where(self.known, truth * of * (1 - of), 0.0).sum(1)
                above = torch.where(self.known, -effects[place], 0.0).sum(1)
                held = torch.where(self.known, of - 1 / self.number, 0.0).sum(1)
                columns = {"above": above, "below": below, "held": held}
                self.record.add(row, TaughtRatio, columns, n=count, taught=total)

    def _finite(self, effects: Tensor) -> None:
        again = self.pairs.again.unsqueeze(1)
        count = f"{self.tag}|{self.probe.finite_one_in}|finite"
        for place, (state, change) in enumerate(
            zip(self.raise_.through, finite(self.raise_).unsqueeze(2), strict=True)
        ):
            if state != self.raise_.last:
                self.record.mean(self._row("later_response", state, form="finite"), change, again, count)
                agree = self._row("finite_same_sign", state, form="finite")
                self.record.share(agree, change.sign() == effects[place].sign(), again, count)


def next_known(known: Tensor, groups: Sequence[slice]) -> Tensor:
    """(N,): for each known cluster the next known one of its group, after the last the first; −1 where there is none."""
    following = torch.full((len(known),), -1, device=known.device)
    for group in groups:
        members = group.start + known[group].nonzero().flatten()
        if len(members) > 1:
            following[members] = members.roll(-1)
    return following

"""The probe of similarity: how alike are a state and the last one, up to rotation and scale?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..results.ratios import Concentration, Correlation, PartnerCorrelation
from ..results.reasons import NO_GAUGE
from ..results.recorder import Recorder
from ..settings import whole
from .batch import ProbeBatch
from .hsic import centred_kernel, criterion, enough
from .probe import NullChoice, Probe, require_names
from .segment_states import counted, row_of, vectors

NO_ROW = -1


@dataclass(frozen=True, repr=False)
class Similarity(Probe):
    """How alike are the distances between units at a state and at the last one: linear CKA, without bias.

    H(x, y) = |Cov(x, y)|², added up over all entries, is estimated without bias from units of different clusters (Song
    et al. 2012), in every group of clusters; sums over groups add up. Of a sequence one position at a time is taken.

    * ``similarity``: H(h_s, h_L) / √(H(h_s, h_s) H(h_L, h_L)) of the pooled states s and L, the last one. 1 for states that
      differ by a rotation, one scale and a shift; 0 for independent ones. It may be less than 0 by chance.
    * ``concentration``: H(h_s, h_s) / (tr Var h_s)² = Σλ² / (Σλ)² over the eigenvalues λ of the covariance: the share of the
      variance that a direction has, weighed by that share. Where it is large, the similarity is that of a few directions.

    A high similarity is no common code: a rotation leaves it at 1, and no lens reads through it.

    Attributes:
        units: at most so many units are measured, the first ones of the study.
        positions: units of each sequence, at most; they are drawn at random.
        forms: "raw", and "gauge-fixed", which no rewriting of the weights changes.
        nulls: "pairing": the last state of another unit, for which the biased estimator does not give 0;
            "same-target": of another unit with the same target: what class or next token alone give.

    Raises:
        ItinfError: ``units`` or ``positions`` is less than 1, or an unknown form or null.

    Source: Kornblith et al. 2019; over groups as Nguyen et al. 2021.
    """

    units: int = 512
    positions: int = 8
    forms: Sequence[str] = ("raw", "gauge-fixed")
    nulls: Sequence[NullChoice] = ("pairing", "same-target")

    measure = "similarity"
    statistic = "ratio"
    scales = True

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("units", self.units, 1, "at most so many images or tokens are measured")
        whole("positions", self.positions, 1, "so many units of each sequence are measured")
        require_names("Similarity", "forms", self.forms, ("raw", "gauge-fixed"))

    def measure_batch(self, batch: ProbeBatch, record: Recorder) -> None:
        samples = _Samples(batch, self.units, self.positions)
        others = {name: _partners(samples, batch.partners[name]) for name in self.partner_nulls}
        for form in self.forms:
            if form == "gauge-fixed" and batch.network.gauge is None:
                for state in range(len(batch.trace.states)):
                    record.absent(row_of(batch, "concentration", state, form), NO_GAUGE)
                    if state < len(batch.trace.states) - 1:
                        record.absent(row_of(batch, "similarity", state, form), NO_GAUGE)
                continue
            _Form(batch, record, samples, form).measure(others)


class _Samples:
    """Units of a batch in samples of one unit of each cluster of a group.

    Attributes:
        units: (B, n) rows of the units of B samples, ``NO_ROW`` where a cluster has none left.
        shape: (N, P) of the batch.
    """

    def __init__(self, batch: ProbeBatch, most: int, positions: int) -> None:
        known = counted(batch)
        self.counted, self.shape = known.flatten(), known.shape
        rounds = min(positions, max(1, known.shape[1] - 1))
        chosen = torch.full((len(known), rounds), NO_ROW, device=known.device)
        places = np.arange(len(known)) if batch.places is None else batch.places
        for cluster in np.flatnonzero(places < -(-most // rounds)).tolist():
            here = known[cluster].nonzero().flatten()
            drawn = _order(len(here), batch.seed, int(batch.trace.keys[cluster]))[:rounds]
            chosen[cluster, : len(drawn)] = cluster * known.shape[1] + here[drawn]
        of_groups = [chosen[members] for members in batch.groups]
        padded = pad_sequence(of_groups, batch_first=True, padding_value=NO_ROW)  # (groups, n, rounds)
        self.units = padded.transpose(1, 2).flatten(0, 1)

    def by_unit(self, values: Tensor, units: Tensor) -> Tensor:
        """(N, P): values (B, n) of the samples, each at its unit."""
        total = values.new_zeros(self.shape[0] * self.shape[1])
        fits = units != NO_ROW
        return total.index_add(0, units[fits], values[fits]).view(self.shape)


def _order(number: int, seed: int, key: int) -> Tensor:
    """A random order of the units of a cluster, which depends on seed and cluster alone."""
    stream = np.random.Philox(key=np.array([seed, key], np.uint64), counter=[0, 0, 0, 4])
    return torch.from_numpy(np.argsort(stream.random_raw(number), kind="stable"))


def _partners(samples: _Samples, partner: Tensor) -> tuple[Tensor, Tensor]:
    """The units that have a partner, and these partners; each (B, n).

    Two units that are each other's partner are left out: exchanged, they are the same pair.
    """
    units = samples.units
    theirs = torch.where(units == NO_ROW, NO_ROW, partner[units.clamp_min(0)])
    fits = (theirs != NO_ROW) & samples.counted[theirs.clamp_min(0)]
    fits &= partner[theirs.clamp_min(0)] != units
    fits = enough(fits)
    return units.masked_fill(~fits, NO_ROW), theirs.masked_fill(~fits, NO_ROW)


class _Form:
    """The measurement of one batch in one form."""

    def __init__(self, batch: ProbeBatch, record: Recorder, samples: _Samples, form: str) -> None:
        self.batch, self.record, self.samples, self.form = batch, record, samples, form
        self.last = len(batch.trace.states) - 1
        self.values = [vectors(batch, state, form).flatten(0, 1) for state in range(self.last + 1)]

    def measure(self, others: dict[str, tuple[Tensor, Tensor]]) -> None:
        """Adds the rows; ``others`` are the units of each null and their partners."""
        self._observed(self.samples.units)
        for null, (units, partners) in others.items():
            self._with_partners(null, units, partners)

    def _observed(self, units: Tensor) -> None:
        count, total = self._totals("observed", units)
        end = self._kernel(self.last, units)
        last = total("last", end, end)
        for state, values in enumerate(self.values):
            here = end if state == self.last else self._kernel(state, units)
            own = last if state == self.last else total(f"{state}|own", here, here)
            spread = self.samples.by_unit(_squares(values[units.clamp_min(0)], enough(units != NO_ROW)), units)
            name = self.record.total(f"similarity|{self.form}|{state}|spread", spread, spread >= 0)
            row = row_of(self.batch, "concentration", state, self.form)
            self.record.add(row, Concentration, {}, {}, n=count, own=own, spread=name)
            if state != self.last:
                columns = {"cross": total(f"{state}|cross", here, end), "own": own, "last": last}
                row = row_of(self.batch, "similarity", state, self.form)
                self.record.add(row, Correlation, {}, {}, n=count, **columns)

    def _with_partners(self, null: str, units: Tensor, partners: Tensor) -> None:
        count, total = self._totals(null, units)
        end, theirs = self._kernel(self.last, units), self._kernel(self.last, partners)
        shared = {"own_last": total("own last", end, end), "last": total("last", theirs, theirs)}
        for state in range(self.last):
            here = self._kernel(state, units)
            pairs = {"cross": (here, theirs), "own_cross": (here, end), "own": (here, here)}
            columns = {role: total(f"{state}|{role}", *kernels) for role, kernels in pairs.items()}
            row = row_of(self.batch, "similarity", state, self.form, null)
            self.record.add(row, PartnerCorrelation, {}, {}, n=count, **columns, **shared)

    def _kernel(self, state: int, units: Tensor) -> Tensor:
        return centred_kernel(self.values[state][units.clamp_min(0)], units != NO_ROW)

    def _totals(self, name: str, units: Tensor) -> tuple[str, Callable[[str, Tensor, Tensor], str]]:
        """The name of the count of the units, and a function that adds a column with the criterion of two kernels."""
        known = enough(units != NO_ROW)
        counts = self.samples.by_unit(known.double(), units) > 0
        count = self.record.count(f"n|similarity|{name}", counts)

        def total(what: str, one: Tensor, other: Tensor) -> str:
            values = self.samples.by_unit(criterion(one, other, units != NO_ROW), units)
            return self.record.total(f"similarity|{self.form}|{name}|{what}", values, counts)

        return count, total


def _squares(values: Tensor, here: Tensor) -> Tensor:
    """(B, n): |x − mean|² · n/(n − 1) of the values (B, n, C) of samples, whose mean estimates tr Var; 0 for others."""
    number = here.sum(1, keepdim=True).clamp_min(2).double()
    weight = here.double()[:, :, None]
    apart = (values - (values * weight).sum(1, keepdim=True) / number[:, :, None]) * weight
    return apart.square().sum(2) * number / (number - 1)

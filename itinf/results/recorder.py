"""The recorder: probes give it numbers per unit, and it makes columns per cluster for the estimators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import ItinfError
from ..statistics.bootstrap import Array
from .estimators import Estimator, Mean, Median, PairMean, PartnerMean, Ratio
from .reasons import Reason, reason_of
from .row import Row


@dataclass
class Recorder:
    """Collects the columns of one batch. Rows and their estimators are the same in every batch.

    Attributes:
        entries: row -> its estimator.
        missing: row -> why it has no value.
        columns: name -> (N,) sums over the units of each cluster.
        values: name -> (N, P) values for a histogram, and (N, P) bool: which of them are known.
    """

    entries: dict[Row, Estimator] = field(default_factory=dict)
    missing: dict[Row, Reason] = field(default_factory=dict)
    columns: dict[str, Tensor] = field(default_factory=dict)
    values: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def _add_row(self, row: Row, estimator: Estimator) -> None:
        if self.entries.setdefault(row, estimator) != estimator:
            raise ItinfError(
                f"Two probes measure {row}, and not in one way: {self.entries[row]} and {estimator}. "
                "Give one of them another measure or form."
            )

    def _name(self, row: Row) -> str:
        fields = (row.measure, row.block, row.update, row.part, row.gradient, row.target, row.form)
        name = "|".join(str(f) for f in (*fields, row.statistic, row.subset, row.null, row.unit))
        return f"{row.lens}|{name}" if row.lens else name

    def count(self, name: str, known: Tensor) -> str:
        """Adds a count of units per cluster, from (N, P) bool, that rows can share. Returns its name."""
        if name not in self.columns:
            n = known.sum(1).double()
            self.columns[name] = n
            self.columns[f"{name}²"] = n * n
        return name

    def absent(self, row: Row, reason: Reason | str) -> None:
        """Adds a row without a value. A reason that is only a sentence gets the code "other"."""
        self.missing[row] = reason if isinstance(reason, Reason) else reason_of(reason)

    def mean(self, row: Row, values: Tensor, known: Tensor, count: str = "", median: bool = False) -> None:
        """Adds a row with the mean over units, and the columns that a simultaneous band needs.

        Args:
            row: the row.
            values: (N, P).
            known: (N, P) bool.
            count: name of the count of ``known``; rows of the same units share it. "" adds a new count.
            median: also adds a row with the median.
        """
        name = self._name(row)
        total = torch.where(known, values, 0.0).sum(1)
        count = self.count(count or f"{name}|n", known)
        n = self.columns[count]
        self.columns[f"{name}|sum"] = total
        self.columns[f"{name}|sum2"] = total * total
        self.columns[f"{name}|sumn"] = total * n
        roles = {role: f"{name}|{role}" for role in ("sum", "sum2", "sumn")}
        self._add_row(row, Mean(**roles, n=count, n2=f"{count}²"))
        if median:
            self.values[name] = (values, known)
            self._add_row(replace(row, statistic="median"), Median(histogram=name, n=count))

    def ratio(self, row: Row, above: Tensor, below: Tensor, known: Tensor, count: str = "") -> None:
        """Adds a row with a ratio of sums over units: Σ above / Σ below, both (N, P)."""
        name = self._name(row)
        self.columns[f"{name}|above"] = torch.where(known, above, 0.0).sum(1)
        self.columns[f"{name}|below"] = torch.where(known, below, 0.0).sum(1)
        count = self.count(count or f"{name}|n", known)
        self._add_row(row, Ratio(above=f"{name}|above", below=f"{name}|below", n=count))

    def pairs(self, row: Row, total: Tensor, number: Tensor, count: str = "") -> None:
        """Adds a row with the mean over pairs, from the row sum plus the column sum of each cluster.

        Args:
            row: the row, with its ``null``.
            total: (N,) sums of the values; number: (N,) the same sums of the counts.
            count: name of the counts, if rows share them; "" adds new counts.
        """
        name = self._name(row)
        count = count or f"{name}|n"
        self.columns[f"{name}|sum"] = total
        self.columns.setdefault(count, number)
        self._add_row(row, PairMean(sum=f"{name}|sum", n=count))

    def partners(self, row: Row, values: Tensor, observed: Tensor, partner: Tensor, count: str = "") -> None:
        """Adds a row with the mean over units of the values with the partner's vector.

        The observed mean of the same units is stored beside it, for the effect.

        Args:
            row: the row, with its ``null``.
            values: (N, P) with the partner's vector; observed: (N, P) with the unit's vector.
            partner: (N·P,) row of the partner, −1 for no partner.
            count: name of the counts, if rows share them; "" adds new counts.
        """
        name = self._name(row)
        count = count or f"{name}|n"
        known = (partner >= 0).reshape(values.shape)
        self.columns[f"{name}|sum"] = row_and_column(torch.where(known, values, 0.0), partner)
        if count not in self.columns:
            self.columns[count] = row_and_column(known.double(), partner)
        self.columns[f"{name}|own"] = torch.where(known, observed, 0.0).sum(1)
        self.count(f"{count}|own", known)
        self._add_row(row, PartnerMean(sum=f"{name}|sum", n=count, own=f"{name}|own", own_n=f"{count}|own"))

    def per_unit(
        self, row: Row, kind: type[Estimator], values: Mapping[str, Tensor], known: Tensor, count: str = ""
    ) -> None:
        """Adds a row with any estimator, from numbers of every unit.

        Args:
            row: the row; kind: its estimator.
            values: role -> (N, P); the column is the sum over the known units of each cluster.
            known: (N, P) bool; its count has the role ``n``.
            count: name of that count; "" adds a new count.
        """
        columns = {role: torch.where(known, x, 0.0).sum(1) for role, x in values.items()}
        self.add(row, kind, columns, n=self.count(count or f"{self._name(row)}|n", known))

    def per_partner(self, row: Row, kind: type[Estimator], values: Mapping[str, Tensor], partner: Tensor) -> None:
        """Adds a row with any estimator, from numbers of every unit with its partner's vector.

        Each number is added to the cluster of the unit and to that of the partner; ``Sums.pair_mean`` needs both.

        Args:
            row: the row, with its ``null``; kind: its estimator, with ``counts_twice``.
            values: role -> (N, P), summed over the units that have a partner; their count has the role ``n``.
            partner: (N·P,) row of the partner, −1 for no partner.
        """
        every = dict(values) | {"n": torch.ones_like(next(iter(values.values())))}
        known = (partner >= 0).reshape(every["n"].shape)
        columns = {role: row_and_column(torch.where(known, x, 0.0), partner) for role, x in every.items()}
        self.add(row, kind, columns)

    def add(self, row: Row, kind: type[Estimator], columns: Mapping[str, Tensor], **shared: str) -> None:
        """Adds a row with any estimator.

        Args:
            row: the row.
            kind: its estimator.
            columns: role -> (N,) sums over the units of each cluster.
            **shared: role -> name of a column that rows share, such as the name that ``count`` returns.
        """
        name = self._name(row)
        for role, column in columns.items():
            self.columns[f"{name}|{role}"] = column
        self._add_row(row, kind(**{role: f"{name}|{role}" for role in columns}, **shared))

    def take(self) -> dict[str, Array]:
        """Returns the columns of the batch, each (N,) float64, and empties them for the next batch."""
        stacked = torch.stack(list(self.columns.values())).cpu().numpy()
        taken = dict(zip(self.columns, stacked, strict=True))
        self.columns = {}
        return taken

    def take_values(self) -> tuple[list[str], Array, NDArray[np.bool_]]:
        """Returns names, (H, N, P) values and (H, N, P) known of the histograms, and empties them."""
        names = list(self.values)
        if not names:
            return names, np.zeros((0, 1, 1)), np.zeros((0, 1, 1), dtype=bool)
        values = torch.stack([v.double() for v, _ in self.values.values()]).cpu().numpy()
        known = torch.stack([k for _, k in self.values.values()]).cpu().numpy()
        self.values = {}
        return names, values, known


def row_and_column(values: Tensor, partner: Tensor) -> Tensor:
    """(N,): for each cluster, the values of its units plus the values of all units whose partner is in it.

    Args:
        values: (N, P), 0 for units without a partner.
        partner: (N·P,) row numbers, −1 for no partner.
    """
    p = values.shape[1]
    total = values.sum(1)
    fits = partner >= 0
    return total.index_add(
        0, torch.div(partner[fits], p, rounding_mode="floor"), values.flatten()[fits].to(total.dtype)
    )

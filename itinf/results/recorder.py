"""The recorder: probes give it numbers per unit, and it makes columns per cluster for the estimators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations_with_replacement

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import ItinfError
from ..statistics.bootstrap import Array
from ..statistics.twice import product_name
from .best import BestOption
from .dyads import both_ways, of_partners, per_cluster
from .estimators import Estimator, Mean, Median, PairMean, PartnerMean, Ratio, Share
from .ratios import BandRatio
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
        products: name -> (N,) products of two columns over dyads, which need no replicates.
        group: clusters per group; None if all clusters of the batch are one group.
    """

    entries: dict[Row, Estimator] = field(default_factory=dict)
    missing: dict[Row, Reason] = field(default_factory=dict)
    columns: dict[str, Tensor] = field(default_factory=dict)
    values: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    products: dict[str, Tensor] = field(default_factory=dict)
    group: int | None = None
    _dyads: dict[str, Tensor] = field(default_factory=dict)

    def _add_row(self, row: Row, estimator: Estimator) -> None:
        if self.entries.setdefault(row, estimator) != estimator:
            raise ItinfError(
                f"Two probes measure {row}, and not in one way: {self.entries[row]} and {estimator}. "
                "Give one of them another measure or form."
            )

    def _name(self, row: Row) -> str:
        fields = (row.measure, row.block, row.update, row.part, row.gradient, row.target, row.form)
        name = "|".join(str(f) for f in (*fields, row.statistic, row.subset, row.null, row.unit))
        name = name if row.state is None else f"state {row.state}|{name}"
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

    def mean(
        self,
        row: Row,
        values: Tensor,
        known: Tensor,
        count: str = "",
        median: bool = False,
        kind: type[Mean] = Mean,
        without: Sequence[Tensor] = (),
    ) -> None:
        """Adds a row with the mean over units, and the columns that a simultaneous band needs.

        Args:
            row: the row.
            values: (N, P).
            known: (N, P) bool.
            count: name of the count of ``known``; rows of the same units share it. "" adds a new count.
            median: also adds a row with the median.
            kind: ``Share`` where the values are 0 and 1.
            without: for a ``CalibratedMean``, the values without each part of the calibration, each (N, P).
        """
        name = self._name(row)
        total = torch.where(known, values, 0.0).sum(1)
        count = self.count(count or f"{name}|n", known)
        n = self.columns[count]
        self.columns[f"{name}|sum"] = total
        self.columns[f"{name}|sum2"] = total * total
        self.columns[f"{name}|sumn"] = total * n
        left_out = {f"without{place}": left for place, left in enumerate(without)}
        for role, left in left_out.items():
            self.columns[f"{name}|{role}"] = torch.where(known, left, 0.0).sum(1)
        roles = {role: f"{name}|{role}" for role in ("sum", "sum2", "sumn", *left_out)}
        self._add_row(row, kind(**roles, n=count, n2=f"{count}²"))
        if median:
            self.median(row, values, known, count)

    def median(self, row: Row, values: Tensor, known: Tensor, count: str) -> None:
        """Adds the row with the median over units, beside a row with another statistic; arguments as for ``mean``."""
        name = self._name(row)
        self.values[name] = (values, known)
        self._add_row(replace(row, statistic="median"), Median(histogram=name, n=count))

    def total(self, name: str, values: Tensor, known: Tensor) -> str:
        """Adds a column that rows can share, the sum of (N, P) values over the known units. Returns its name."""
        self.columns[name] = torch.where(known, values, 0.0).sum(1)
        return name

    def quotient(self, row: Row, above: str, below: str, count: str) -> None:
        """Adds a row with a ratio of two totals, and the columns that a simultaneous band needs.

        Args:
            row: the row; above, below: names that ``total`` returned.
            count: name of the count of units.
        """
        names = {"above2": (above, above), "below2": (below, below), "cross": (above, below)}
        roles = {role: "·".join(sorted(pair)) for role, pair in names.items()}
        for role, (one, other) in names.items():
            self.columns[roles[role]] = self.columns[one] * self.columns[other]
        self._add_row(row, BandRatio(above=above, below=below, n=count, **roles))

    def ratio(self, row: Row, above: Tensor, below: Tensor, known: Tensor, count: str = "") -> None:
        """Adds a row with a ratio of sums over units: Σ above / Σ below, both (N, P)."""
        name = self._name(row)
        self.columns[f"{name}|above"] = torch.where(known, above, 0.0).sum(1)
        self.columns[f"{name}|below"] = torch.where(known, below, 0.0).sum(1)
        count = self.count(count or f"{name}|n", known)
        self._add_row(row, Ratio(above=f"{name}|above", below=f"{name}|below", n=count))

    def share(self, row: Row, happens: Tensor, known: Tensor, count: str = "") -> None:
        """Adds a row with the share of units for which something happens; arguments as for ``mean``."""
        self.mean(row, happens.double(), known, count, kind=Share)

    def best(self, row: Row, options: Sequence[Tensor], known: Tensor, second: Tensor, count: str) -> None:
        """Adds a row with the mean of the least of several options; each half of the clusters chooses for the other.

        Args:
            row: the row; options: each (N, P).
            known: (N, P) bool; count: name of their count.
            second: (N,) bool, the clusters of the second half.
        """
        columns: dict[str, Tensor] = {}
        for half, mine in enumerate((~second, second)):
            here = known & mine.unsqueeze(1)
            columns[f"n{half}"] = here.sum(1).double()
            columns |= {f"{half}|{i}": torch.where(here, values, 0.0).sum(1) for i, values in enumerate(options)}
        self.add(row, BestOption, columns, n=count)

    def pairs(self, row: Row, values: Tensor, number: Tensor, count: str = "", kind: type[PairMean] = PairMean) -> None:
        """Adds a row with the mean over pairs.

        Args:
            row: the row, with its ``null``.
            values: (groups, n, n) sums of the values for every dyad, see ``itinf.results.dyads``; number: the same
                sums of the counts.
            count: name of the counts, if rows share them; "" adds new counts.
            kind: ``PairShare`` where the values are 0 and 1.
        """
        count = self.dyads(count or f"{self._name(row)}|n", number)
        self.add(row, kind, {}, {"sum": values}, n=count)

    def partners(
        self,
        row: Row,
        values: Tensor,
        observed: Tensor,
        partner: Tensor,
        count: str = "",
        kind: type[PartnerMean] = PartnerMean,
    ) -> None:
        """Adds a row with the mean over units of the values with the partner's vector.

        The observed mean of the same units is stored beside it, for the effect.

        Args:
            row: the row, with its ``null``.
            values: (N, P) with the partner's vector; observed: (N, P) with the unit's vector.
            partner: (N·P,) row of the partner, −1 for no partner.
            count: name of the counts, if rows share them; "" adds new counts.
            kind: ``PartnerShare`` where the values are 0 and 1.
        """
        tables = [self.of_partners(x, partner) for x in (values, torch.ones_like(values), observed)]
        self.partner_means(row, (tables[0], tables[1], tables[2]), (partner >= 0).reshape(values.shape), count, kind)

    def partner_means(
        self,
        row: Row,
        tables: tuple[Tensor, Tensor, Tensor],
        known: Tensor,
        count: str = "",
        kind: type[PartnerMean] = PartnerMean,
    ) -> None:
        """The same for units with several partners.

        Args:
            row, count, kind: as for ``partners``.
            tables: values, weights, and weighted observed values of every dyad, each (groups, n, n). The weights of a
                unit's partners add up to 1.
            known: (N, P) bool, the units that have a partner.
        """
        count = self.dyads(count or f"{self._name(row)}|n", tables[1])
        values = {"sum": tables[0], "own": tables[2]}
        self.add(row, kind, {}, values, n=count, own_n=self.count(f"{count}|own", known))

    def dyads(self, name: str, table: Tensor) -> str:
        """Adds a column over dyads that rows can share: for each cluster row sum plus column sum. Returns its name.

        Args:
            name: name of the column; one that is known already is not added again.
            table: (groups, n, n), the value of every dyad.
        """
        if name not in self.columns:
            self._dyads[name] = both_ways(table)
            clusters = len(next(iter(self.columns.values()), table.flatten(0, 1)))
            self.columns[name] = per_cluster(self._dyads[name], clusters)
        return name

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

    def per_partner(
        self,
        row: Row,
        kind: type[Estimator],
        values: Mapping[str, Tensor],
        partner: Tensor,
        **shared: str,
    ) -> None:
        """Adds a row with any estimator, from numbers of every unit with its partner's vector.

        Each number is added to the cluster of the unit and to that of the partner; ``Sums.pair_mean`` needs both.

        Args:
            row: the row, with its ``null``; kind: its estimator, with ``counts_twice``.
            values: role -> (N, P), summed over the units that have a partner; their count has the role ``n``, unless
                ``shared`` names another column for it.
            partner: (N·P,) row of the partner, −1 for no partner.
            **shared: role -> name of a column that rows share.
        """
        every = dict(values) | ({} if "n" in shared else {"n": torch.ones_like(next(iter(values.values())))})
        self.add(row, kind, {}, {role: self.of_partners(x, partner) for role, x in every.items()}, **shared)

    def add(
        self,
        row: Row,
        kind: type[Estimator],
        columns: Mapping[str, Tensor],
        dyads: Mapping[str, Tensor] | None = None,
        **shared: str,
    ) -> None:
        """Adds a row with any estimator.

        Args:
            row: the row.
            kind: its estimator.
            columns: role -> (N,) sums over the units of each cluster.
            dyads: role -> (groups, n, n) values of every dyad, for means over pairs.
            **shared: role -> name of a column that rows share, such as the name that ``count`` or ``dyads`` returns.
        """
        name = self._name(row)
        for role, column in columns.items():
            self.columns[f"{name}|{role}"] = column
        of_dyads = [self.dyads(f"{name}|{role}", table) for role, table in (dyads or {}).items()]
        of_dyads += [column for column in shared.values() if column in self._dyads]
        for one, other in combinations_with_replacement(of_dyads, 2):
            if {product_name(one, other), product_name(other, one)}.isdisjoint(self.products):
                product = per_cluster(self._dyads[one] * self._dyads[other], len(self.columns[one])) / 2
                self.products[product_name(one, other)] = product
        roles = {role: f"{name}|{role}" for role in (*columns, *(dyads or {}))}
        self._add_row(row, kind(**roles, **shared))

    def of_partners(self, values: Tensor, partner: Tensor) -> Tensor:
        """(groups, n, n): values (N, P) of units with one partner each, for every dyad, see ``per_partner``."""
        return of_partners(values, partner, min(self.group or len(values), len(values)))

    def take(self) -> dict[str, Array]:
        """Returns the columns of the batch, each (N,) float64, and empties them for the next batch."""
        stacked = torch.stack(list(self.columns.values())).cpu().numpy()
        taken = dict(zip(self.columns, stacked, strict=True))
        self.columns, self._dyads = {}, {}
        return taken

    def take_products(self) -> dict[str, Array]:
        """The same for the products of columns over dyads."""
        taken = {name: product.cpu().numpy() for name, product in self.products.items()}
        self.products = {}
        return taken

    def take_values(self) -> tuple[list[str], Array, NDArray[np.bool_]]:
        """Returns names, (H, N, P) values and (H, N, P) known of the histograms, and empties them."""
        names = list(self.values)
        if not names:
            return names, np.zeros((0, 1, 1)), np.zeros((0, 1, 1), dtype=bool)
        widest = max(v.shape[1] for v, _ in self.values.values())  # a probe may measure one position of a sequence
        values = torch.stack([_widened(v.double(), widest) for v, _ in self.values.values()]).cpu().numpy()
        known = torch.stack([_widened(k, widest) for _, k in self.values.values()]).cpu().numpy()
        self.values = {}
        return names, values, known


def _widened(values: Tensor, width: int) -> Tensor:
    """(N, P) values with as many columns of zeros, which are not known, as are missing."""
    return torch.nn.functional.pad(values, (0, width - values.shape[1]))

"""Differences of rows of one network, from the same bootstrap replicates: observed − null, and any two rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..errors import ItinfError
from ..statistics.bootstrap import Array, Sums
from ..statistics.intervals import Estimated, interval, share_difference, share_interval
from ..statistics.nulls import OBSERVED
from ..statistics.twice import counted_twice
from .estimators import Estimator
from .row import Row
from .sums import StudySums


class Difference(NamedTuple):
    """A difference with its 95 % interval, NaN under ``MIN_CLUSTERS`` clusters; ``n_clusters`` contribute to both rows."""

    mean: float
    lo: float
    hi: float
    n_clusters: int


def difference(stage: StudySums, first: Mapping[str, Any], second: Mapping[str, Any]) -> Difference:
    """One row minus another, see ``ProbeResult.difference``."""
    chosen = [_chosen(stage, columns) for columns in (first, second)]
    clusters = min(estimator.counts(stage.sums)[1] for estimator in chosen)
    with np.errstate(divide="ignore", invalid="ignore"):  # a replicate without clusters has no value
        a, b = (estimator.estimate(stage.sums) for estimator in chosen)
        if not np.isfinite(a[0] - b[0]):
            empty = first if not np.isfinite(a[0]) else second
            raise ItinfError(f"The row {dict(empty)} has no value; its reason is in the table. Choose another row.")
        lo, hi = paired((chosen[0], a), (chosen[1], b), stage.sums, clusters)
    return Difference(float(a[0] - b[0]), lo, hi, clusters)


def _chosen(stage: StudySums, columns: Mapping[str, Any]) -> Estimator:
    wanted = {"null": OBSERVED, "subset": "all", **columns}
    if "block_index" in wanted:
        wanted["block"] = wanted.pop("block_index")
    elif isinstance(wanted.get("block"), str) and wanted["block"] in stage.structure["blocks"]:
        wanted["block"] = stage.structure["blocks"].index(wanted["block"]) + 1
    if "state_index" in wanted:
        wanted["state"] = wanted.pop("state_index")
    elif isinstance(wanted.get("state"), str):
        known = [name for name, *_ in stage.structure.get("states", [])]
        wanted["state"] = known.index(wanted["state"]) if wanted["state"] in known else wanted["state"]
    names = list(Row.__dataclass_fields__)
    if unknown := sorted(set(wanted) - set(names)):
        raise ItinfError(
            f"{dict(columns)}: no column {unknown[0]!r} names a row. Expected block_index, state_index or {', '.join(names)}."
        )
    rows = {row: e for row, e in stage.entries.items() if all(getattr(row, k) == v for k, v in wanted.items())}
    if len(rows) != 1:
        differ = [k for k in names if len({getattr(row, k) for row in rows}) > 1]
        found = f"they differ in {', '.join(differ)}" if rows else "compare with the columns of the table"
        raise ItinfError(f"{dict(columns)} selects {len(rows)} rows; expected one: {found}.")
    (estimator,) = rows.values()
    if not estimator.replicated:
        raise ItinfError(f"{dict(columns)} selects a median, which has no replicates. Choose another statistic.")
    return estimator


def paired(
    first: tuple[Estimator, Array], second: tuple[Estimator, Array], sums: Sums, clusters: int
) -> tuple[float, float]:
    """The interval of first − second, over the same clusters; each is an estimator with its estimate (1 + B,).

    What belongs to single pairs of clusters is counted twice in either; of the difference at least the difference of
    the two is. Where both are means over pairs the interval can therefore be too wide, but not too narrow.
    """
    twice = (math.sqrt(first[0].twice(sums)) - math.sqrt(second[0].twice(sums))) ** 2
    shares = first[0].share and second[0].share
    each = [e.estimated(x, sums, clusters) if shares else Estimated(x, math.nan, math.nan) for e, x in (first, second)]
    return _gap(each[0], each[1], clusters, twice, shares)


def of_same_units(observed: Estimator, null: Estimator, sums: Sums) -> Array:
    """The observed estimate (1 + B,) over the units that the null has."""
    own = null.own_estimate(sums)
    return observed.estimate(sums) if own is None else own


def effect_of(observed: Estimator, null: Estimator, sums: Sums, clusters: int) -> tuple[float, float, float]:
    """Observed − null, both over the units that the null has, with its paired interval."""

    def own(of: Sums) -> Array:
        return of_same_units(observed, null, of)

    columns = [*observed.columns.values(), *null.columns.values()]
    twice = counted_twice(lambda of: own(of) - null.estimate(of), columns, sums)
    shares = observed.share and null.share
    values = own(sums), null.estimate(sums)
    each = [Estimated(x, math.nan, math.nan) for x in values]
    if shares:
        units = observed.counts(sums)[0]
        owed = counted_twice(own, columns, sums)
        one_each = observed.counts(sums)[0] == observed.counts(sums)[1]
        limits = share_interval(values[0], clusters, units, twice=owed, one_each=one_each)
        each = [Estimated(values[0], *limits, owed), null.estimated(values[1], sums, clusters)]
    return float(values[0][0] - values[1][0]), *_gap(each[0], each[1], clusters, twice, shares)


def _gap(first: Estimated, second: Estimated, clusters: int, twice: float, shares: bool) -> tuple[float, float]:
    gap = first.estimate - second.estimate
    if shares:
        return share_difference(first, second, gap, clusters, twice)
    return interval(gap, clusters, twice=twice)

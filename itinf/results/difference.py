"""The difference of two rows of one network, from the same bootstrap replicates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..errors import ItinfError
from ..statistics.nulls import OBSERVED
from .estimators import Estimator, paired
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
    names = list(Row.__dataclass_fields__)
    if unknown := sorted(set(wanted) - set(names)):
        raise ItinfError(
            f"{dict(columns)}: no column {unknown[0]!r} names a row. Expected block_index or {', '.join(names)}."
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

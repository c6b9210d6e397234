"""From sums to the tidy table: estimates, intervals, bands, effects against the nulls."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from ..statistics.bootstrap import Array
from ..statistics.intervals import interval, simultaneous_band
from .estimators import counts, error, estimate, own_estimate
from .row import Estimator, Row
from .schema import SCHEMA, results_table
from .sums import StudySums


def table(stages: Mapping[str, StudySums]) -> pd.DataFrame:
    """One row per number.

    Args:
        stages: ``"observed"``, and ``"untrained:SEED"`` for each untrained network.

    Returns:
        The columns of ``itinf.results.schema.DTYPES``. ``mean`` is the estimate that ``statistic`` names, lo and hi its 95 %
        interval, band_lo and band_hi a band that holds all blocks at once. A measure ending in
        ``_effect`` is observed − null with its own paired interval. Missing rows have a ``reason``.
    """
    rows = []
    for name, stage in stages.items():
        kind, _, seed = name.partition(":")
        made = _rows(stage)
        if kind == "untrained":
            made = [
                r | {"null": kind, "null_seed": int(seed)} for r in made if r["null"] == "observed" and not r["reason"]
            ]
        rows += made
    return results_table(rows)


def _rows(stage: StudySums) -> list[dict[str, Any]]:
    sums = stage.sums
    sums.flush()
    bands = _bands(stage)
    made = []
    for row, entry in stage.entries.items():
        units, clusters = counts(entry, sums)
        if entry.kind == "median":
            mean, lo, hi = stage.histograms.median(entry.columns["histogram"])
        else:
            values = estimate(entry, sums)
            mean = float(values[0])
            lo, hi = interval(values, clusters)
        made.append(
            _line(row, stage, units, clusters)
            | {"mean": mean, "lo": lo, "hi": hi}
            | dict(zip(("band_lo", "band_hi"), bands.get(row, (math.nan, math.nan)), strict=True))
        )
        if row.null in ("pairing", "same-target"):
            made += _effect(entry, stage, clusters)
        elif (
            row.measure == "alignment"
            and entry.kind == "mean"
            and row.form == "raw"
            and row.subset == "all"
            and row.unit != "sequence"
        ):
            made.append(_isotropic(row, stage, units, clusters))
    nothing = {"mean": math.nan, "lo": math.nan, "hi": math.nan}
    for row, reason in stage.missing.items():
        made.append(_line(row, stage, 0, 0) | nothing | {"reason": reason})
    return made


def _line(row: Row, stage: StudySums, units: int, clusters: int) -> dict[str, Any]:
    structure = stage.structure
    fields = {k: v for k, v in row.__dict__.items() if k != "block"}
    place = row.block - 1
    total = stage.units if row.unit != "sequence" else stage.clusters
    pairs = row.null == "pairing"
    return fields | {
        "schema": SCHEMA,
        "model": structure["model"],
        "modality": structure["modality"],
        "block": structure["blocks"][place],
        "block_index": row.block,
        "state": "",
        "state_index": None,
        "depth": row.block / len(structure["blocks"]),
        "segment": structure["segments"][place],
        "null_seed": None,
        "band_lo": math.nan,
        "band_hi": math.nan,
        "n_units": units,
        "n_missing": None if pairs or row.subset != "all" else total - units,
        "n_clusters": clusters,
        "reason": "",
    }


def _effect(entry: Estimator, stage: StudySums, clusters: int) -> list[dict[str, Any]]:
    """Observed − null; over the same units where the null has not all of them."""
    row = entry.row
    observed = stage.entries.get(replace(row, null="observed"))
    if observed is None or observed.kind == "median":
        return []
    own = own_estimate(entry, stage.sums)
    with np.errstate(invalid="ignore"):  # a replicate without clusters has no value
        values = (estimate(observed, stage.sums) if own is None else own) - estimate(entry, stage.sums)
    lo, hi = interval(values, clusters)
    units = counts(observed if own is None else entry, stage.sums)[0]
    line = _line(row, stage, units, clusters)
    return [line | {"measure": f"{row.measure}_effect", "mean": float(values[0]), "lo": lo, "hi": hi}]


def _isotropic(row: Row, stage: StudySums, units: int, clusters: int) -> dict[str, Any]:
    """Where the mean cosine of independent isotropic vectors would lie: sd 1/√d per unit. Not a test."""
    half = 1.96 / math.sqrt(max(units, 1) * stage.structure["sizes"][row.block - 1])
    line = _line(row, stage, units, clusters)
    return line | {"null": "isotropic", "mean": 0.0, "lo": -half, "hi": half}


def _bands(stage: StudySums) -> dict[Row, tuple[float, float]]:
    curves: dict[Row, list[Estimator]] = {}
    for row, entry in stage.entries.items():
        if entry.kind == "mean" and row.null == "observed":
            curves.setdefault(replace(row, block=0), []).append(entry)
    bands: dict[Row, tuple[float, float]] = {}
    for entries in curves.values():
        clusters = min(counts(e, stage.sums)[1] for e in entries)
        estimates: Array = np.stack([estimate(e, stage.sums) for e in entries])
        errors: Array = np.stack([e for e in (error(x, stage.sums, clusters) for x in entries) if e is not None])
        lo, hi = simultaneous_band(estimates, errors, clusters)
        bands |= {e.row: (float(a), float(b)) for e, a, b in zip(entries, lo, hi, strict=True)}
    return bands

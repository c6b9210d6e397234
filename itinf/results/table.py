"""The results table, computed from sums: estimates, intervals, bands, effects against the nulls."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from ..statistics.bootstrap import Array
from ..statistics.intervals import simultaneous_band
from ..statistics.nulls import OBSERVED, recorded_null
from .difference import effect_of
from .estimators import Estimator, Mean
from .reasons import Reason, why_nothing
from .row import Row
from .schema import SCHEMA, results_table
from .sums import StudySums

MEASURES = "measures.parquet"


def table(stages: Mapping[str, StudySums]) -> pd.DataFrame:
    """The results table: one row per number.

    Args:
        stages: ``"observed"``, and ``"untrained:SEED"`` for each untrained network.

    Returns:
        A table with the columns of ``itinf.results.schema.DTYPES``. ``mean`` is the estimate that ``statistic`` names,
        ``lo`` and ``hi`` its 95 % interval, ``band_lo`` and ``band_hi`` a simultaneous band over all blocks. A measure
        that ends in ``_effect`` is observed − null with a paired interval. A row without a value, or without an
        interval, has a ``reason`` and its ``reason_code``.
    """
    rows = []
    for name, stage in stages.items():
        kind, _, seed = name.partition(":")
        made = _rows(stage)
        if kind == "untrained":
            absent = {why.code for why in stage.missing.values()}  # the observed network has these rows already
            measured = [r for r in made if r["null"] == OBSERVED and r["reason_code"] not in absent]
            made = [r | {"null": kind, "null_seed": int(seed)} for r in measured]
        rows += made
    return results_table(rows)


def _rows(stage: StudySums) -> list[dict[str, Any]]:
    sums = stage.sums
    bands = _bands(stage)
    made = []
    for row, estimator in stage.entries.items():
        units, clusters = estimator.counts(sums)
        value = _value(estimator.value(sums, stage.histograms, clusters), row, units, clusters, estimator.missing)
        band = dict(zip(("band_lo", "band_hi"), bands.get(row, (math.nan, math.nan)), strict=True))
        made.append(_line(row, stage, units, clusters) | value | band)
        if row.null != OBSERVED:
            made += _effect(row, estimator, stage, clusters)
        elif _is_cosine(row, estimator):
            made.append(_isotropic(row, stage, units, clusters))
    made += [_line(row, stage, 0, 0) | _nothing(why) for row, why in stage.missing.items()]
    return made


def _value(
    value: tuple[float, float, float], row: Row, units: int, clusters: int, missing: Reason | None = None
) -> dict[str, Any]:
    """The columns of an estimate and its interval, and the reason where one of them is missing."""
    mean, lo, hi = value
    why = why_nothing(mean, lo, units, clusters, row.null)
    if not math.isfinite(mean):
        return _nothing(missing if missing is not None and units else why)
    if not (math.isfinite(lo) and math.isfinite(hi)):
        lo = hi = math.nan
    reason = {} if why is None else {"reason": why.sentence, "reason_code": why.code}
    return {"mean": mean, "lo": lo, "hi": hi} | reason


def _nothing(why: Reason | None) -> dict[str, Any]:
    assert why is not None, "a missing number has a reason"
    nothing = {"mean": math.nan, "lo": math.nan, "hi": math.nan}
    return nothing | {"reason": why.sentence, "reason_code": why.code}


def _is_cosine(row: Row, estimator: Estimator) -> bool:
    """Whether a row is a mean of cosines of single units; only these can be compared with isotropic vectors."""
    one_each = row.subset == "all" and row.unit != "sequence"
    return row.measure == "alignment" and row.form == "raw" and one_each and isinstance(estimator, Mean)


def _line(row: Row, stage: StudySums, units: int, clusters: int) -> dict[str, Any]:
    structure = stage.structure
    fields = {k: v for k, v in row.__dict__.items() if k not in ("block", "state")}
    total = stage.units if row.unit != "sequence" else stage.clusters
    every_pair = recorded_null(row.null, stage.nulls).every_pair
    counted = not every_pair and row.subset == "all" and row.state is None  # states may be measured on some clusters
    return (
        fields
        | _place(row, structure)
        | {
            "schema": SCHEMA,
            "model": structure["model"],
            "modality": structure["modality"],
            "skips": structure.get("skips"),
            "null_seed": None,
            "band_lo": math.nan,
            "band_hi": math.nan,
            "n_units": units,
            "n_missing": total - units if counted else None,
            "n_clusters": clusters,
            "reason": "",
            "reason_code": "",
        }
    )


def _place(row: Row, structure: dict[str, Any]) -> dict[str, Any]:
    """The columns of the block or state that a row is about."""
    if row.state is None:
        return {
            "block": structure["blocks"][row.block - 1],
            "block_index": row.block,
            "state": "",
            "state_index": None,
            "depth": row.block / len(structure["blocks"]),
            "segment": structure["segments"][row.block - 1],
        }
    name, segment, depth = structure["states"][row.state]
    about = {"state": name, "state_index": row.state, "depth": depth, "segment": segment}
    return {"block": "", "block_index": None} | about


def _effect(row: Row, estimator: Estimator, stage: StudySums, clusters: int) -> list[dict[str, Any]]:
    """The row observed − null, if the null has an effect. Both are over the units that the null has."""
    observed = stage.entries.get(replace(row, null=OBSERVED))
    replicated = observed is not None and observed.replicated and estimator.replicated
    if not replicated or observed is None or not recorded_null(row.null, stage.nulls).effect:
        return []
    with np.errstate(divide="ignore", invalid="ignore"):  # a replicate without clusters has no value
        found = effect_of(observed, estimator, stage.sums, clusters)
        restricted = estimator.own_estimate(stage.sums) is not None
    units = (estimator if restricted else observed).counts(stage.sums)[0]
    value = _value(found, row, units, clusters)
    return [_line(row, stage, units, clusters) | value | {"measure": f"{row.measure}_effect"}]


def _isotropic(row: Row, stage: StudySums, units: int, clusters: int) -> dict[str, Any]:
    """The range of the mean cosine of independent isotropic vectors: sd 1/√d per unit. It is not a test."""
    half = 1.96 / math.sqrt(max(units, 1) * stage.structure["sizes"][row.block - 1])
    line = _line(row, stage, units, clusters)
    return line | {"null": "isotropic", "mean": 0.0, "lo": -half, "hi": half}


def _bands(stage: StudySums) -> dict[Row, tuple[float, float]]:
    curves: dict[Any, dict[Row, Estimator]] = {}
    for row, estimator in stage.entries.items():
        if row.null == OBSERVED and estimator.replicated:
            curves.setdefault((row.state is None, replace(row, block=0, state=None)), {})[row] = estimator
    bands: dict[Row, tuple[float, float]] = {}
    for curve in curves.values():
        clusters = min(estimator.counts(stage.sums)[1] for estimator in curve.values())
        errors = {row: estimator.error(stage.sums, clusters) for row, estimator in curve.items()}
        known = {row: error for row, error in errors.items() if error is not None}
        if known:
            estimates: Array = np.stack([curve[row].estimate(stage.sums) for row in known])
            lo, hi = simultaneous_band(estimates, np.stack(list(known.values())), clusters)
            ends = (0.0, 1.0) if all(curve[row].share for row in known) else (-math.inf, math.inf)
            lo, hi = np.clip(lo, *ends), np.clip(hi, *ends)
            bands |= {row: (float(a), float(b)) for row, a, b in zip(known, lo, hi, strict=True)}
    return bands

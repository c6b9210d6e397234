"""The tidy table of a transfer matrix: quality of each lens by depth, transfer penalties and retention."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import pandas as pd

from ...networks.trace import Target
from ...results.reasons import Reason, why_nothing
from ...results.schema import DTYPES, SCHEMA, results_table
from ...statistics.bootstrap import Array
from ...statistics.intervals import MIN_CLUSTERS, interval
from .cells import Cell
from .counterfactual import OWN, READS
from .matrix import TransferMatrix
from .retention import FittingRetention, Retention, diagonal_cells
from .scores import TARGETS


class About(Protocol):
    """What every row needs to know about a network."""

    @property
    def name(self) -> str: ...
    @property
    def modality(self) -> str: ...
    @property
    def skips(self) -> bool | None: ...
    @property
    def unit(self) -> str: ...


def transfer_table(about: About, matrix: TransferMatrix) -> pd.DataFrame:
    """One row per number, in the columns of every results table; losses in bits per unit.

    Every row is about a state: ``state_index`` is the one that is read, ``fitted_at`` the one its lens was fitted
    at, missing for lenses fitted at many. Targets: "label", and "model", the network's final distribution.
    """
    own_cells = diagonal_cells(matrix)
    retentions = {target: Retention(matrix, target) for target in TARGETS}
    depth = matrix.per_unit(matrix.column("prediction depth"))
    rows = [_row(about, matrix, own_cells[max(own_cells)], "prediction_depth", depth)]
    bits = 1 / math.log(2)
    for cell in matrix.cells:
        if cell.form in OWN:  # it is what others are divided by
            continue
        if cell.scored_in_full:
            rows += [_row(about, matrix, cell, *quality) for quality in _quality(matrix, cell)]
            rows.append(_marginal(about, matrix, cell))
        if not cell.among and not cell.of_other_data:
            penalty = (matrix.mean(cell, "loss") - matrix.mean(own_cells[cell.at], "loss")) * bits
            rows.append(_row(about, matrix, cell, "transfer_penalty", penalty))
            rows.append(_row(about, matrix, cell, "transfer_kl", matrix.mean(cell, "from_own") * bits, "model"))
        for target in TARGETS:
            readable, why = matrix.readable(cell, target) * bits, matrix.why_unreadable(cell, target)
            rows.append(_row(about, matrix, cell, "readable", None if why else readable, target, reason=why))
            kept = {} if cell.of_other_data else _retained(retentions[target], cell)
            for measure, (estimate, why) in kept.items():
                rows.append(_row(about, matrix, cell, measure, estimate, target, "ratio", why))
    for target in TARGETS:
        for cell, estimate, why in FittingRetention(matrix, target).across():
            rows.append(_row(about, matrix, cell, "fitting_retention", estimate, target, "ratio", why))
    return results_table(rows)


def _retained(kept: Retention, cell: Cell) -> dict[str, tuple[Array | None, Reason | None]]:
    """Measure -> estimate of a ratio to what the state's own lens tells, or the reason why there is none."""
    found = {"retention": kept.of(cell)}
    if cell.form not in READS:
        found["raw_retention"] = kept.of(cell, raw=True)
    if cell.onward:
        found |= {"carried_at_most": kept.carried_at_most(cell), "surplus": kept.surplus(cell)}
    return found


def _quality(matrix: TransferMatrix, cell: Cell) -> Iterator[tuple[str, Array, Target]]:
    bits = 1 / math.log(2)
    yield "lens_loss", matrix.mean(cell, "loss") * bits, "label"
    yield "lens_kl", matrix.mean(cell, "to_final") * bits, "model"
    yield "lens_entropy", matrix.mean(cell, "entropy") * bits, "model"
    yield "lens_agreement", matrix.mean(cell, "agrees"), "answer"
    yield "lens_accuracy", matrix.mean(cell, "right"), "label"
    yield "lens_calibration_error", matrix.calibration_error(cell), "label"


def _marginal(about: About, matrix: TransferMatrix, cell: Cell) -> dict[str, Any]:
    bias, half = (x / math.log(2) for x in matrix.marginal_bias(cell))
    half = half if matrix.clusters >= MIN_CLUSTERS else math.nan
    limits = bias - half, bias + half
    return _row(about, matrix, cell, "lens_marginal_bias", np.array([bias]), "model", limits=limits)


def _row(
    about: About,
    matrix: TransferMatrix,
    cell: Cell,
    measure: str,
    estimate: Array | None,
    target: str = "label",
    statistic: str = "mean",
    reason: Reason | None = None,
    limits: tuple[float, float] | None = None,
) -> dict[str, Any]:
    site = matrix.sites[cell.at]
    estimate = np.array([math.nan]) if estimate is None else estimate
    mean, (lo, hi) = float(estimate[0]), limits or interval(estimate, matrix.clusters)
    if not math.isfinite(mean):
        mean, lo, hi = math.nan, math.nan, math.nan
    reason = reason if reason and math.isnan(mean) else why_nothing(mean, lo, matrix.units_of(cell), matrix.clusters)
    return dict.fromkeys(DTYPES, "") | {
        "schema": SCHEMA,
        "model": about.name,
        "modality": about.modality,
        "skips": about.skips,
        "block_index": None,
        "state": site.name,
        "state_index": cell.at,
        "depth": site.depth,
        "segment": site.segment,
        "lens": cell.lens,
        "fitted_at": None if cell.fitted_at < 0 else cell.fitted_at,
        "measure": measure,
        "statistic": statistic,
        "form": cell.form,
        "target": target,
        "subset": "all",
        "null": cell.null,
        "null_seed": None if cell.seed < 0 else cell.seed,
        "unit": about.unit,
        "mean": mean,
        "lo": lo,
        "hi": hi,
        "band_lo": math.nan,
        "band_hi": math.nan,
        "n_units": matrix.units_of(cell),
        "n_missing": 0,
        "n_clusters": matrix.clusters,
        "reason": reason.sentence if reason else "",
        "reason_code": reason.code if reason else "",
    }

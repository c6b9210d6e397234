"""From a grid of reads to the tidy table: lens quality by depth, transfer, and what one lens retains."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import pandas as pd

from ...networks.trace import Target
from ...results.schema import DTYPES, SCHEMA, results_table
from ...statistics.bootstrap import Array
from ...statistics.intervals import MIN_CLUSTERS, interval
from .cells import Cell
from .matrix import TransferMatrix
from .retention import Retention, diagonal_cells
from .scores import TARGETS


class About(Protocol):
    """What rows say of a network."""

    @property
    def name(self) -> str: ...
    @property
    def modality(self) -> str: ...
    @property
    def unit(self) -> str: ...


def transfer_table(about: About, grid: TransferMatrix) -> pd.DataFrame:
    """One row per number, in the columns of every results table; losses in bits per unit.

    Every row is about a state: ``state_index`` is the one that is read, ``fitted_at`` the one its lens was fitted
    at, missing for lenses fitted at many. Targets: "label", and "model", the network's final distribution.
    """
    own = diagonal_cells(grid)
    kept = {target: Retention(grid, target) for target in TARGETS}
    rows = [_row(about, grid, own[max(own)], "prediction_depth", grid.per_unit(grid.column("prediction depth")))]
    bits = 1 / math.log(2)
    for read in grid.reads:
        if read.scored_in_full:
            rows += [_row(about, grid, read, *one) for one in _quality(grid, read)]
            rows.append(_marginal(about, grid, read))
        penalty = (grid.mean(read, "loss") - grid.mean(own[read.at], "loss")) * bits
        rows.append(_row(about, grid, read, "transfer_penalty", penalty))
        rows.append(_row(about, grid, read, "transfer_kl", grid.mean(read, "from_own") * bits, "model"))
        for target in TARGETS:
            rows.append(_row(about, grid, read, "readable", grid.readable(read, target) * bits, target))
            for measure, raw in (("retention", False), ("raw_retention", True)):
                found, why = kept[target].of(read, raw)
                rows.append(_row(about, grid, read, measure, found, target, "ratio", why))
    return results_table(rows)


def _quality(grid: TransferMatrix, read: Cell) -> Iterator[tuple[str, Array, Target]]:
    bits = 1 / math.log(2)
    yield "lens_loss", grid.mean(read, "loss") * bits, "label"
    yield "lens_kl", grid.mean(read, "to_final") * bits, "model"
    yield "lens_entropy", grid.mean(read, "entropy") * bits, "model"
    yield "lens_agreement", grid.mean(read, "agrees"), "answer"
    yield "lens_accuracy", grid.mean(read, "right"), "label"
    yield "lens_calibration_error", grid.calibration_error(read), "label"


def _marginal(about: About, grid: TransferMatrix, read: Cell) -> dict[str, Any]:
    bits = 1 / math.log(2)
    bias, half = (bits * x for x in grid.marginal_bias(read))
    row = _row(about, grid, read, "lens_marginal_bias", np.full(2, bias), "model")
    half = half if grid.clusters >= MIN_CLUSTERS else math.nan
    return row | {"lo": row["mean"] - half, "hi": row["mean"] + half}


def _row(
    about: About,
    grid: TransferMatrix,
    read: Cell,
    measure: str,
    estimate: Array | None,
    target: str = "label",
    statistic: str = "mean",
    reason: str = "",
) -> dict[str, Any]:
    place = grid.sites[read.at]
    lo, hi = (math.nan, math.nan) if estimate is None else interval(estimate, grid.clusters)
    return dict.fromkeys(DTYPES, "") | {
        "schema": SCHEMA,
        "model": about.name,
        "modality": about.modality,
        "block_index": None,
        "state": place.name,
        "state_index": read.at,
        "depth": place.depth,
        "segment": place.segment,
        "lens": read.lens,
        "fitted_at": None if read.fitted_at < 0 else read.fitted_at,
        "measure": measure,
        "statistic": statistic,
        "form": read.form,
        "target": target,
        "subset": "all",
        "null": read.null,
        "null_seed": None if read.seed < 0 else read.seed,
        "unit": about.unit,
        "mean": math.nan if estimate is None else float(estimate[0]),
        "lo": lo,
        "hi": hi,
        "band_lo": math.nan,
        "band_hi": math.nan,
        "n_units": grid.units,
        "n_missing": 0,
        "n_clusters": grid.clusters,
        "reason": reason,
    }

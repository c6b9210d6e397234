"""The transfer matrix in a few numbers: means by distance and direction, and those of the shared lens."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from ...results.reasons import Reason, why_nothing
from ...results.schema import summaries_table
from ...statistics.bootstrap import Array
from ...statistics.intervals import interval
from .cells import LEFT_OUT, Cell
from .counterfactual import READS
from .matrix import TransferMatrix
from .retention import FittingRetention, Retention, diagonal_cells
from .scores import TARGETS
from .table import About

Estimate = Callable[[Cell], Array | None]
ONWARD = ("carried_at_most", "surplus")
"""Measures of lenses that read states after their own."""


def summaries(about: About, matrix: TransferMatrix) -> pd.DataFrame:
    """Means over cells of the transfer matrix, each with its interval over clusters.

    Returns:
        one row per number. ``measure``: retention, transfer_penalty in bits, or, forward alone, carried_at_most and surplus,
        which add up to retention. ``direction``: "forward"
        (fitted before the state it reads), "backward", "both", or "one lens" (the shared lens, left out, over all
        states); or a difference over the same units: "forward − backward" (over pairs that have both), "farther −
        nearer" (the same state, read by the next nearer lens on the same side), "one lens − rotated" (over the
        same states). Of fitting_retention "other data", over all states. ``distance`` in states, 0 for every distance; ``share``: the same in relative depth, its mean
        over the cells. ``median``, ``least``, ``most``: of the cells.
    """
    own_cells, rows = diagonal_cells(matrix), []

    def penalty(cell: Cell) -> Array | None:
        if cell.among:
            return None
        return (matrix.mean(cell, "loss") - matrix.mean(own_cells[cell.at], "loss")) / math.log(2)

    measures: list[tuple[str, str, Estimate]] = [("transfer_penalty", "label", penalty)]
    for kept in (Retention(matrix, target) for target in TARGETS):
        measures += [
            ("retention", kept.target, _first(kept.of)),
            ("carried_at_most", kept.target, _first(kept.carried_at_most, onward=True)),
            ("surplus", kept.target, _first(kept.surplus, onward=True)),
        ]
    for measure, target, estimate in measures:
        common: dict[str, object] = {"model": about.name, "measure": measure, "target": target}
        rows += [common | row for row in _of_moved(matrix, estimate, measure in ONWARD)]
        rows += [common | row for row in _of_left_out(matrix, estimate)]
    for target in TARGETS:
        common = {"model": about.name, "measure": "fitting_retention", "target": target}
        rows += [common | row for row in _of_other_data(matrix, FittingRetention(matrix, target))]
    return summaries_table(rows)


def _first(of: Callable[[Cell], tuple[Array | None, Reason | None]], onward: bool = False) -> Estimate:
    """The estimate of a ratio; with ``onward`` of onward cells alone."""
    return lambda cell: of(cell)[0] if cell.onward or not onward else None


def _of_moved(matrix: TransferMatrix, estimate: Estimate, onward: bool) -> Iterator[dict[str, object]]:
    """Means over translators of other states, for each form; ``onward``: forward alone, where there is nothing else."""
    for form in dict.fromkeys(cell.form for cell in matrix.cells):
        moved = [cell for cell in matrix.cells if cell.off_diagonal and cell.form == form]
        values = {(c.fitted_at, c.at): value for c in moved if (value := estimate(c)) is not None}
        lens = {"lens": moved[0].lens, "form": form, "null": "observed", "null_seed": None} if moved else {}
        for row in _by_distance(matrix, values):
            if not (onward or form in READS) or row["direction"] == "forward":
                yield lens | row


def _of_other_data(matrix: TransferMatrix, retention: FittingRetention) -> Iterator[dict[str, object]]:
    """Means over all states of what each lens retains that was fitted on other data."""
    known: dict[tuple[str, str], list[Array]] = {}
    for cell, value, _ in retention.across():
        if value is not None:
            known.setdefault((cell.lens, cell.form), []).append(value)
    for (lens, form), values in known.items():
        which = {"lens": lens, "form": form, "null": "observed", "null_seed": None}
        yield which | {"direction": "other data", "distance": 0, "share": 0.0} | _mean(matrix, values)


def _of_left_out(matrix: TransferMatrix, estimate: Estimate) -> Iterator[dict[str, object]]:
    """Means over all states of the shared lens, left out, of its nulls, and of what it has beyond them."""
    known: dict[tuple[str, int], dict[int, Array]] = {}
    for cell in matrix.cells:
        if cell.lens == LEFT_OUT and not cell.of_other_data and (value := estimate(cell)) is not None:
            known.setdefault((cell.null, cell.seed), {})[cell.at] = value
    observed = known.get(("observed", -1), {})
    for (null, seed), values in known.items():
        lens = {
            "lens": LEFT_OUT,
            "form": "",
            "null": null,
            "null_seed": None if seed < 0 else seed,
            "distance": 0,
            "share": 0.0,
        }
        yield lens | {"direction": "one lens"} | _mean(matrix, list(values.values()))
        beyond = [observed[at] - value for at, value in values.items() if at in observed]
        if null != "observed" and beyond:
            yield lens | {"direction": f"one lens − {null}"} | _mean(matrix, beyond)


def _by_distance(matrix: TransferMatrix, values: dict[tuple[int, int], Array]) -> Iterator[dict[str, object]]:
    """For every distance and direction: both, the share of depth, and the ``_mean`` of values (fitted at, read at)."""
    depth = [site.depth for site in matrix.sites]
    for distance in (0, *sorted({abs(j - i) for i, j in values})) if values else ():
        within = {(i, j): x for (i, j), x in values.items() if distance in (0, abs(j - i))}
        share = float(np.mean([abs(depth[j] - depth[i]) for i, j in within]))
        directions = {
            "both": list(within.values()),
            "forward": [x for (i, j), x in within.items() if i < j],
            "backward": [x for (i, j), x in within.items() if i > j],
            "forward − backward": [x - within[j, i] for (i, j), x in within.items() if i < j and (j, i) in within],
            "farther − nearer": [
                x - values[nearer]
                for (i, j), x in within.items()
                if (nearer := (i + (1 if i < j else -1), j)) in values
            ],
        }
        for direction, chosen in directions.items():
            if chosen:
                yield {"direction": direction, "distance": distance, "share": share} | _mean(matrix, chosen)


def _mean(matrix: TransferMatrix, values: list[Array]) -> dict[str, object]:
    estimate = np.mean(values, axis=0)
    lo, hi = interval(estimate, matrix.clusters)
    plain = [float(value[0]) for value in values]
    reason = why_nothing(float(estimate[0]), lo, matrix.units, matrix.clusters)
    return {
        "mean": float(estimate[0]),
        "lo": lo,
        "hi": hi,
        "cells": len(values),
        "median": float(np.median(plain)),
        "least": min(plain),
        "most": max(plain),
        "reason": reason.sentence if reason else "",
        "reason_code": reason.code if reason else "",
    }

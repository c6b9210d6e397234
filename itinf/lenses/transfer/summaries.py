"""A grid in a few numbers: retention and penalty by distance, one way and the other, and of one lens for all depths."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from ...results.schema import summaries_table
from ...statistics.bootstrap import Array
from ...statistics.intervals import interval
from .cells import LEFT_OUT, Cell
from .matrix import TransferMatrix
from .retention import Retention, diagonal_cells
from .scores import TARGETS
from .table import About

Of = Callable[[Cell], Array | None]


def summaries(about: About, grid: TransferMatrix) -> pd.DataFrame:
    """Means over cells of the transfer matrix, each with its interval over clusters.

    Returns:
        one row per number. ``measure``: retention, or transfer_penalty in bits. ``direction``: "forward"
        (fitted before the state it reads), "backward", "both", "forward − backward" (over pairs that
        have both), or "one lens" (the shared lens, left out, over all states). ``distance`` in states,
        0 for every distance; ``share``: the same in relative depth, its mean over the cells.
    """
    own, rows = diagonal_cells(grid), []

    def penalty(read: Cell) -> Array:
        return (grid.mean(read, "loss") - grid.mean(own[read.at], "loss")) / math.log(2)

    measures: list[tuple[str, str, Of]] = [("transfer_penalty", "label", penalty)]
    measures += [("retention", target, _kept(Retention(grid, target))) for target in TARGETS]
    for measure, target, of in measures:
        said: dict[str, object] = {"model": about.name, "measure": measure, "target": target}
        for form in dict.fromkeys(read.form for read in grid.reads):
            moved = [read for read in grid.reads if read.off_diagonal and read.form == form]
            cells = {(r.fitted_at, r.at): found for r in moved if (found := of(r)) is not None}
            about_form = {"lens": moved[0].lens, "form": form, "null": "observed", "null_seed": None} if moved else {}
            rows += [said | about_form | row for row in _by_distance(grid, cells)]
        for null, seed in dict.fromkeys((r.null, r.seed) for r in grid.reads if r.lens == LEFT_OUT):
            reads = [r for r in grid.reads if (r.lens, r.null, r.seed) == (LEFT_OUT, null, seed)]
            some = [found for r in reads if (found := of(r)) is not None]
            about_lens = {
                "lens": LEFT_OUT,
                "form": "",
                "null": null,
                "null_seed": None if seed < 0 else seed,
                "distance": 0,
                "share": 0.0,
            }
            rows += [said | about_lens | {"direction": "one lens"} | _mean(grid, some)] if some else []
    return summaries_table(rows)


def _kept(retention: Retention) -> Of:
    return lambda read: retention.of(read)[0]


def _by_distance(grid: TransferMatrix, cells: dict[tuple[int, int], Array]) -> Iterator[dict[str, object]]:
    """Of every distance: direction, distance, share, and what ``_mean`` says of the cells (fitted at, read at)."""
    depth = [place.depth for place in grid.sites]
    for distance in (0, *sorted({abs(j - i) for i, j in cells})) if cells else ():
        here = {(i, j): x for (i, j), x in cells.items() if distance in (0, abs(j - i))}
        share = float(np.mean([abs(depth[j] - depth[i]) for i, j in here]))
        directions = {
            "both": list(here.values()),
            "forward": [x for (i, j), x in here.items() if i < j],
            "backward": [x for (i, j), x in here.items() if i > j],
            "forward − backward": [x - here[j, i] for (i, j), x in here.items() if i < j and (j, i) in here],
        }
        for direction, some in directions.items():
            if some:
                yield {"direction": direction, "distance": distance, "share": share} | _mean(grid, some)


def _mean(grid: TransferMatrix, cells: list[Array]) -> dict[str, object]:
    estimate = np.mean(cells, axis=0)
    lo, hi = interval(estimate, grid.clusters)
    return {"mean": float(estimate[0]), "lo": lo, "hi": hi, "cells": len(cells)}

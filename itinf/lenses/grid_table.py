"""From a grid of reads to the tidy table: lens quality by depth, transfer, and what one lens retains."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import pandas as pd

from ..statistics import Array, interval
from ..table import COLUMNS, SCHEMA
from .reads import Read
from .transfer import Grid, ratio


class About(Protocol):
    """What rows say of a network."""

    @property
    def name(self) -> str: ...
    @property
    def modality(self) -> str: ...
    @property
    def unit(self) -> str: ...


READABLE_SHARE = 0.05
"""A state whose own lens tells less than this share of what the last one's tells has no retention."""
TOO_LITTLE = "its own lens tells less than 5 % of what the last state's tells"


def grid_table(about: About, grid: Grid) -> pd.DataFrame:
    """One row per number, in the columns of every results table; losses in bits per unit.

    ``index`` numbers the states (0 before the first block), ``fitted_at`` the state a lens was fitted
    at, "" for lenses fitted at many.
    """
    own = {read.at: read for read in grid.reads if read.own}
    kind = own[len(grid.places) - 1].lens
    readable = {at: grid.readable(read) for at, read in own.items()}
    last = readable[len(grid.places) - 1][0]
    rows = [
        _row(
            about,
            grid,
            len(grid.places) - 1,
            "prediction_depth",
            grid.per_unit(grid.column("prediction depth")),
            kind,
            "",
        )
    ]
    for read in grid.reads:
        told = readable[read.at] if read.own else grid.readable(read)
        where = "" if read.fitted_at < 0 else str(read.fitted_at)
        for measure, estimate in _quality(grid, read, told):
            rows.append(_row(about, grid, read.at, measure, estimate, read.lens, where))
        penalty = (grid.mean(read, "loss") - grid.mean(own[read.at], "loss")) / math.log(2)
        rows.append(_row(about, grid, read.at, "transfer_penalty", penalty, read.lens, where))
        rows.append(
            _row(about, grid, read.at, "transfer_kl", grid.mean(read, "from_own") / math.log(2), read.lens, where)
        )
        for measure, above, below in (
            ("retention", told, readable[read.at]),
            ("raw_retention", grid.raw_readable(read), grid.raw_readable(own[read.at])),
        ):
            kept, why = (ratio(above, below), "") if _enough(below, last) else (None, TOO_LITTLE)
            rows.append(_row(about, grid, read.at, measure, kept, read.lens, where, "ratio", why))
    return pd.DataFrame(rows, columns=COLUMNS)


def by_distance(about: About, grid: Grid) -> pd.DataFrame:
    """Mean retention of all pairs of states so many states apart, forward, backward and both.

    Returns:
        columns distance (states), share (of the longest segment's depth, as relative depth), direction
        ("forward": fitted before it is read), mean, lo, hi, cells.
    """
    own = {read.at: grid.readable(read) for read in grid.reads if read.own}
    last = own[len(grid.places) - 1][0]
    cells: dict[tuple[int, str], list[Array]] = {}
    shares: dict[int, list[float]] = {}
    for read in grid.reads:
        if read.fitted_at < 0 or not _enough(own[read.at], last):
            continue
        distance = read.at - read.fitted_at
        kept = ratio(grid.readable(read), own[read.at])
        shares.setdefault(abs(distance), []).append(abs(grid.places[read.at].depth - grid.places[read.fitted_at].depth))
        one_way = ["forward"] if distance > 0 else ["backward"] if distance < 0 else []
        for direction in ("both", *one_way):
            cells.setdefault((abs(distance), direction), []).append(kept)
    made = []
    for (distance, direction), some in sorted(cells.items()):
        estimate = np.mean(some, axis=0)
        lo, hi = interval(estimate, grid.clusters)
        share = float(np.mean(shares[distance]))
        made.append((about.name, distance, share, direction, estimate[0], lo, hi, len(some)))
    return pd.DataFrame(made, columns=["model", "distance", "share", "direction", "mean", "lo", "hi", "cells"])


def widest(grid: Grid) -> float:
    """Half-width of the widest interval of a retention, which more units make narrower; NaN for too few clusters."""
    own = {read.at: grid.readable(read) for read in grid.reads if read.own}
    last, halves = own[len(grid.places) - 1][0], [0.0]
    for read in grid.reads:
        if not read.own and _enough(own[read.at], last):
            lo, hi = interval(ratio(grid.readable(read), own[read.at]), grid.clusters)
            halves.append((hi - lo) / 2)
    return float(np.max(halves))


def _enough(told: Array, last: float) -> bool:
    # where the last state tells nothing beyond the prior, there is nothing to retain
    return bool(last > 0 and told[0] >= READABLE_SHARE * last)


def _quality(grid: Grid, read: Read, told: Array) -> Iterator[tuple[str, Array]]:
    bits = 1 / math.log(2)
    yield "lens_loss", grid.mean(read, "loss") * bits
    yield "lens_kl", grid.mean(read, "to_final") * bits
    yield "lens_entropy", grid.mean(read, "entropy") * bits
    yield "lens_agreement", grid.mean(read, "agrees")
    yield "lens_accuracy", grid.mean(read, "right")
    yield "lens_calibration_error", grid.calibration_error(read)
    yield "readable", told * bits


def _row(
    about: About,
    grid: Grid,
    at: int,
    measure: str,
    estimate: Array | None,
    lens: str,
    fitted_at: str,
    statistic: str = "mean",
    reason: str = "",
) -> dict[str, Any]:
    place = grid.places[at]
    lo, hi = (math.nan, math.nan) if estimate is None else interval(estimate, grid.clusters)
    return dict.fromkeys(COLUMNS, "") | {
        "schema": SCHEMA,
        "model": about.name,
        "modality": about.modality,
        "block": place.name,
        "index": at,
        "depth": place.depth,
        "segment": place.segment,
        "lens": lens,
        "fitted_at": fitted_at,
        "measure": measure,
        "statistic": statistic,
        "target": "label",
        "subset": "all",
        "null": "observed",
        "null_seed": -1,
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

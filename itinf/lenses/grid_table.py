"""From a grid of reads to the tidy table: lens quality by depth, transfer, and what one lens retains."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import pandas as pd

from ..statistics import MIN_CLUSTERS, Array, interval
from ..table import COLUMNS, SCHEMA
from ..tracing import Target
from .judging import TARGETS
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
NOTHING = "what the last state tells of it is nothing, or not known to within half of it"
TOO_LITTLE = "its own lens tells less than 5 % of what the last state's tells"
UNSURE = "what its own lens tells is not known to within half of it"


def grid_table(about: About, grid: Grid) -> pd.DataFrame:
    """One row per number, in the columns of every results table; losses in bits per unit.

    ``index`` numbers the states (0 before the first block), ``fitted_at`` the state a lens was fitted
    at, "" for lenses fitted at many. Targets: "label", and "model", the network's final distribution.
    """
    own = own_reads(grid)
    kept = {target: Retention(grid, target) for target in TARGETS}
    rows = [_row(about, grid, own[max(own)], "prediction_depth", grid.per_unit(grid.column("prediction depth")))]
    bits = 1 / math.log(2)
    for read in grid.reads:
        if read.judged:
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
    return pd.DataFrame(rows, columns=COLUMNS)


def own_reads(grid: Grid) -> dict[int, Read]:
    """Number of the state -> its own lens's read."""
    return {read.at: read for read in grid.reads if read.own}


class Retention:
    """What reads keep of what each state's own lens tells of one target."""

    def __init__(self, grid: Grid, target: Target) -> None:
        self.grid, self.target = grid, target
        own = own_reads(grid)
        self.own = {raw: {at: grid.readable(read, target, raw) for at, read in own.items()} for raw in (False, True)}
        self.last = self.own[False][max(own)]
        something = _surely(self.last, grid.clusters)
        self.missing = {raw: {at: self._why(x, something) for at, x in own.items()} for raw, own in self.own.items()}

    def _why(self, told: Array, something: bool) -> str:
        """Why a state has no retention; "" where it has."""
        if not something:
            return NOTHING
        if told[0] < READABLE_SHARE * self.last[0]:
            return TOO_LITTLE
        return "" if _surely(told, self.grid.clusters) else UNSURE

    def of(self, read: Read, raw: bool = False) -> tuple[Array | None, str]:
        """Estimate (1 + B,) of the retention, or None and why there is none."""
        below = self.own[raw][read.at]
        if why := self.missing[raw][read.at]:
            return None, why
        return ratio(below if read.own else self.grid.readable(read, self.target, raw), below), ""


def settled(grid: Grid, precision: float) -> bool:
    """Whether more units would change little: no interval is wider than ± ``precision``, and no state's own lens is
    known too badly for a retention that more units could give it."""
    kept = [Retention(grid, target) for target in TARGETS]
    if any(UNSURE in one.missing[False].values() for one in kept):
        return False
    if all(one.last[0] > 0 and NOTHING in one.missing[False].values() for one in kept):
        return False
    return widest(grid) <= precision


def widest(grid: Grid) -> float:
    """Half-width of the widest interval of a retention, which more units make narrower; NaN for too few clusters."""
    found = []
    for target in TARGETS:
        kept = Retention(grid, target)
        found += [x for read in grid.reads if not read.own and (x := kept.of(read)[0]) is not None]
    lo, hi = interval(max(found, key=_spread), grid.clusters) if found else (0.0, 0.0)
    return (hi - lo) / 2


def _spread(estimate: Array) -> float:
    finite = estimate[1:][np.isfinite(estimate[1:])]
    return float(finite.std()) if len(finite) else 0.0


def _surely(told: Array, clusters: int) -> bool:
    """Above half of itself with its interval, or a ratio to it could be anything; with too few clusters, above zero."""
    lo, _ = interval(told, clusters)
    return bool(told[0] > 0 and not lo <= told[0] / 2)


def _quality(grid: Grid, read: Read) -> Iterator[tuple[str, Array, Target]]:
    bits = 1 / math.log(2)
    yield "lens_loss", grid.mean(read, "loss") * bits, "label"
    yield "lens_kl", grid.mean(read, "to_final") * bits, "model"
    yield "lens_entropy", grid.mean(read, "entropy") * bits, "model"
    yield "lens_agreement", grid.mean(read, "agrees"), "answer"
    yield "lens_accuracy", grid.mean(read, "right"), "label"
    yield "lens_calibration_error", grid.calibration_error(read), "label"


def _marginal(about: About, grid: Grid, read: Read) -> dict[str, Any]:
    bits = 1 / math.log(2)
    bias, half = (bits * x for x in grid.marginal_bias(read))
    row = _row(about, grid, read, "lens_marginal_bias", np.full(2, bias), "model")
    half = half if grid.clusters >= MIN_CLUSTERS else math.nan
    return row | {"lo": row["mean"] - half, "hi": row["mean"] + half}


def _row(
    about: About,
    grid: Grid,
    read: Read,
    measure: str,
    estimate: Array | None,
    target: str = "label",
    statistic: str = "mean",
    reason: str = "",
) -> dict[str, Any]:
    place = grid.places[read.at]
    lo, hi = (math.nan, math.nan) if estimate is None else interval(estimate, grid.clusters)
    return dict.fromkeys(COLUMNS, "") | {
        "schema": SCHEMA,
        "model": about.name,
        "modality": about.modality,
        "block": place.name,
        "index": read.at,
        "depth": place.depth,
        "segment": place.segment,
        "lens": read.lens,
        "fitted_at": "" if read.fitted_at < 0 else str(read.fitted_at),
        "measure": measure,
        "statistic": statistic,
        "form": read.form,
        "target": target,
        "subset": "all",
        "null": read.null,
        "null_seed": read.seed,
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

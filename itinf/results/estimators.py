"""From summed columns back to estimates."""

from __future__ import annotations

import numpy as np

from ..statistics.bootstrap import Array, Sums
from ..statistics.intervals import mean_error
from .row import Estimator


def estimate(entry: Estimator, sums: Sums) -> Array:
    """The row's estimate, (1 + B,): plain value and replicates; not for medians."""
    c = entry.columns
    with np.errstate(divide="ignore", invalid="ignore"):
        if entry.kind == "mean":
            return sums.column(c["sum"]) / sums.column(c["n"])
        if entry.kind == "ratio":
            return sums.column(c["above"]) / sums.column(c["below"])
        if entry.kind in ("pairs", "partners"):
            return sums.pair_mean(c["sum"], c["n"])
        if entry.kind == "efficiency":
            gain, movement = sums.column(c["gain"]), sums.column(c["movement"])
            return gain / (np.abs(gain) + movement)
        if entry.kind == "pair efficiency":
            gain, movement = (sums.pair_mean(c[role], c["pairs"]) for role in ("gain", "movement"))
            return gain / (np.abs(gain) + movement)
        if entry.kind in ("gauge-free", "gauge-free pairs"):
            size = np.sqrt(sums.pair_mean(c["squares"], c["pairs"]))
            if entry.kind == "gauge-free":
                return size * sums.column(c["sum"]) / sums.column(c["n"])
            return size * sums.pair_mean(c["sum"], c["n"])
    raise KeyError(entry.kind)


def own_estimate(entry: Estimator, sums: Sums) -> Array | None:
    """The observed estimate over just the units that the null has, (1 + B,); None where it has all."""
    c = entry.columns
    with np.errstate(divide="ignore", invalid="ignore"):
        if entry.kind == "partners":
            return sums.column(c["own"]) / sums.column(c["own n"])
        if entry.kind == "pair efficiency":
            gain, movement = sums.column(c["own gain"]), sums.column(c["own movement"])
            return gain / (np.abs(gain) + movement)
    return None


def error(entry: Estimator, sums: Sums, clusters: int) -> Array | None:
    """Linearised standard errors (1 + B,) for a simultaneous band; None for other kinds than means."""
    if entry.kind != "mean":
        return None
    return mean_error({role: sums.column(name) for role, name in entry.columns.items()}, clusters)


def counts(entry: Estimator, sums: Sums) -> tuple[int, int]:
    """Units and clusters (for pairs: pairs and clusters) an estimate is from."""
    name = entry.columns.get("own n", entry.columns["n"])
    k = sums.index[name]
    total = sums.plain[k]
    if entry.kind in ("pairs", "gauge-free pairs"):
        total /= 2
    return round(float(total)), int(sums.clusters[k])

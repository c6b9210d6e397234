"""Onset and iterative depth: the state from which on the network refines one prediction, in one code, at every step.

A state is *in the code* if one lens, fitted without it, retains at least a threshold of what the state's own lens tells; it
is *used* if a nudge of what is read there persists to the end at least by the threshold; and the step from it *improves*
unless it gains less than the steps of other units do (pairing), by more than a simultaneous band: a network that has
converged gains nothing more, and loses nothing. The onset is the first state from which on all three hold to the end, if
the steps from there on together gain more than those of other units. All this is decided anew in every replicate.

What passes: one prediction in one code, carried and improved step by step, whether by gradient descent or by adding up
evidence. What fails: a code that changes (plain networks), an answer that is carried along unchanged, a network that converges
so fast that it forgets what it believed early on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..statistics.bootstrap import Array
from ..statistics.intervals import MIN_CLUSTERS, half_width, interval, replicate_band
from .estimators import Estimator, PartnerMean
from .reasons import NEVER, NOT_FINITE, TOO_FEW_CLUSTERS
from .row import Row
from .sums import StudySums

THRESHOLDS = {"1/3": 1 / 3, "1/2": 1 / 2, "2/3": 2 / 3}
"""Name -> what is retained and what persists at least; ..."""
THRESHOLD = "1/2"
"""... the middle between nothing and all decides, and the others show how much hangs on it."""
SHARED, PAIRING = "shared", "pairing"
BITS = ("bits_at_onset", "bits_after_onset")
CONDITIONS = ("in the code", "used", "improves")


@dataclass(frozen=True)
class Curves:
    """The three curves that the onset is made of, plainly and by replicate; NaN where there is no value.

    Attributes:
        in_code: (L + 1, 1 + B) retention of one lens, the state left out.
        used: (L + 1, 1 + B) persistence of the label.
        improves: (L, 1 + B) gain of the step from state l, beyond that of other units' steps, in bits.
        through: how states are read: "" by the network's own readout, or the name of a lens.
        clusters: how many there are.
    """

    in_code: Array
    used: Array
    improves: Array
    through: str
    clusters: int

    def holding(self, threshold: float) -> dict[str, NDArray[np.bool_]]:
        """Condition -> (L + 1, 1 + B) whether it holds; what has no value does not hold, and no step leaves h_L."""
        noise = replicate_band(self.improves, self.clusters)[:, None]
        with np.errstate(invalid="ignore"):
            steps = self.improves > -np.nan_to_num(noise)
            conditions = self.in_code >= threshold, self.used >= threshold, np.vstack([steps, steps[:1] | True])
        return dict(zip(CONDITIONS, conditions, strict=True))

    def onset(self, threshold: float = THRESHOLDS[THRESHOLD]) -> Array:
        """(1 + B,) the first state from which on all conditions hold to the end; NaN if nothing is gained from there on."""
        every = np.logical_and.reduce(list(self.holding(threshold).values()))
        to_the_end = np.logical_and.accumulate(every[::-1])[::-1]
        first = len(every) - to_the_end.sum(0)
        gains = np.vstack([np.cumsum(self.improves[::-1], 0)[::-1], np.zeros((2, every.shape[1]))])  # from a state on
        noise = np.array([half_width(gain, self.clusters) for gain in gains])
        replicates = np.arange(every.shape[1])
        return np.where(gains[first, replicates] > np.nan_to_num(noise[first]), first, np.nan)


def iterative_depth(onset: Array, blocks: int) -> Array:
    """1 − onset / L; 0 without an onset."""
    return np.nan_to_num(1 - onset / blocks)


def curves_of(stage: StudySums, replicates: pd.DataFrame) -> Curves | None:
    """The curves of one network; None if its states are not read, or nothing was nudged.

    Args:
        stage: the sums of its probes.
        replicates: of the transfer of its lenses, see ``itinf.lenses.transfer.replicates``.
    """
    blocks = len(stage.structure["blocks"])
    for through in ("", SHARED):
        used = _used(stage, through)
        steps = _steps(stage, through)
        if (len(used) == blocks + 1 and steps) or (through == SHARED and used):
            count = 1 + stage.sums.count
            of_code = _by_state(replicates, "retention")
            return Curves(
                _stacked(of_code, blocks + 1, count),
                _stacked(used, blocks + 1, count),
                _stacked(steps, blocks, count),
                through,
                stage.clusters,
            )
    return None


def onset_rows(
    model: str, stage: StudySums, replicates: pd.DataFrame, null: str, seed: int | None
) -> Iterator[dict[str, Any]]:
    """Rows of the summaries: onset, iterative depth and bits before and after it, at each threshold.

    Args:
        model: name of the network; ``null``, ``seed``: "observed" and None, or "untrained" and its seed.
        stage, replicates: see ``curves_of``.
    """
    curves = curves_of(stage, replicates)
    if curves is None:
        return
    blocks = len(curves.improves)
    tells = _stacked(_by_state(replicates, "readable"), blocks + 1, curves.used.shape[1])
    common = {"model": model, "lens": curves.through, "target": "label", "null": null, "null_seed": seed, "distance": 0}
    for name, threshold in THRESHOLDS.items():
        onset = curves.onset(threshold)
        named = common | {"form": name, "share": threshold, "cells": blocks + 1}
        yield named | {"measure": "iterative_depth"} | _numbers(iterative_depth(onset, blocks), curves.clusters)
        if np.isnan(onset[0]):
            why = {"mean": np.nan, "lo": np.nan, "hi": np.nan, "reason": NEVER.sentence, "reason_code": NEVER.code}
            yield from (named | {"measure": measure} | why for measure in ("onset", *BITS))
            continue
        there = int(onset[0])
        yield named | {"measure": "onset"} | _numbers(np.nan_to_num(onset, nan=blocks), curves.clusters)
        for measure, values in zip(BITS, (tells[there], tells[blocks] - tells[there]), strict=True):
            lo, hi = interval(values, curves.clusters)
            why = {} if np.isfinite(values[0]) else {"reason": NOT_FINITE.sentence, "reason_code": NOT_FINITE.code}
            yield named | {"measure": measure, "mean": values[0], "lo": lo, "hi": hi} | why


def _numbers(values: Array, clusters: int) -> dict[str, Any]:
    """An estimate with the interval that holds 95 % of its replicates: an onset is a whole number, and has no error bar."""
    if clusters < MIN_CLUSTERS:
        why = {"reason": TOO_FEW_CLUSTERS.sentence, "reason_code": TOO_FEW_CLUSTERS.code}
        return {"mean": values[0], "lo": np.nan, "hi": np.nan} | why
    lo, hi = np.quantile(values[1:], (0.025, 0.975))
    return {"mean": values[0], "lo": min(float(lo), values[0]), "hi": max(float(hi), values[0])}


def _used(stage: StudySums, through: str) -> dict[int, Array]:
    """State -> persistence of the label."""
    wanted = {"measure": "persistence", "statistic": "ratio", "target": "label", "form": "", "null": "observed"}
    return {
        row.state: estimator.estimate(stage.sums)
        for row, estimator in _chosen(stage, wanted | {"lens": through})
        if row.state is not None
    }


def _steps(stage: StudySums, through: str) -> dict[int, Array]:
    """State -> gain of the step from it beyond pairing."""
    wanted = {"measure": "prediction_gain", "target": "label", "form": "", "null": PAIRING, "lens": through}
    found = {}
    for row, estimator in _chosen(stage, wanted):
        assert isinstance(estimator, PartnerMean)
        own = estimator.own_estimate(stage.sums)
        assert own is not None
        found[row.block - 1] = own - estimator.estimate(stage.sums)
    return found


def _chosen(stage: StudySums, wanted: Mapping[str, Any]) -> Iterator[tuple[Row, Estimator]]:
    for row, estimator in stage.entries.items():
        if all(getattr(row, column) == value for column, value in wanted.items()):
            yield row, estimator


def _by_state(replicates: pd.DataFrame, measure: str) -> dict[int, Array]:
    chosen = replicates[replicates["measure"] == measure].sort_values("replicate")
    return {int(str(state)): rows.to_numpy(float) for state, rows in chosen.groupby("state_index")["value"]}


def _stacked(by_place: Mapping[int, Array], places: int, count: int) -> Array:
    """(places, 1 + B): the curve, NaN where it has no value."""
    curve = np.full((places, count), np.nan)
    for place, values in by_place.items():
        if place < places:
            curve[place, : len(values)] = values[:count]
    return curve

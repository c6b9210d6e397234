"""Onset and iterative depth: the state from which on the network refines one prediction, in one code, step by step.

A state is *in the code* if one lens, fitted without it, retains at least a threshold of what the state's own lens tells; it
is *used* if a nudge of what is read there persists to the end at least by the threshold. A step *harms* if it gains less than
the steps of other units do (pairing), and *gains* if it gains more, both beyond a simultaneous band over all steps. The onset is
the first state whose step gains and from which on, to the end, every state is in the code and used and no step harms. So a
network may have converged before its end, and it may not carry its first answer along. All this is decided anew in every
replicate.

What passes: one prediction in one code, carried and improved, whether by gradient descent or by adding up evidence. What
fails: a code that changes (plain networks), an answer that is only carried along, a network that forgets what it believed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..statistics.bootstrap import Array
from ..statistics.intervals import MIN_CLUSTERS, half_width, interval, replicate_band
from .difference import effect_of, of_same_units
from .estimators import Estimator
from .reasons import NEVER, NOT_FINITE, TOO_FEW_CLUSTERS
from .row import Row
from .sums import StudySums

THRESHOLDS = {"1/3": 1 / 3, "1/2": 1 / 2, "2/3": 2 / 3}
"""Name -> what is retained and what persists at least. The middle one decides, the others show how much hangs on it."""
THRESHOLD = "1/2"
SHARED, LEFT_OUT, PAIRING = "shared", "shared, left out", "pairing"
BITS = ("bits_at_onset", "bits_after_onset")


@dataclass(frozen=True)
class Curves:
    """The three curves that the onset is made of, plainly and by replicate; NaN where there is no value.

    Attributes:
        in_code: (L + 1, 1 + B) retention of one lens, the state left out.
        used: (L + 1, 1 + B) persistence of the label; through a lens, beside that of h_L through the same lens.
        gains: (L, 1 + B) gain of the step from state l, beyond that of other units' steps, in bits.
        through: how states are read: "" by the network's own readout, or the name of a lens.
        clusters: how many there are, of the curve that has the fewest.
    """

    in_code: Array
    used: Array
    gains: Array
    through: str
    clusters: int

    @property
    def noise(self) -> Array:
        """(L, 1): half-width of the simultaneous band over the gains of all steps; 0 where they do not vary."""
        return np.nan_to_num(replicate_band(self.gains, self.clusters))[:, None]

    def holding(self, threshold: float) -> dict[str, NDArray[np.bool_]]:
        """What has to hold to the end -> (L + 1, 1 + B); what has no value does not hold, and no step leaves h_L."""
        with np.errstate(invalid="ignore"):
            unharmed = self.gains >= -self.noise
            return {
                "one lens retains": self.in_code >= threshold,
                "persistence": self.used >= threshold,
                "gain of the step": np.vstack([unharmed, unharmed[:1] | True]),
            }

    def onset(self, threshold: float = THRESHOLDS[THRESHOLD]) -> Array:
        """(1 + B,) number of blocks before the onset, 0 … L − 1; NaN without an onset."""
        every = np.logical_and.reduce(list(self.holding(threshold).values()))
        to_the_end = np.logical_and.accumulate(every[::-1])[::-1][:-1]
        with np.errstate(invalid="ignore"):
            begins = to_the_end & (self.gains > self.noise)
        return np.where(begins.any(0), begins.argmax(0), np.nan)

    def limit(self, threshold: float = THRESHOLDS[THRESHOLD]) -> str:
        """What fails before the onset, or anywhere if there is none, in words: at the last state at which it does."""
        onset, holding = self.onset(threshold)[0], self.holding(threshold)
        before = len(self.used) if np.isnan(onset) else int(onset)
        failing = [k for k in range(before) if not all(holds[k, 0] for holds in holding.values())]
        if not failing:
            return "" if before == 0 else "no step before it gains" if not np.isnan(onset) else "no step gains"
        last = failing[-1]
        values = dict(zip(holding, (self.in_code, self.used, self.gains), strict=True))
        words = [f"{name} {_short(values[name][last, 0])}" for name, holds in holding.items() if not holds[last, 0]]
        return f"state {last}: {', '.join(words)}"


def iterative_depth(onset: Array, blocks: int) -> Array:
    """1 − onset / L; 0 without an onset."""
    return np.nan_to_num(1 - onset / blocks)


def curves_of(stage: StudySums, transfer: pd.DataFrame, replicates: pd.DataFrame, clusters: int) -> Curves | None:
    """The curves of one network; None if one of the three was not measured.

    Args:
        stage: the sums of its probes.
        transfer, replicates: the table of the transfer of its lenses, and what it keeps by replicate.
        clusters: of the transfer.
    """
    path = stage.structure.get("path")
    if path is None or not (transfer["lens"] == LEFT_OUT).any():  # of an older itinf, or of a lens without its moments
        return None
    code = {state: values for state, values in _by_state(replicates, "retention").items() if state in path}
    for through in ("", SHARED):
        used, fewest = _used(stage, through)
        steps = _steps(stage, through)
        if steps and (all(state in used for state in path) or (through == SHARED and used)):
            count = min([1 + stage.sums.count, *map(len, code.values())])
            persists = _stacked(used, path, count)
            return Curves(
                _stacked(code, path, count),
                persists / persists[-1]
                if through
                else persists,  # a lens may be steeper than the network's own readout
                _stacked(steps, range(len(path) - 1), count),
                through,
                min(stage.clusters, fewest, clusters),
            )
    return None


def onset_rows(
    model: str, curves: Curves, replicates: pd.DataFrame, path: list[int], null: str, seed: int | None
) -> Iterator[dict[str, Any]]:
    """Rows of the summaries: iterative depth, onset, and bits before and after it, at each threshold.

    Args:
        model: name of the network; ``null``, ``seed``: "observed" and None, or "untrained" and its seed.
        curves: of the network; ``replicates``: of its transfer; ``path``: its states h_0 … h_L.
    """
    blocks = len(curves.gains)
    tells = _stacked(_by_state(replicates, "readable"), path, curves.used.shape[1])
    common = {"model": model, "lens": curves.through, "target": "label", "null": null, "null_seed": seed, "distance": 0}
    for name, threshold in THRESHOLDS.items():
        onset = curves.onset(threshold)
        named = common | {"form": name, "share": threshold, "cells": blocks + 1, "limit": curves.limit(threshold)}
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


def _used(stage: StudySums, through: str) -> tuple[dict[int, Array], int]:
    """State -> persistence of the label; and the number of clusters."""
    wanted = {"measure": "persistence", "statistic": "ratio", "target": "label", "form": "", "null": "observed"}
    found, fewest = {}, stage.clusters
    for row, estimator in _chosen(stage, wanted | {"lens": through}):
        assert row.state is not None
        found[row.state] = estimator.estimate(stage.sums)
        fewest = min(fewest, estimator.counts(stage.sums)[1])
    return found, fewest


def _steps(stage: StudySums, through: str) -> dict[int, Array]:
    """Number of blocks before a step -> its gain beyond pairing, with replicates as far apart as its interval says."""
    wanted = {"measure": "prediction_gain", "target": "label", "form": "", "null": PAIRING, "lens": through}
    found = {}
    for row, null in _chosen(stage, wanted):
        observed = stage.entries[replace(row, null="observed")]
        clusters = null.counts(stage.sums)[1]
        gain = of_same_units(observed, null, stage.sums) - null.estimate(stage.sums)
        _, low, high = effect_of(observed, null, stage.sums, clusters)
        half = half_width(gain, clusters)  # counts twice what belongs to one pair of clusters
        narrower = (high - low) / 2 / half if half > 0 else 1.0
        found[row.block - 1] = gain[0] + (gain - gain[0]) * narrower
    return found


def _chosen(stage: StudySums, wanted: Mapping[str, Any]) -> Iterator[tuple[Row, Estimator]]:
    for row, estimator in stage.entries.items():
        if all(getattr(row, column) == value for column, value in wanted.items()):
            yield row, estimator


def _by_state(replicates: pd.DataFrame, measure: str) -> dict[int, Array]:
    chosen = replicates[replicates["measure"] == measure].sort_values("replicate")
    return {int(str(state)): rows.to_numpy(float) for state, rows in chosen.groupby("state_index")["value"]}


def _stacked(by_place: Mapping[int, Array], places: Any, count: int) -> Array:
    """(places, 1 + B): the curve, NaN where it has no value."""
    nothing = np.full(count, np.nan)
    return np.stack([by_place.get(place, nothing)[:count] for place in places])


def _short(value: float) -> str:
    return "no value" if np.isnan(value) else f"{value:z.2f}".replace("-", "−")

"""Several runs side by side: one table, and differences paired over the clusters they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..errors import ItinfError, nearest
from ..files import folder_name
from ..registry import draw
from ..statistics.bootstrap import Array
from ..statistics.intervals import interval
from .estimators import Estimator
from .manifest import MANIFEST, read_manifest
from .probe_result import ProbeResult
from .row import Row
from .schema import summaries_table
from .table import MEASURES
from .transfer_result import SUMMARIES, TransferResult

NETWORKS, TRANSFER, TRAINED = "networks", "transfer", "trained"
"""Folders of a comparison: ``networks/NAME/``, ``transfer/NAME/trained/`` and ``transfer/NAME/untrained-SEED/``."""


@dataclass
class Comparison:
    """Runs side by side.

    Attributes:
        runs: the runs, each under a name of its own.
        transfers: of lenses of the same networks.
        notes: what was asked for and could not be measured, in words.
    """

    runs: list[ProbeResult]
    transfers: list[TransferResult] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @cached_property
    def table(self) -> pd.DataFrame:
        """The rows of all runs, then of all transfers; ``depth`` is the axis they share."""
        tables = [run.table for run in self.runs] + [one.table for one in self.transfers]
        return pd.concat(tables, ignore_index=True)

    @cached_property
    def summaries(self) -> pd.DataFrame:
        """Of all transfers, see ``itinf.lenses.transfer.summaries``; without one an empty table."""
        return pd.concat([summaries_table([]), *(one.summaries for one in self.transfers)], ignore_index=True)

    def files(self) -> dict[str, bytes]:
        """The tables that its folder holds."""
        found = {MEASURES: self.table.to_parquet(index=False)}
        return found | ({SUMMARIES: self.summaries.to_parquet(index=False)} if self.transfers else {})

    @classmethod
    def load(cls, folder: str | Path) -> Comparison:
        """Reads a finished comparison from what its networks' folders hold.

        Raises:
            ItinfError: it holds no finished comparison, or a network's files are not what was written.
        """
        folder = Path(folder)
        manifest = read_manifest(folder)
        if manifest is None or not manifest.get("complete") or not isinstance(manifest.get("networks"), dict):
            raise ItinfError(f"{folder} holds no finished comparison; expected {MANIFEST} and {NETWORKS}/.")
        runs = [ProbeResult.load(folder / NETWORKS / folder_name(name)) for name in manifest["networks"]]
        names = [str(moved["network"]["name"]) for moved in manifest.get("transfers", [])]
        transfers = []
        for place, name in enumerate(names):
            seed = names[:place].count(name) - 1  # the trained network's comes first
            where = folder / TRANSFER / folder_name(name) / (TRAINED if seed < 0 else f"untrained-{seed}")
            found = TransferResult.load(where)
            transfers.append(found if seed < 0 else found.as_null("untrained", seed))
        return cls(runs, transfers, list(manifest.get("notes", [])))

    def plot(self, kind: str = "alignment", **options: Any) -> Any:
        """A matplotlib Figure over relative depth."""
        return draw(kind, self.table, self.summaries, options)

    def difference(self, first: str, second: str, measure: str = "descent_share", **fields: str) -> pd.DataFrame:
        """One run minus another along relative depth, on the depths of the coarser one.

        Between its blocks a curve is interpolated linearly, replicate by replicate. Runs that saw the
        same clusters are compared paired; their noise cancels as far as they share it.

        Args:
            first, second: names of runs.
            measure: as in the table.
            **fields: further columns that pick the curve, e.g. gradient="output", update="update".

        Returns:
            depth, mean, lo, hi, paired.

        Raises:
            ItinfError: an unknown run, or a choice that does not leave one curve.
        """
        chosen = [self._run(name) for name in (first, second)]
        curves = [_curve(run, measure, fields) for run in chosen]
        depths = min((depth for depth, _ in curves), key=len)
        low, high = (max(d[0] for d, _ in curves), min(d[-1] for d, _ in curves))
        depths = depths[(depths >= low - 1e-12) & (depths <= high + 1e-12)]
        a, b = (_interpolate(depths, d, values) for d, values in curves)
        observed = [run.stages["observed"] for run in chosen]
        paired = _same_clusters(observed[0].sums.keys, observed[1].sums.keys) and (
            observed[0].sums.seed == observed[1].sums.seed
        )
        clusters = min(run.clusters for run in chosen)
        rows = []
        for depth, x, y in zip(depths, a, b, strict=True):
            gap = x - y
            if not paired:  # independent clusters: put the replicates in an order that shares nothing
                gap = np.concatenate([gap[:1], x[1:] - np.roll(y[1:], len(y) // 2)])
            lo, hi = interval(gap, clusters)
            rows.append({"depth": depth, "mean": gap[0], "lo": lo, "hi": hi, "paired": paired})
        return pd.DataFrame(rows)

    def _run(self, name: str) -> ProbeResult:
        for run in self.runs:
            if run.name == name:
                return run
        raise ItinfError(f"There is no run {name!r}. {nearest(name, [run.name for run in self.runs])}")

    def __repr__(self) -> str:
        return "\n".join(map(str, [*self.runs, *self.transfers, *self.notes]))


def compare(
    runs: Sequence[ProbeResult], transfers: Sequence[TransferResult] = (), notes: Sequence[str] = ()
) -> Comparison:
    """Puts runs side by side, and transfers of lenses beside them.

    Raises:
        ItinfError: none, or two of one name.
    """
    names = [run.name for run in runs]
    if not runs:
        raise ItinfError("compare needs at least one run.")
    if len(set(names)) < len(names):
        raise ItinfError(f"Two runs share a name ({', '.join(names)}); give networks names with network.named(...).")
    return Comparison(list(runs), list(transfers), list(notes))


def _curve(run: ProbeResult, measure: str, fields: dict[str, str]) -> tuple[Array, Array]:
    """Depths (L,) and estimates (L, 1 + B) of the one curve that fits."""
    stage = run.stages["observed"]
    columns = {"measure": measure, "null": "observed", "subset": "all", **fields}
    rows: dict[Row, Estimator] = {
        row: estimator
        for row, estimator in sorted(stage.entries.items(), key=lambda item: item[0].block)
        if estimator.replicated and all(getattr(row, k, None) == v for k, v in columns.items())
    }
    blocks = [row.block for row in rows]
    if not rows or len(set(blocks)) < len(blocks):
        differing = sorted({(r.statistic, r.gradient, r.update, r.part, r.form, r.target, r.unit) for r in rows})
        raise ItinfError(
            f"{run.name}: {columns} picks {'no row' if not rows else 'several curves'}; "
            f"choose by statistic, gradient, update, part, form, target, unit. Found: {differing[:4]}"
        )
    total = len(stage.structure["blocks"])
    with np.errstate(divide="ignore", invalid="ignore"):  # a replicate without clusters has no value
        estimates = np.stack([estimator.estimate(stage.sums) for estimator in rows.values()])
    return np.array([block / total for block in blocks]), estimates


def _interpolate(at: Array, depths: Array, values: Array) -> Array:
    place = np.clip(np.searchsorted(depths, at, side="right") - 1, 0, max(len(depths) - 2, 0))
    if len(depths) == 1:
        return np.repeat(values, len(at), axis=0)
    share = ((at - depths[place]) / (depths[place + 1] - depths[place]))[:, None]
    return (1 - share) * values[place] + share * values[place + 1]


def _same_clusters(a: np.ndarray, b: np.ndarray) -> bool:
    return len(a) == len(b) and bool((a == b).all())

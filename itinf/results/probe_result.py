"""The result of a study: a tidy table, the sums it is made of, and a record of how it came to be."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import ItinfError
from ..files import write_bytes, write_text
from ..registry import figure
from ..statistics.intervals import FEW_CLUSTERS, MIN_CLUSTERS
from .estimators import estimate
from .manifest import MANIFEST, MEASURES, SUMS, difference, read_manifest
from .sums import StudySums, load_sums, merge_stages, save_sums
from .table import table


@dataclass
class ProbeResult:
    """What one study found.

    Attributes:
        stages: ``"observed"``, and ``"untrained:SEED"`` for each untrained network.
        manifest: settings, seeds, fingerprints, versions, wall time.
    """

    stages: dict[str, StudySums]
    manifest: dict[str, Any]

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per number; see ``itinf.results.schema.DTYPES``."""
        return table(self.stages)

    @property
    def name(self) -> str:
        return str(self.manifest["network"]["name"])

    @property
    def clusters(self) -> int:
        return self.stages["observed"].clusters

    @property
    def units(self) -> int:
        return self.stages["observed"].units

    @property
    def notes(self) -> list[str]:
        """What a reader should be told before the numbers."""
        if self.clusters < MIN_CLUSTERS:
            return [f"{self.clusters} clusters: no intervals under {MIN_CLUSTERS}."]
        if self.clusters < FEW_CLUSTERS:
            return [f"{self.clusters} clusters: intervals under {FEW_CLUSTERS} are rough."]
        return []

    def plot(self, kind: str = "alignment", **options: Any) -> Any:
        """A matplotlib Figure: "alignment", "update_norm", "gain" or "overview" against depth."""
        return figure(kind)(self.table, **options)

    def save(self, folder: str | Path) -> Path:
        """Writes manifest, table and sums into a folder, each file atomically; the manifest comes last."""
        folder = Path(folder)
        save_sums(folder / SUMS, self.stages)
        write_bytes(folder / MEASURES, self.table.to_parquet(index=False))
        write_text(folder / MANIFEST, json.dumps(self.manifest, indent=2) + "\n")
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> ProbeResult:
        """Reads a finished folder; the table is made anew from the sums."""
        manifest = read_manifest(Path(folder))
        if manifest is None or not manifest.get("complete"):
            raise ItinfError(f"{folder} holds no finished results; expected {MANIFEST}, {SUMS} and {MEASURES}.")
        return cls(load_sums(Path(folder) / SUMS), manifest)

    def __repr__(self) -> str:
        s = self.stages["observed"].structure
        m = self.manifest
        lines = [
            f"Run of {self.name} on {m['data']['name']}: {self.units:,} {s['unit']}s in {self.clusters:,} clusters",
            *_performance(self.stages["observed"]),
            f"  blocks    {len(s['blocks'])}: {s['blocks'][0]} … {s['blocks'][-1]}",
            f"  segments  {_runs(s['segments'])}",
            f"  bridges   {', '.join(s['bridges']) or 'none'}",
            f"  gauge     {s['gauge'] or 'every layer its own'}",
            *_undefined(self.stages["observed"]),
            "  numbers   .table, one row each; .plot('alignment' | 'update_norm' | 'gain' | 'overview' | 'comparison')",
            *(f"  note      {note}" for note in self.notes),
        ]
        return "\n".join(lines)


def merge(runs: Sequence[ProbeResult]) -> ProbeResult:
    """One run from runs of the same study over different clusters (``shard=``).

    Raises:
        ItinfError: runs of different studies, or with clusters in common.
    """
    if not runs:
        raise ItinfError("merge needs at least one run.")
    first = runs[0]
    for other in runs[1:]:
        a, b = ({**r.manifest, "settings": {**r.manifest["settings"], "shard": None}} for r in (first, other))
        if (why := difference(a, b)) is not None:
            raise ItinfError(f"These runs are not of one study: {why}.")
    stages = merge_stages(run.stages for run in runs)
    shards = [run.manifest["settings"]["shard"] for run in runs]
    settings = first.manifest["settings"] | {"shard": None, "merged": shards}
    seconds = math.fsum(run.manifest["seconds"] for run in runs)
    return ProbeResult(stages, first.manifest | {"settings": settings, "seconds": seconds})


def _performance(stage: StudySums) -> list[str]:
    found = {e.row.measure: e for e in stage.entries.values() if e.row.measure in ("accuracy", "loss")}
    if not found:
        return []
    accuracy, loss = (float(estimate(found[measure], stage.sums)[0]) for measure in ("accuracy", "loss"))
    return [f"  accuracy  {accuracy:.2%}, loss {loss:.3f} nats"]


def _undefined(stage: StudySums) -> list[str]:
    """One line per reason: which measures of how many blocks have no value."""
    reasons: dict[str, tuple[set[str], set[int]]] = {}
    for row, why in stage.missing.items():
        what = " ".join(filter(None, (row.form if "gauge" in why else "", row.gradient, row.measure)))
        names, blocks = reasons.setdefault(f"{row.update or row.part or 'prediction'}: {why}", (set(), set()))
        names.add(what)
        blocks.add(row.block)
    total = len(stage.structure["blocks"])
    return [
        f"  undefined {len(blocks)} of {total} blocks, {why} ({', '.join(sorted(names))})"
        for why, (names, blocks) in reasons.items()
    ] or ["  undefined nothing"]


def _runs(numbers: Sequence[int]) -> str:
    sizes: dict[int, int] = {}
    for n in numbers:
        sizes[n] = sizes.get(n, 0) + 1
    return f"{len(sizes)} (of {', '.join(map(str, sizes.values()))} blocks)"

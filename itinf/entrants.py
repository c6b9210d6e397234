"""From a plan to its results: every entrant of a comparison measured into its own folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from . import studyfile
from .architecture import Network
from .arguments import place, safe
from .comparison import Comparison, compare
from .data import Data
from .errors import ItinfError
from .files import write_bytes, write_text
from .probes import Alignment, Gain, Performance, Prediction, Probe, UpdateNorm
from .progress import Progress
from .registry import dataset, network
from .run import MANIFEST, Run, read_manifest
from .study import probe
from .studyfile import Entrant, StudyFile

NETWORKS = "networks"
Bars = Callable[[str], AbstractContextManager[Progress]]


def measure_all(plan: StudyFile, folder: Path, device: str, dtype: str, bars: Bars) -> Comparison:
    """Measures every network of a plan and writes what they say together.

    Args:
        plan: the study.
        folder: gets ``networks/NAME/`` for each, then the joint table, manifest and study.
        device, dtype: of the models.
        bars: title -> context that gives a progress function.

    Raises:
        ItinfError: two names that are one folder's, or a folder that holds something else.
    """
    names = [e.label or e.name for e in plan.networks]
    if len({safe(name) for name in names}) < len(names):
        raise ItinfError(
            f"Two networks share a name ({', '.join(names)}); give each a label of its own in a study file."
        )
    if folder.exists() and any(folder.iterdir()) and not (folder / NETWORKS).is_dir():
        raise ItinfError(f"{folder} exists and holds no comparison. Choose another --out.")
    return compare([_measure(plan, entrant, folder, device, dtype, bars) for entrant in plan.networks])


def save(both: Comparison, plan: StudyFile, folder: Path) -> None:
    """Writes a comparison's table and study file; the networks' own folders are written as they are measured."""
    write_text(folder / "study.toml", studyfile.write(plan))
    write_bytes(folder / "measures.parquet", both.table.to_parquet(index=False))


def record(both: Comparison, folder: Path) -> None:
    """Writes the manifest, after everything else: where it stands, all of the folder does."""
    write_text(folder / MANIFEST, json.dumps(_manifest(both), indent=2) + "\n")


def recorded(both: Comparison, folder: Path) -> bool:
    """Whether a folder holds all of this comparison already."""
    return read_manifest(folder) == json.loads(json.dumps(_manifest(both)))


def _manifest(both: Comparison) -> dict[str, Any]:
    return {"complete": True, "networks": {run.name: run.manifest for run in both.runs}}


def measure(
    opened: Network, data: Data, targets: Sequence[Any], batch: int, folder: Path, settings: dict[str, Any], bars: Bars
) -> Run:
    """Every probe on one network, with a progress bar.

    Raises:
        ItinfError: an unknown target, or what ``itinf.probe`` refuses.
    """
    if wrong := [t for t in targets if t not in ("label", "answer", "model")]:
        raise ItinfError(f"--target {wrong[0]!r}: expected label, answer or model.")
    seen = [t for t in targets if t != "answer"]
    probes: list[Probe] = [
        Performance(),
        Alignment(targets=targets),
        UpdateNorm(),
        Gain(targets=targets),
        Prediction(targets=seen or ["label"]),
    ]
    with bars(opened.name) as progress:
        return probe(opened, data, probes, batch=batch, out=folder, progress=progress, **settings)


def _measure(plan: StudyFile, entrant: Entrant, folder: Path, device: str, dtype: str, bars: Bars) -> Run:
    name = entrant.label or entrant.name
    opened = place(network(entrant.name, entrant.weights, **entrant.options).named(name), device, dtype)
    data = dataset(entrant.data, opened, seed=plan.seed, length=entrant.length)
    settings = {
        "units": entrant.units or plan.units,
        "seed": plan.seed,
        "group": plan.group,
        "replicates": plan.replicates,
        "untrained": plan.untrained,
    }
    where = folder / NETWORKS / safe(name)
    return measure(opened, data, plan.targets, entrant.batch or plan.batch, where, settings, bars)

"""The result of probing one network: the sums, the table made from them, and the manifest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from ..errors import ItinfError, UnknownEstimatorError, shown
from ..files import difference as differing
from ..files import misfit
from ..registry import draw
from ..statistics.intervals import FEW_CLUSTERS, MIN_CLUSTERS
from . import notebook
from .difference import Difference, difference
from .folder import ResultsFolder
from .manifest import MANIFEST, damages, folder_of, read_finished, record_of, require_sound
from .reasons import NO_GAUGE, NO_SKIPS, Reason
from .row import Row
from .schema import DTYPES, read_table, summaries_table
from .sums import SUMS, StudySums, load_sums, merge_stages, sums_file
from .table import MEASURES, table
from .trajectory import EXAMPLES, Trajectory

IDENTITY = ("schema", "network", "data", "settings", "probes")
"""Entries of a manifest that define the study; the other entries are circumstances."""
SHAPE = {
    "network": dict,
    "data": dict,
    "settings": {"clusters": int, "group": int},
    "probes": list,
    "seconds": int | float,
}
"""Entries that the manifest of a finished study has."""


@dataclass
class ProbeResult:
    """The result of probing one network.

    Attributes:
        stages: ``"observed"``, and ``"untrained:SEED"`` for each untrained network.
        manifest: settings, seeds, fingerprints, versions, wall time.
        examples: six units, chosen by rule, with what the network would predict at every depth; None without.
        without_examples: a sentence that says why there are none; "" where none were to be chosen.
    """

    tables: ClassVar = [MEASURES]
    """Names of the files of its tables."""

    stages: dict[str, StudySums]
    manifest: dict[str, Any]
    examples: Trajectory | None = None
    without_examples: str = ""

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
        """Warnings that a reader should see before the numbers."""
        few = []
        if self.clusters < MIN_CLUSTERS:
            few = [f"{self.clusters} clusters: no intervals under {MIN_CLUSTERS}."]
        elif self.clusters < FEW_CLUSTERS:
            few = [f"{self.clusters} clusters: intervals under {FEW_CLUSTERS} are rough."]
        doubts = self.manifest["data"]["note"].get("doubts", [])
        return few + doubts + _changes(self.manifest["history"])

    def difference(self, first: Mapping[str, Any], second: Mapping[str, Any]) -> Difference:
        """One row minus another with a paired interval: the noise that the two rows share cancels.

        Two intervals that overlap say nothing about rows of one network, because their units are the same.

        Args:
            first, second: columns of the table that select one row each, such as
                ``{"measure": "efficiency", "block_index": 3}``; by default of the null "observed" and the subset "all".

        Raises:
            ItinfError: a choice does not select exactly one row, or selects a median or a row without a value.
        """
        return difference(self.stages["observed"], first, second)

    def plot(self, kind: str = "alignment", **options: Any) -> Any:
        """A matplotlib Figure: "alignment", "update_norm", "gain" or "overview" against depth."""
        return draw(kind, self.table, summaries_table([]), options)

    @property
    def identity(self) -> dict[str, Any]:
        """The entries of the manifest that define the study."""
        return {key: self.manifest[key] for key in IDENTITY}

    def files(self) -> dict[str, bytes]:
        """Name -> content of the files in its folder, without the manifest."""
        files = {SUMS: sums_file(self.stages), MEASURES: self.table.to_parquet(index=False)}
        return files | ({} if self.examples is None else {EXAMPLES: self.examples.content()})

    def save(self, folder: str | Path) -> Path:
        """Writes manifest, table and sums into a folder, each file atomically; the manifest comes last.

        Raises:
            ItinfError: the folder holds something else, or another process is writing to it.
        """
        with ResultsFolder.open(folder_of(folder), self.identity) as kept:
            kept.forget()
            kept.complete(self.files(), 0, **self.manifest)
        return Path(folder)

    @classmethod
    def load(cls, folder: str | Path) -> ProbeResult:
        """Reads a finished folder; its table is read, too, or computed from the sums where it is damaged or older.

        Damaged examples are left out, and the result says so.

        Raises:
            ItinfError: the folder holds no finished results, or its sums are damaged.
        """
        expected = f"results; expected {MANIFEST}, {SUMS} and {MEASURES}. Give a folder that itinf probe has finished."
        path = folder_of(folder)
        manifest = read_finished(path, SHAPE, expected)
        require_sound(path, manifest, SUMS)
        loaded = cls(load_sums(path / SUMS, checked=True), record_of(manifest), *_examples(path, manifest))
        if MEASURES in manifest.get("files", {}) and not damages(path, manifest, [MEASURES]):
            with suppress(ItinfError):  # of an older itinf
                loaded.table = read_table(path / MEASURES, DTYPES)
        return loaded

    @cached_property
    def _picture(self) -> bytes | None:
        return notebook.picture(self, "overview")

    def _repr_png_(self) -> bytes | None:
        return self._picture

    def _repr_html_(self) -> str:
        return notebook.html([shown_row(self)], self._picture, self.notes)

    def __repr__(self) -> str:
        s = self.stages["observed"].structure
        m = self.manifest
        lines = [
            f"Run of {self.name} on {m['data']['name']}: {self.units:,} {s['unit']}s in {self.clusters:,} clusters",
            *_performance(self.stages["observed"]),
            f"  blocks    {len(s['blocks'])}: {s['blocks'][0]} … {s['blocks'][-1]}",
            f"  segments  {runs_of(s['segments'])}",
            f"  bridges   {', '.join(s['bridges']) or 'none'}",
            f"  gauge     {s['gauge'] or 'none'}",
            *(
                f"  undefined {line}"
                for line in undefined(self.stages["observed"].missing, len(s["blocks"])) or ["nothing"]
            ),
            "  numbers   .table, one row each; .plot('alignment' | 'update_norm' | 'gain' | 'overview' | 'comparison')",
            *(f"  note      {note}" for note in self.notes),
        ]
        return "\n".join(lines)


def _examples(folder: Path, manifest: Mapping[str, Any]) -> tuple[Trajectory | None, str]:
    """The examples in a folder, or a sentence that says why they cannot be shown."""
    if EXAMPLES not in manifest.get("files", {}):
        return None, ""
    try:
        require_sound(folder, manifest, EXAMPLES)
        return Trajectory.of(folder / EXAMPLES, manifest["network"]["name"], manifest["network"].get("weights", "")), ""
    except ItinfError as error:
        return None, str(error)


def shown_row(run: ProbeResult) -> dict[str, str]:
    """A run in one row of a small table: heading -> cell."""
    stage = run.stages["observed"]
    data = f"{run.manifest['data']['name']}: {run.units:,} {stage.structure['unit']}s in {run.clusters:,} clusters"
    return {"network": run.name, "data": data, **_scores(stage), "blocks": str(len(stage.structure["blocks"]))}


def merge(runs: Sequence[ProbeResult]) -> ProbeResult:
    """Merges runs of the same study over different clusters (``shard=``) into one run.

    Raises:
        ItinfError: the runs belong to different studies, have clusters in common, or are not all parts of their study.
    """
    if not isinstance(runs, list | tuple) or not all(isinstance(run, ProbeResult) for run in runs):
        raise ItinfError(f"{shown(runs)} is no list of runs. Give a list, such as [itinf.ProbeResult.load(folder), …].")
    if not runs:
        raise ItinfError("No run was given; merge needs at least one run, such as itinf.ProbeResult.load(folder).")
    first = runs[0]
    for other in runs[1:]:
        a, b = ({**r.identity, "settings": {**r.manifest["settings"], "shard": None}} for r in (first, other))
        if (why := differing(a, b)) is not None:
            raise ItinfError(f"These runs are not of one study: {why}. Merge runs that differ only in their shard.")
    shards = [run.manifest["settings"].get("shard") for run in runs]
    _require_all(shards, first.manifest["settings"])
    stages = merge_stages(run.stages for run in runs)
    settings = first.manifest["settings"] | {"shard": None, "merged": shards}
    seconds = math.fsum(run.manifest["seconds"] for run in runs)
    history = [sitting for run in runs for sitting in run.manifest["history"]]
    return ProbeResult(stages, first.manifest | {"settings": settings, "seconds": seconds, "history": history})


def _require_all(shards: Sequence[Any], settings: dict[str, Any]) -> None:
    """Requires every shard of a study once.

    Args:
        shards: [i, n] of every run; None for a run of the whole study.
        settings: settings of the study, in the words of a manifest.

    Raises:
        ItinfError: a shard is missing, or is there twice; or the study was divided in two ways.
    """
    if any(wrong := [misfit(shard, (int, int)) for shard in shards if shard is not None]):
        raise ItinfError(f"A shard cannot be read: {next(filter(None, wrong))}. Measure that shard again.")
    given = [f"{shard[0] + 1}/{shard[1]}" if shard else "the whole study" for shard in shards]
    if twice := [name for name in given if given.count(name) > 1]:
        raise ItinfError(f"These runs cannot be merged: {twice[0]} is there twice. Give every shard once.")
    if len({shard[1] if shard else 1 for shard in shards}) > 1:
        raise ItinfError(
            f"These runs cannot be merged: the study was divided in different ways ({', '.join(given)}), so some "
            "clusters are in both. Merge shards of one division."
        )
    if shards[0] is None:
        return
    total = shards[0][1]
    # with fewer groups than shards, the last shards have no clusters, and were not measured
    filled = min(total, -(-settings["clusters"] // settings["group"]))
    if missing := [f"{i + 1}/{total}" for i in range(filled) if f"{i + 1}/{total}" not in given]:
        raise ItinfError(
            f"{len(missing)} of {filled} shards are missing: {', '.join(missing[:9])}{' …' if missing[9:] else ''}. "
            f"Measure them with --shard {missing[0]}, then merge all."
        )


def stages_in(folder: ResultsFolder) -> dict[str, StudySums]:
    """The sums saved in the folder of a study; empty if there are none, or if they are damaged.

    If the folder is complete and its table is missing or damaged, the table is written again from the sums.
    """
    if folder.path is None or folder.state == "new":
        return {}
    complete, path = folder.state == "complete", folder.path / SUMS
    if complete and (why := folder.problem(SUMS)):
        folder.start_over(f"{path} {why}", SUMS)
        return {}
    try:
        stages = load_sums(path) if path.exists() else {}
    except UnknownEstimatorError:
        raise
    except ItinfError as error:
        folder.start_over(str(error).rstrip("."), SUMS)
        return {}
    if not complete and any(stage.older for stage in stages.values()):
        folder.start_over(f"{path} was written by an older itinf, which recorded less", SUMS)
        return {}
    if complete and not folder.sound(MEASURES):
        folder.add(MEASURES, table(stages).to_parquet(index=False))
    if not complete:
        folder.resume_at(sum(stage.clusters for stage in stages.values()))
    return stages


def _changes(history: Sequence[dict[str, Any]]) -> list[str]:
    """Notes on versions and devices that differ between sittings: they may change the last digits of numbers."""
    notes = []
    for what, of in (
        ("torch", lambda circumstances: circumstances.get("versions", {}).get("torch")),
        ("itinf", lambda circumstances: circumstances.get("itinf")),
        ("device", lambda circumstances: circumstances.get("device")),
    ):
        values = list(dict.fromkeys(str(of(sitting["circumstances"])) for sitting in history))
        if len(values) > 1:
            notes.append(f"measured in {len(history)} sittings with different {what}: {', '.join(values)}.")
    return notes


def _performance(stage: StudySums) -> list[str]:
    scores = _scores(stage)
    return [f"  accuracy  {scores['accuracy']}, loss {scores['loss']}"] if scores else []


def _scores(stage: StudySums) -> dict[str, str]:
    """Accuracy and loss, where they were measured."""
    by_measure = {row.measure: estimator for row, estimator in stage.entries.items()}
    if "accuracy" not in by_measure or "loss" not in by_measure:
        return {}
    accuracy, loss = (float(by_measure[measure].estimate(stage.sums)[0]) for measure in ("accuracy", "loss"))
    return {"accuracy": f"{accuracy:.2%}", "loss": f"{loss:.3f} nats"}


def undefined(missing: Mapping[Row, Reason], blocks: int) -> list[str]:
    """One line for each reason: in how many blocks or states, and which measures of what have no value.

    Args:
        missing: rows without a value; ``blocks``: of the network.
    """
    of: dict[str, tuple[set[tuple[int, int | None]], dict[str, None], dict[str, None]]] = {}
    for row, why in missing.items():
        at, kinds, measures = of.setdefault(why.sentence, (set(), {}, {}))
        at.add((row.block, row.state))
        kinds[row.part or row.update or "prediction"] = None
        measures[
            " ".join(filter(None, (row.form if why in (NO_GAUGE, NO_SKIPS) else "", row.measure))).replace("_", " ")
        ] = None
    return [
        f"{_places(at, blocks)}, {', '.join(kinds)}: {sentence} ({', '.join(sorted(measures))})"
        for sentence, (at, kinds, measures) in of.items()
    ]


def _places(at: set[tuple[int, int | None]], blocks: int) -> str:
    """How many blocks and states there are: "3 of 6 blocks and 5 states"."""
    states = sum(state is not None for _, state in at)
    counts = [(len(at) - states, f" of {blocks} blocks"), (states, " states")]
    return " and ".join(f"{count}{words}" for count, words in counts if count)


def runs_of(numbers: Sequence[int]) -> str:
    """How many different numbers follow each other, and how often each occurs: "2 (of 3, 5 blocks)"."""
    sizes: dict[int, int] = {}
    for n in numbers:
        sizes[n] = sizes.get(n, 0) + 1
    return f"{len(sizes)} (of {', '.join(map(str, sizes.values()))} blocks)"

"""The sums of a study with their meaning: sums, histograms, rows; merging, and the file of sums."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load as of_bytes
from safetensors.numpy import save as to_bytes

from ..errors import ItinfError
from ..statistics.bootstrap import Sums
from ..statistics.histograms import Histograms
from ..statistics.nulls import Null, null_json
from ..statistics.processes import metadata
from .estimators import Estimator, estimator_json, estimator_of
from .reasons import Reason, reason_of
from .recorder import Recorder
from .row import Row, row_of

SUMS = "sums.safetensors"
KNOWN = "n|known"
"""The column that counts the units with a target; every study has this column."""


@dataclass
class StudySums:
    """The sums of one network over the clusters measured so far.

    Attributes:
        sums, histograms: the numbers.
        entries: row -> its estimator.
        missing: row without a value -> the reason.
        nulls: name -> null, for the nulls that itinf does not define.
        structure: blocks, segments and sizes of the network.
    """

    sums: Sums
    histograms: Histograms = field(default_factory=lambda: Histograms([]))
    entries: dict[Row, Estimator] = field(default_factory=dict)
    missing: dict[Row, Reason] = field(default_factory=dict)
    nulls: dict[str, Null] = field(default_factory=dict)
    structure: dict[str, Any] = field(default_factory=dict)

    @property
    def units(self) -> int:
        """Units with a target."""
        return round(float(self.sums.column(KNOWN)[0]))

    @property
    def clusters(self) -> int:
        return self.sums.size

    def add(self, keys: np.ndarray, record: Recorder) -> None:
        """Adds the columns and values that a recorder has collected from one batch."""
        names, values, known = record.take_values()
        if not self.sums.names:
            self.entries, self.missing = record.entries, record.missing
            self.histograms = Histograms(names)
        if names:
            self.histograms.add(values, known)
        self.sums.add(keys, record.take())

    def merge(self, other: StudySums) -> None:
        """Adds the clusters of another study's sums.

        Raises:
            ItinfError: the settings differ, or some clusters are in both.
        """
        if not other.entries:
            return
        if not self.entries:
            self.entries, self.missing, self.structure = other.entries, other.missing, other.structure
            self.nulls = other.nulls
            self.histograms = Histograms(other.histograms.names)
        try:
            self.sums.merge(other.sums)
            self.histograms.merge(other.histograms)
        except ValueError as error:
            raise ItinfError(
                f"These results cannot be merged: {error}. Merge results of one study over different clusters."
            ) from error


def meaning_of(stage: StudySums) -> dict[str, Any]:
    """The meaning of the sums as plain data: names of columns, rows, estimators, reasons, nulls, structure."""
    return {
        "seed": stage.sums.seed,
        "columns": stage.sums.names,
        "histograms": stage.histograms.names,
        "entries": [{"row": row.__dict__} | estimator_json(e) for row, e in stage.entries.items()],
        "missing": [[row.__dict__, why.sentence, why.code] for row, why in stage.missing.items()],
        "nulls": [null_json(null) for null in stage.nulls.values()],
        "structure": stage.structure,
    }


def empty_sums(meaning: Mapping[str, Any], replicates: int) -> StudySums:
    """Sums with this meaning and without clusters; ``meaning`` is what ``meaning_of`` returns."""
    columns = list(meaning["columns"])
    zeros = {"plain": np.zeros(len(columns)), "clusters": np.zeros(len(columns)), "keys": np.zeros(0, np.uint64)}
    return StudySums(
        sums=Sums.of(meaning["seed"], columns, zeros | {"replicates": np.zeros((replicates, len(columns)))}),
        histograms=Histograms(list(meaning["histograms"])),
        entries={row_of(entry["row"]): estimator_of(entry) for entry in meaning["entries"]},
        missing={row_of(row): _reason(*why) for row, *why in meaning["missing"]},
        nulls={null["name"]: Null(**null) for null in meaning.get("nulls", ())},
        structure=meaning["structure"],
    )


def _reason(sentence: str, code: str = "") -> Reason:
    """The reason in a file; a file of an older itinf holds only the sentence."""
    return Reason(code, sentence) if code else reason_of(sentence)


def sums_file(stages: Mapping[str, StudySums]) -> bytes:
    """The content of a safetensors file that holds the sums of every stage."""
    tensors: dict[str, np.ndarray] = {}
    header: dict[str, Any] = {}
    for name, stage in stages.items():
        arrays = stage.sums.arrays()
        arrays |= {f"histogram/{f}": getattr(stage.histograms, f) for f in Histograms.FIELDS}
        tensors |= {f"{name}/{key}": np.ascontiguousarray(value) for key, value in arrays.items()}
        header[name] = meaning_of(stage)
    return to_bytes(tensors, metadata={"itinf": json.dumps(header)})


def load_sums(path: Path) -> dict[str, StudySums]:
    """The inverse of ``sums_file``.

    Raises:
        ItinfError: the file is not a file of sums, or it is incomplete.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {})["itinf"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except Exception as error:
        raise ItinfError(f"{path} cannot be read as itinf sums ({error}). Is the file complete?") from error
    return _stages(header, tensors)


def sums_of(content: bytes) -> dict[str, StudySums]:
    """The inverse of ``sums_file``, from the content that another process of this job has sent."""
    return _stages(json.loads(metadata(content)["itinf"]), of_bytes(content))


def _stages(header: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> dict[str, StudySums]:
    stages = {}
    for name, meaning in header.items():
        arrays = {key.removeprefix(f"{name}/"): value for key, value in tensors.items() if key.startswith(f"{name}/")}
        stages[name] = stage = empty_sums(meaning, len(arrays["replicates"]))
        stage.sums = Sums.of(stage.sums.seed, stage.sums.names, arrays)
        for f in Histograms.FIELDS:
            setattr(stage.histograms, f, tensors[f"{name}/histogram/{f}"].copy())
    return stages


def merge_stages(parts: Iterable[Mapping[str, StudySums]]) -> dict[str, StudySums]:
    """Adds up the sums of several parts, stage by stage; the parts are not changed."""
    total: dict[str, StudySums] = {}
    for stages in parts:
        for name, stage in stages.items():
            into = total.setdefault(name, StudySums(Sums(stage.sums.seed, stage.sums.count)))
            into.merge(stage)
    return total

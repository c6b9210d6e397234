"""The sums of a study with their meaning: sums, histograms, rows; merging, and the file of sums."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import load as of_bytes
from safetensors.numpy import save as to_bytes

from ..errors import ItinfError, UnknownEstimatorError
from ..files import header_of, misfit, read_sealed, sealed
from ..statistics.bootstrap import Sums
from ..statistics.histograms import BINS, OLDER_BINS, Histograms
from ..statistics.nulls import Null, null_json
from . import best, calibrated, ratios, strata, tempered  # noqa: F401  # a file of sums may name their estimators
from .estimators import Estimator, estimator_json, estimator_of
from .reasons import Reason, reason_of
from .row import Row, row_of

if TYPE_CHECKING:  # it needs torch, which is slow, and reading results needs none
    from .recorder import Recorder

SUMS, HEADER = "sums.safetensors", "itinf"
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
        older: whether they come from the file of an older itinf, which recorded less; then no clusters can be added.
    """

    sums: Sums
    histograms: Histograms = field(default_factory=lambda: Histograms([]))
    entries: dict[Row, Estimator] = field(default_factory=dict)
    missing: dict[Row, Reason] = field(default_factory=dict)
    nulls: dict[str, Null] = field(default_factory=dict)
    structure: dict[str, Any] = field(default_factory=dict)
    older: bool = False

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
        self.sums.add(keys, record.take(), record.take_products())

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
        "replicated": stage.sums.replicated,
        "histograms": stage.histograms.names,
        "entries": [{"row": row.__dict__} | estimator_json(e) for row, e in stage.entries.items()],
        "missing": [[row.__dict__, why.sentence, why.code] for row, why in stage.missing.items()],
        "nulls": [null_json(null) for null in stage.nulls.values()],
        "structure": stage.structure,
    }


def empty_sums(meaning: Mapping[str, Any], replicates: int) -> StudySums:
    """Sums with this meaning and without clusters; ``meaning`` is what ``meaning_of`` returns."""
    columns = list(meaning["columns"])
    replicated = meaning.get("replicated", len(columns))  # a file of an older itinf has replicates of all columns
    zeros = {"plain": np.zeros(len(columns)), "clusters": np.zeros(len(columns)), "keys": np.zeros(0, np.uint64)}
    return StudySums(
        sums=Sums.of(meaning["seed"], columns, zeros | {"replicates": np.zeros((replicates, replicated))}),
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
    return sealed(to_bytes, tensors, HEADER, header)


def load_sums(path: Path, *, checked: bool = False) -> dict[str, StudySums]:
    """The inverse of ``sums_file``; for ``checked`` see ``read_sealed``.

    Raises:
        ItinfError: the file is not a file of sums, or it is incomplete.
    """
    try:
        return _stages(*read_sealed(path, HEADER, "numpy", checked=checked))
    except UnknownEstimatorError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        why = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
        raise ItinfError(f"{path} cannot be read as itinf sums ({why}). Is the file complete?") from error


def sums_of(content: bytes) -> dict[str, StudySums]:
    """The inverse of ``sums_file``, from the content that another process of this job has sent."""
    return _stages(header_of(content, HEADER), of_bytes(content))


def _stages(header: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> dict[str, StudySums]:
    return {name: _stage(name, meaning, tensors) for name, meaning in header.items()}


MEANING = {
    "seed": int,
    "columns": [str],
    "histograms": [str],
    "entries": [{"row": dict, "columns": {str: str}}],
    "missing": [list],
    "nulls?": [dict],
    "replicated?": int,
    "structure": {"blocks": [str], "segments": [int], "bridges": [str], "unit": str},
}
"""The header of one stage, see ``itinf.files.misfit``."""


def _stage(name: str, meaning: Any, tensors: Mapping[str, np.ndarray]) -> StudySums:
    """The sums of one stage of a file.

    Raises:
        ValueError, TypeError, KeyError: the header and the arrays do not fit each other.
    """
    empty = not (isinstance(meaning, dict) and meaning.get("columns"))  # a stage without clusters has no structure
    if wrong := misfit(meaning, MEANING | ({"structure": dict} if empty else {}), name):
        raise ValueError(wrong)
    arrays = {key.removeprefix(f"{name}/"): value for key, value in tensors.items() if key.startswith(f"{name}/")}
    stage = empty_sums(meaning, 0)
    columns, replicated = len(stage.sums.names), stage.sums.replicated
    for part, shape in (("plain", (columns,)), ("clusters", (columns,)), ("replicates", (-1, replicated))):
        _require_shape(part, arrays[part], shape)
    stage.sums = Sums.of(stage.sums.seed, stage.sums.names, arrays)
    _read_histograms(stage, {k.removeprefix("histogram/"): v for k, v in arrays.items() if k.startswith("histogram/")})
    for estimator in stage.entries.values():
        for role, column in estimator.columns.items():
            if column not in (stage.histograms.index if role == "histogram" else stage.sums.index):
                raise ValueError(f"the column {column!r} is missing")
    return stage


def _read_histograms(stage: StudySums, arrays: Mapping[str, np.ndarray]) -> None:
    """Reads the histograms of a stage, also those of an older itinf.

    Raises:
        ValueError, KeyError: an array is missing, or has another dtype or shape.
    """
    names = stage.histograms.names
    stage.older = "below" in arrays
    for part in ("below", "square", "cross") if stage.older else ("square", "cross"):
        _require_shape(part, arrays[part], (len(names), OLDER_BINS if stage.older else BINS))
    for part in ("size", "clusters"):
        _require_shape(part, arrays[part], (len(names),))
    if stage.older:
        stage.histograms = Histograms.of_decades(names, **arrays)
        return
    fine, counts = arrays["fine"], arrays["counts"]
    if fine.dtype != np.int64 or counts.dtype != np.int32 or fine.shape != counts.shape or fine.ndim != 1:
        raise ValueError(f"the bins are {fine.dtype} {fine.shape}, their counts {counts.dtype} {counts.shape}")
    for f in Histograms.FIELDS:
        setattr(stage.histograms, f, arrays[f].copy())


def _require_shape(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.dtype != np.float64 or len(array.shape) != len(shape) or array.shape[1:] != shape[1:]:
        raise ValueError(f"{name} is {array.dtype} {array.shape}")
    if shape[0] not in (-1, len(array)):
        raise ValueError(f"{name} has {len(array)} rows instead of {shape[0]}")


def merge_stages(parts: Iterable[Mapping[str, StudySums]]) -> dict[str, StudySums]:
    """Adds up the sums of several parts, stage by stage; the parts are not changed."""
    total: dict[str, StudySums] = {}
    for stages in parts:
        for name, stage in stages.items():
            into = total.setdefault(name, StudySums(Sums(stage.sums.seed, stage.sums.count)))
            into.merge(stage)
    return total

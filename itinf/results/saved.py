"""What a results folder holds so far, in words; also of a study that was interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from .comparison import NETWORKS, TRAINED, TRANSFER
from .manifest import read_manifest
from .schema import DTYPES, SUMMARY_DTYPES, read_table, summaries_table
from .table import MEASURES
from .transfer_result import SUMMARIES


def saved(folder: Path) -> list[str]:
    """One sentence for each part of a study in a folder, finished or not; none where nothing is saved."""
    return [sentence for _, manifest in _parts(folder) if (sentence := _sentence(manifest))]


def finished_tables(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables and summaries of the finished parts of a study; both are empty where there is none."""
    tables, summaries = [], [summaries_table([])]
    for path, manifest in _parts(folder):
        if not manifest.get("complete") or not (path / MEASURES).is_file():
            continue
        if "probes" in manifest or path.name == TRAINED:
            tables.append(read_table(path / MEASURES, DTYPES))
        if (path / SUMMARIES).is_file() and path.name == TRAINED:
            summaries.append(read_table(path / SUMMARIES, SUMMARY_DTYPES))
    return (pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()), pd.concat(summaries, ignore_index=True)


def _parts(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The folders of probes and transfers in a results folder, itself included, with their manifests."""
    for path in (folder, *sorted((folder / NETWORKS).glob("*")), *sorted((folder / TRANSFER).glob("*/*"))):
        manifest = read_manifest(path)
        if manifest is not None and ("probes" in manifest or "lens" in manifest):
            yield path, manifest


def _sentence(manifest: dict[str, Any]) -> str:
    """How many clusters of a probe or a transfer are saved."""
    what = "probes" if "probes" in manifest else "transfer"
    name, settings = manifest["network"]["name"], manifest["settings"]
    if manifest.get("complete"):
        return f"{name}, {what}: finished"
    done = manifest["history"][-1]["clusters"][1] if manifest.get("history") else 0
    if not done:
        return ""
    clusters = settings.get("clusters")
    if clusters is None or settings.get("shard"):
        return f"{name}, {what}: {done:,} clusters"
    untrained = settings["untrained"] * min(clusters, max(settings["group"], clusters // 4))
    return f"{name}, {what}: {done:,} of {clusters + untrained:,} clusters"

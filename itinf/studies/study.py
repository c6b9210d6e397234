"""Runs a study of several networks: measurements, tables, figures and page in one folder."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import ItinfError
from ..files import folder_name
from ..results.circumstances import circumstances
from ..results.comparison import NETWORKS, TRANSFER, Comparison
from ..results.folder import ResultsFolder
from ..results.report import draw_report, write_tables
from ..results.schema import SCHEMA
from ..statistics.processes import job_size, process_group
from .compare import StudyProgress, measure_networks
from .lens_study import LENSES
from .study_file import Study, read_study, study_toml

STUDY = "study.toml"


def _unseen(network: str, stage: str, done: int, total: int) -> None:
    """A progress function that shows nothing."""


def run_study(
    study: Study | str | Path,
    out: str | Path,
    *,
    jobs: int = 1,
    progress: StudyProgress = _unseen,
    **changes: Any,
) -> Comparison:
    """Measures every network of a study and writes tables, figures and a page; the command is ``itinf compare``.

    Args:
        study: a study, or the path of its TOML file.
        out: results folder. If it holds the same study, this is resumed or read; a folder of another study is refused.
        jobs: number of networks measured at a time, each in its own process.
        progress: called with a network's name (or "report"), a stage, steps done, and all steps.
        **changes: settings, ``targets`` or ``lens`` that replace those of the study, for every network.

    Returns:
        The comparison: ``.table``, ``.plot()``, ``.difference()``; the page is ``report.html`` in the folder.

    Raises:
        ItinfError: the study has a mistake, or the folder holds something else or is in use.
    """
    if jobs > 1 and job_size() > 1:
        raise ItinfError(
            f"--jobs {jobs} was given under torchrun, whose {job_size()} processes already share out every network. "
            "Leave --jobs out, or start itinf without torchrun."
        )
    plan = (study if isinstance(study, Study) else read_study(Path(study))).changed(**changes)
    with process_group(), _comparison_folder(plan, Path(out)) as folder:
        comparison = measure_networks(plan, folder, jobs, progress)
        if folder.writes:
            _save(comparison, plan, folder)
            shown = _unseen if folder.manifest["complete"] else progress
            shown("report", "figures and page", 0, 1)
            draw_report(comparison, folder)
            shown("report", "figures and page", 1, 1)
        _complete(comparison, folder)
    return comparison


@contextmanager
def _comparison_folder(study: Study, folder: Path) -> Iterator[ResultsFolder]:
    """Opens and locks the folder of a comparison. The folders of a network are locked while it is measured.

    Raises:
        ItinfError: two networks would have the same folder, or the folder holds something else or is in use.
    """
    names = [network.title for network in study.networks]
    if len({folder_name(name) for name in names}) < len(names):
        raise ItinfError(
            f"Two networks share a name ({', '.join(names)}); give each of them another label in a study file."
        )
    identity = {"schema": SCHEMA, "study": _identity(study)}
    under = circumstances(study.settings.device, study.settings.batch)
    parts = NETWORKS, LENSES, TRANSFER
    with ResultsFolder.open(folder, identity, under, what="comparison", parts=parts) as kept:
        yield kept


def _save(both: Comparison, study: Study, folder: ResultsFolder) -> None:
    """Writes the tables and the study file of a comparison if they are missing, damaged or out of date."""
    folder.made_of(_entries(both))
    if not folder.sound(STUDY):
        folder.add(STUDY, study_toml(study).encode())
    write_tables(both, folder)


def _complete(both: Comparison, folder: ResultsFolder) -> None:
    """Writes the final manifest, which says that the folder is complete."""
    if not folder.manifest["complete"]:
        manifests = [*(run.manifest for run in both.runs), *(moved.manifest for moved in both.transfers)]
        sittings = [manifest["history"] for manifest in manifests]
        done = sum(entries[-1]["clusters"][1] for entries in sittings if entries)
        folder.complete({}, done, **_entries(both))


def _identity(study: Study) -> dict[str, Any]:
    """The entries of the study file that define the study; batch sizes are left out, as they change no number."""
    entries = tomllib.loads(study_toml(study))
    entries.pop("batch", None)
    tables = [{k: v for k, v in table.items() if k != "batch"} for table in entries.pop("network")]
    titles = [network.title for network in study.networks]
    return {**entries, "networks": dict(zip(titles, tables, strict=True))}


def _entries(both: Comparison) -> dict[str, Any]:
    """The entries of a comparison's manifest: the manifests of its networks and transfers, and its notes."""
    return {
        "networks": {run.name: run.manifest for run in both.runs},
        "transfers": [moved.manifest for moved in both.transfers],
        "notes": both.notes,
    }

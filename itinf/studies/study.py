"""Runs a study of several networks: measurements, tables, figures and page in one folder."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..data.progress import StudyProgress, visible_study
from ..errors import ItinfError, shown
from ..files import difference, folder_name
from ..registry import require_known
from ..results.circumstances import circumstances
from ..results.comparison import NETWORKS, TRANSFER, Comparison
from ..results.comparison_folder import complete, entries, require_own_folders
from ..results.folder import ResultsFolder, refuse_another, refuse_foreign
from ..results.manifest import folder_of, read_manifest
from ..results.report import STUDY, draw_report, write_tables
from ..results.schema import SCHEMA
from ..settings import whole
from ..statistics.processes import job_size, process_group
from .compare import measure_networks
from .lens_study import LENSES
from .study_file import Study, read_study, study_toml

PARTS = (NETWORKS, LENSES, TRANSFER)


def run_study(
    study: Study | str | Path,
    out: str | Path,
    *,
    jobs: int = 1,
    progress: StudyProgress | None = None,
    **changes: Any,
) -> Comparison:
    """Measures every network of a study and writes tables, figures and a page; the command is ``itinf compare``.

    Args:
        study: a study, or the path of its TOML file.
        out: results folder. If it holds the same study, this is resumed or read; a folder of another study is refused.
        jobs: number of networks measured at a time, each in its own process.
        progress: called with a network's name (or "report"), a stage, steps done, and all steps; by default a notebook
            shows bars.
        **changes: settings, ``targets``, ``lens`` or ``measure`` that replace those of the study, for every network.

    Returns:
        The comparison: ``.table``, ``.plot()``, ``.difference()``; the page is ``report.html`` in the folder.

    Raises:
        ItinfError: the study has a mistake, or the folder holds something else or is in use.
    """
    if not isinstance(study, Study | str | os.PathLike):
        raise ItinfError(f"The study is {shown(study)}; expected an itinf.Study, or the path of its TOML file.")
    progress = visible_study(progress)
    jobs = whole("jobs", jobs, 1, "it is the number of networks measured at a time")
    plan = (study if isinstance(study, Study) else read_study(Path(study))).changed(**changes)
    require_study(plan, out, jobs)
    with process_group(), _comparison_folder(plan, folder_of(out)) as folder:
        comparison = measure_networks(plan, folder, jobs, progress)
        if folder.writes:
            _save(comparison, plan, folder)
            told = None if folder.manifest["complete"] else progress
            if told is not None:
                told("report", "figures and page", 0, 1)
            draw_report(comparison, folder)
            if told is not None:
                told("report", "figures and page", 1, 1)
        complete(comparison, folder)
    return comparison


def require_study(study: Study, out: str | Path, jobs: int = 1) -> None:
    """Checks a study as far as possible without opening its networks.

    Raises:
        ItinfError: it has an unknown network or data, two networks of one name, jobs under torchrun, or a folder of
            something else.
    """
    if jobs > 1 and job_size() > 1:
        raise ItinfError(
            f"--jobs {jobs} was given under torchrun, whose {job_size()} processes already share out every network. "
            "Leave --jobs out, or start itinf without torchrun."
        )
    for network in study.networks:
        require_known(network.name, network.options, network.data)
    _require_names(study)
    folder = folder_of(out)
    refuse_foreign(folder, PARTS)
    there = read_manifest(folder) or {}
    if "study" in there:
        refuse_another(folder, {"schema": SCHEMA, "study": _identity(study)}, there, "comparison")
    elif folder.is_dir():
        _refuse_others(study, folder)


def _require_names(study: Study) -> None:
    require_own_folders(
        [network.title for network in study.networks], 'a label of its own: label = "…" in its [[network]]'
    )


@contextmanager
def _comparison_folder(study: Study, folder: Path) -> Iterator[ResultsFolder]:
    """Opens and locks the folder of a comparison. The folders of a network are locked while it is measured.

    Raises:
        ItinfError: two networks would have the same folder, or the folder holds something else or is in use.
    """
    _require_names(study)
    identity = {"schema": SCHEMA, "study": _identity(study)}
    under = circumstances(study.settings.device, study.settings.batch)
    with ResultsFolder.open(folder, identity, under, what="comparison", parts=PARTS) as kept:
        if kept.state == "resume" and "study" not in (read_manifest(folder) or {}):
            _refuse_others(study, folder)
        yield kept


def _refuse_others(study: Study, folder: Path) -> None:
    """Looks into a folder whose manifest does not say which study it holds, before anything is measured.

    Raises:
        ItinfError: it holds a network that the study does not have, or one that was measured in another way.
    """
    chosen = {folder_name(network.title): study.settings_of(network) for network in study.networks}
    for part in PARTS:
        found = sorted(path.name for path in (folder / part).glob("[!.]*"))
        if strange := [name for name in found if name not in chosen]:
            raise ItinfError(
                f"{folder} holds another comparison: it has {part}/{strange[0]}, and the networks of this study are "
                f"{', '.join(chosen)}. Choose another --out."
            )
    for name, settings in chosen.items():
        there = (read_manifest(folder / NETWORKS / name) or {}).get("settings", {})
        asked = {key: getattr(settings, key) for key in ("units", "seed", "group", "replicates", "untrained")}
        if there and (why := difference(asked, there)) is not None:
            raise ItinfError(f"{folder} holds another comparison: for {name}, {why}. Choose another --out.")


def _save(both: Comparison, study: Study, folder: ResultsFolder) -> None:
    """Writes the tables and the study file of a comparison if they are missing, damaged or out of date."""
    folder.made_of(entries(both))
    if not folder.sound(STUDY):
        folder.add(STUDY, study_toml(study).encode())
    write_tables(both, folder)


def _identity(study: Study) -> dict[str, Any]:
    """The entries of the study file that define the study; batch sizes, groups and roles change no number of a network."""
    known = tomllib.loads(study_toml(study))
    known.pop("batch", None)
    tables = [{k: v for k, v in table.items() if k not in ("batch", "group", "role")} for table in known.pop("network")]
    titles = [network.title for network in study.networks]
    return {**known, "networks": dict(zip(titles, tables, strict=True))}

"""Writes the figures and the page of a result into its folder."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import registry
from ..errors import ItinfError
from ..files import folder_name
from .drawing import NUMBERS, PICTURES, Drawn, could_not, drawn_all
from .forked import forked
from .manifest import folder_of

if TYPE_CHECKING:
    from .comparison import Comparison
    from .folder import ResultsFolder
    from .probe_result import ProbeResult


REPORT, TABLE_CSV, STUDY, FIGURES_FOLDER = "report.html", "measures.csv", "study.toml", "figures/"
FIGURES = ("alignment", "update_norm", "gain", "comparison")
LENS_FIGURES = ("lenses", "transfer", "retention")
"""Figures of a folder without a page."""
WITHOUT_TARGET = ("update_norm", *LENS_FIGURES)
"""Those that have no target to choose."""


def report(*folders: str | Path, out: str | Path | None = None) -> Path:
    """Makes figures and page of finished folders, without weights or data.

    One folder gets its own figures and page again; tables that are missing or damaged are written again, too. Several
    folders are put together: ``out`` gets one page of all, and the given folders are only read.

    Args:
        *folders: folders that ``itinf probe``, ``transfer``, ``compare`` or ``merge`` has written. With ``out``, what is
            unfinished or damaged is left out, and named on the page.
        out: a new folder for the results of all folders together.

    Returns:
        the path of the page.

    Raises:
        ItinfError: a folder is not finished, or in use, or a file that the page needs is damaged; several folders
            were given without ``out``, or ``out`` is in one of them.
    """
    paths = [folder_of(folder) for folder in folders]
    if out is None and len(paths) == 1:
        return _again(paths[0])
    if out is None or not paths:
        given = f"{len(paths)} folders were given, and no folder for the page" if paths else "No folder was given"
        raise ItinfError(f"{given}. Write itinf report A B --out C, or from Python itinf.report(a, b, out=c).")
    return _together(paths, folder_of(out))


def _together(folders: Sequence[Path], out: Path) -> Path:
    """The page of several folders in a folder of its own."""
    from .comparison_folder import save
    from .joint import joined

    for folder in folders:
        if not folder.is_dir():
            raise ItinfError(f"{folder} is no folder. Give folders that itinf has written.")
        if folder.resolve() in (out.resolve(), *out.resolve().parents):
            raise ItinfError(f"{out} is in {folder}, which is only read. Choose another --out.")
    return save(joined(folders), out, again=True) / REPORT


def _again(path: Path) -> Path:
    """The page of one finished folder, in it."""
    from .comparison import Comparison
    from .folder import ResultsFolder
    from .probe_result import ProbeResult
    from .transfer_result import TransferResult

    with ResultsFolder.open(path, None) as opened:
        if "probes" in opened.manifest:
            run = ProbeResult.load(path)
            write_tables(run, opened)
            comparison = Comparison([run])
        elif "lens" in opened.manifest:
            comparison = Comparison([], [TransferResult.load(path)])
        else:
            comparison = Comparison.load(path)
            if comparison.runs:  # a comparison of transfers alone has no tables
                write_tables(comparison, opened)
        if not opened.writes:
            raise ItinfError(
                f"{path} cannot be written. Copy the folder to a place that you can write, and give the copy."
            )
        draw_report(comparison, opened, again=True)
    return path / REPORT


def write_tables(result: ProbeResult | Comparison, folder: ResultsFolder) -> list[str]:
    """Writes the tables that are missing from the folder of a result, or damaged; returns their names."""
    lacking = [name for name in result.tables if not folder.sound(name)]
    return _add(
        folder, {name: content for name, content in result.files().items() if name in lacking} if lacking else {}
    )


def draw_report(
    result: ProbeResult | Comparison, folder: ResultsFolder, again: bool = False, page: bool = True
) -> list[str]:
    """Makes the figures and the page of a folder, where one of them is missing or damaged.

    Args:
        result: the result in the folder.
        folder: the open folder.
        again: True makes undamaged figures and an undamaged page again, too.
        page: False makes the figures of a folder without a page.

    Returns:
        the names of the files that were made.
    """
    if not page:
        draws: dict[str, Callable[[], Any]] = {
            kind: partial(result.plot, kind, **aim_of(result, kind)) for kind in _kinds(result)
        }
        added, remarks = _added_figures(result)
        draws |= added
        lacking = {name: draw for name, draw in draws.items() if again or not _there(folder, _stem(name))}
        drawings, failures = drawn_all(lacking, {name: _stem(name) for name in lacking})
        made = _add(folder, _files(drawings))
        _warn(remarks + failures)
        return made
    made_before = [name for name in folder.manifest["files"] if name.startswith(FIGURES_FOLDER)]
    if not again and all(map(folder.sound, [REPORT, TABLE_CSV, *made_before])):
        return []
    added, remarks = _added_figures(result)
    whole = _page(result, list(added), remarks, folder)
    draws = whole.figures() | added
    drawings, failures = drawn_all(draws, {name: _stem(name) for name in draws})
    whole.failed += failures
    made = _add(folder, _files(drawings) | {TABLE_CSV: result.table.to_csv(index=False).encode()})
    made += _add(folder, {REPORT: whole.html(drawings, forked).encode()})
    _warn(remarks + whole.failed)
    return made


def _warn(failures: Sequence[str]) -> None:
    """Says what could not be made, after the rest is in the folder: not everybody reads the page."""
    for failure in failures:
        warnings.warn(failure, stacklevel=3)


def _stem(name: str) -> str:
    """Path of the files of a figure, without ending; an added figure may have any name."""
    return FIGURES_FOLDER + folder_name(name)


def _files(drawings: Mapping[str, Drawn]) -> dict[str, bytes]:
    return {path: content for drawing in drawings.values() for path, content in drawing.files.items()}


def _add(folder: ResultsFolder, files: Mapping[str, bytes]) -> list[str]:
    """Writes files; returns their names."""
    for name, content in files.items():
        folder.add(name, content)
    return list(files)


def _there(folder: ResultsFolder, stem: str) -> bool:
    """Whether the files of a figure are in the folder and undamaged."""
    numbers = [stem + NUMBERS] if stem + NUMBERS in folder.manifest["files"] else []
    return all(map(folder.sound, [*(stem + ending for ending in PICTURES), *numbers]))


def _kinds(result: Any) -> tuple[str, ...]:
    """Names of the figures of a folder without a page: those of runs, those of transfers, or both."""
    if not getattr(result, "transfers", []):
        return FIGURES
    return (*FIGURES, *LENS_FIGURES) if result.runs else LENS_FIGURES


def _added_figures(result: ProbeResult | Comparison) -> tuple[dict[str, Callable[[], Any]], list[str]]:
    """Figures that a session or another package has registered and that draw something; and remarks on failed ones."""
    own = registry.names("pages")["report"].partition(".")[0]  # those of the page's package have places of their own
    figures: dict[str, Callable[[], Any]] = {}
    remarks = []
    for name, value in registry.names("figures").items():
        if value.partition(".")[0] == own:
            continue
        try:
            figure = result.plot(name)
        except Exception as error:  # an error in somebody else's figure must not prevent the page
            remarks.append(could_not(name, error))
            continue
        if figure is not None:
            figures[name] = partial(_same, figure)
    return figures, remarks


def _same(figure: Any) -> Any:
    return figure


def aim_of(result: Any, kind: str) -> dict[str, str]:
    """The option by which a figure shows the target that was measured; nothing for a figure without target."""
    return {} if kind in WITHOUT_TARGET else {"target": _target(result)}


def _page(result: Any, added: list[str], failed: list[str], folder: ResultsFolder | None = None) -> Any:
    """The page of a result in its folder, before its figures are drawn."""
    from .comparison import Comparison

    comparison = result if isinstance(result, Comparison) else Comparison([result])
    return registry.page("report")(
        comparison.table,
        [run.manifest for run in comparison.runs],
        [run.notes for run in comparison.runs],
        _target(comparison),
        sections=_openers("sections"),
        claims=_openers("claims"),
        summaries=comparison.summaries,
        transfers=[one.manifest for one in comparison.transfers if "observed" in set(one.table["null"])],
        remarks=comparison.notes,
        groups=comparison.group_table if comparison.groups else None,
        group_notes=comparison.group_notes,
        members=comparison.groups,
        power=comparison.power if comparison.roles else None,
        added=added,
        failed=failed,
        joined=comparison.joined,
        paired=comparison.paired,
        study=_study(folder),
        files=[] if folder is None else list(folder.manifest["files"]),
        examples=comparison.examples,
    )


def _study(folder: ResultsFolder | None) -> str:
    """The study file in a folder; "" where there is none, or it was changed."""
    if folder is None or folder.path is None or STUDY not in folder.manifest["files"] or not folder.sound(STUDY):
        return ""
    return (folder.path / STUDY).read_text(encoding="utf-8")


def _openers(group: str) -> dict[str, Callable[[], Any]]:
    """Name -> what opens it, of all that is registered in a group."""
    return {name: partial(registry.opened, group, name) for name in registry.names(group)}


def _target(result: Any) -> str:
    """The target that figures and page show: the label, or the first other target if labels were not measured."""
    known = set(result.table.loc[result.table["measure"] == "alignment", "target"])
    return "label" if "label" in known or not known else min(known)

"""Writes the figures and the page of a result into its folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import registry
from ..errors import ItinfError
from ..files import folder_name
from ..registry import draw
from .drawing import NUMBERS, PICTURES, Drawn, drawn
from .manifest import folder_of

if TYPE_CHECKING:
    from .comparison import Comparison
    from .folder import ResultsFolder
    from .probe_result import ProbeResult


TABLES = ("measures.parquet", "summaries.parquet", "groups.parquet", "power.parquet", "power.md")
REPORT, TABLE_CSV = "report.html", "measures.csv"
FIGURES = ("alignment", "update_norm", "gain", "comparison")
LENS_FIGURES = ("lenses", "transfer", "retention")
OF_ONE = ("overview", "lenses")
"""Figures of one network on the page."""
WITHOUT_TARGET = ("update_norm", "onset", *LENS_FIGURES)
"""Figures that have no target to choose."""
BUILT_IN = (*FIGURES, *LENS_FIGURES, "onset", "overview", "prediction", "trajectory")
"""Figures that have a fixed place; every other registered figure is added at the end of the page."""


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
    names = [name for name in TABLES if not folder.sound(name)]
    made = {name: content for name, content in result.files().items() if name in names} if names else {}
    for name, content in made.items():
        folder.add(name, content)
    return list(made)


def draw_report(
    result: ProbeResult | Comparison, folder: ResultsFolder, again: bool = False, page: bool = True
) -> list[str]:
    """Makes the figures and the page that are missing from a folder, or damaged.

    Args:
        result: the result in the folder.
        folder: the open folder.
        again: True makes undamaged figures and an undamaged page again, too.
        page: False leaves the page out, and the figures that are on the page alone.

    Returns:
        the names of the files that were made.
    """
    added, remarks = _added_figures(result)
    made: list[str] = []
    pictures: dict[str, Drawn] = {}
    page = page and (again or not folder.sound(REPORT))
    for name, make in (_figures(result, page) | {name: partial(added.get, name) for name in added}).items():
        stem = f"figures/{folder_name(name)}"  # an added figure may have any name
        there = None if again else _there(folder, stem)
        picture = there or drawn(make, stem)
        if picture is not None:
            made += _add(folder, picture.files)
            pictures[name] = picture
    if page:
        made += _add(folder, {TABLE_CSV: result.table.to_csv(index=False).encode()})
        made += _add(folder, {REPORT: _page(result, pictures, list(added), remarks).encode()})
    return made


def _add(folder: ResultsFolder, files: Mapping[str, bytes | None]) -> list[str]:
    """Writes the files that have a content; returns their names."""
    new = {name: content for name, content in files.items() if content is not None}
    for name, content in new.items():
        folder.add(name, content)
    return list(new)


def _there(folder: ResultsFolder, stem: str) -> Drawn | None:
    """A figure whose files are in the folder and undamaged; None where it must be drawn."""
    pictures = [stem + ending for ending in PICTURES]
    numbers = [stem + NUMBERS] if stem + NUMBERS in folder.manifest["files"] else []
    if folder.path is None or not all(map(folder.sound, [*pictures, *numbers])):
        return None
    return Drawn((folder.path / pictures[0]).read_bytes(), dict.fromkeys([*pictures, *numbers]))


def _figures(result: Any, page: bool) -> dict[str, Callable[[], Any]]:
    """Name -> function that draws, of the figures that come with itinf; for a page also those of single networks."""
    from .schema import summaries_table

    draws: dict[str, Callable[[], Any]] = {
        kind: partial(result.plot, kind, **aim_of(result, kind)) for kind in _kinds(result)
    }
    runs = getattr(result, "runs", [result])
    if page:
        for run in runs:
            rows = result.table[result.table["model"] == run.name]
            for kind in OF_ONE:
                options = aim_of(result, kind)
                draws[f"{kind} {run.name}"] = partial(draw, kind, rows, summaries_table([]), options)
    return draws


def _kinds(result: Any) -> tuple[str, ...]:
    """Names of the figures that a result has: those of runs, those of transfers, or both."""
    transfers = getattr(result, "transfers", [])
    if not transfers:
        return FIGURES
    return ("onset", *FIGURES, *LENS_FIGURES, "prediction") if result.runs else LENS_FIGURES


def _added_figures(result: ProbeResult | Comparison) -> tuple[dict[str, Any], list[str]]:
    """Figures that a session or another package has registered and that draw something; and notes on failed ones."""
    figures, remarks = {}, []
    for name in registry.names("figures"):
        if name in BUILT_IN:
            continue
        try:
            figure = result.plot(name)
        except Exception as error:  # an error in somebody else's figure must not prevent the page
            remarks.append(f"The figure {name!r} could not be drawn ({type(error).__name__}: {error}).")
            continue
        if figure is not None:
            figures[name] = figure
    return figures, remarks


def aim_of(result: Any, kind: str) -> dict[str, str]:
    """The option by which a figure shows the target that was measured; nothing for a figure without target."""
    return {} if kind in WITHOUT_TARGET else {"target": _target(result)}


def _page(result: Any, pictures: dict[str, Drawn], added: list[str], remarks: list[str]) -> str:
    from .comparison import Comparison

    comparison = result if isinstance(result, Comparison) else Comparison([result])
    return registry.page("report")(
        comparison.table,
        [run.manifest for run in comparison.runs],
        [run.notes for run in comparison.runs],
        _target(comparison),
        summaries=comparison.summaries,
        transfers=[one.manifest for one in comparison.transfers if "observed" in set(one.table["null"])],
        remarks=comparison.notes,
        groups=comparison.group_table if comparison.groups else None,
        group_notes=comparison.group_notes,
        power=comparison.power if comparison.roles else None,
        pictures={name: (picture.png, list(picture.files)) for name, picture in pictures.items()},
        added=added,
        failed=remarks,
        joined=comparison.joined,
        paired=comparison.paired,
        claims=_claims(),
    )


def _claims() -> dict[str, Callable[[], Any]]:
    """Rows of the verdict table: name -> what opens the claim."""
    return {name: partial(registry.opened, "claims", name) for name in registry.names("claims")}


def _target(result: Any) -> str:
    """The target that figures and page show: the label, or the first other target if labels were not measured."""
    known = set(result.table.loc[result.table["measure"] == "alignment", "target"])
    return "label" if "label" in known or not known else min(known)

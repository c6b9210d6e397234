"""Figures and page of a result, written into its folder."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import registry
from ..errors import ItinfError

if TYPE_CHECKING:
    from .comparison import Comparison
    from .folder import ResultsFolder
    from .probe_result import ProbeResult


TABLES = ("measures.parquet", "summaries.parquet")
REPORT = "report.html"
FIGURES = ("alignment", "update_norm", "gain", "comparison")
LENS_FIGURES = ("lenses", "transfer", "retention")
WITHOUT_TARGET = ("update_norm", *LENS_FIGURES)
"""Figures without a choice of target."""


def report(folder: str | Path) -> Path:
    """Makes figures and page again from a finished folder, without weights or data; tables where they are damaged.

    Args:
        folder: what ``itinf probe``, ``itinf transfer``, ``itinf compare`` or ``itinf merge`` has written.

    Returns:
        the page.

    Raises:
        ItinfError: the folder is not finished or in use, or what the page is made from is damaged.
    """
    from .comparison import Comparison
    from .folder import ResultsFolder
    from .probe_result import ProbeResult
    from .transfer_result import TransferResult

    path = Path(folder)
    with ResultsFolder.open(path, None) as opened:
        if "probes" in opened.manifest:
            run = ProbeResult.load(path)
            write_tables(run, opened)
            comparison = Comparison([run])
        elif "lens" in opened.manifest:
            comparison = Comparison([], [TransferResult.load(path)])
        else:
            comparison = Comparison.load(path)
            if comparison.runs:  # one of transfers alone has no tables of its own
                write_tables(comparison, opened)
        if not opened.writes:
            raise ItinfError(f"{path} cannot be written. Copy the folder, and give the copy.")
        draw_report(comparison, opened, again=True)
    return path / REPORT


def write_tables(result: ProbeResult | Comparison, folder: ResultsFolder) -> list[str]:
    """Writes those tables of a result that are missing from its folder or damaged; returns their names."""
    names = [name for name in TABLES if not folder.sound(name)]
    made = {name: content for name, content in result.files().items() if name in names} if names else {}
    for name, content in made.items():
        folder.add(name, content)
    return list(made)


def draw_report(
    result: ProbeResult | Comparison, folder: ResultsFolder, again: bool = False, page: bool = True
) -> list[str]:
    """Makes those figures, and the page, that are missing from a folder or not what was written there.

    Args:
        result: what the folder holds.
        folder: as opened; a complete one lists at once what is made.
        again: those that are as they were written, too.
        page: False leaves the page out.

    Returns:
        the names of the files that were made.
    """
    made = []
    for kind in _kinds(result):
        name = f"figures/{kind}.png"
        if again or not folder.sound(name):
            folder.add(name, _picture(result, kind))
            made.append(name)
    if page and (again or not folder.sound(REPORT)):
        folder.add(REPORT, _page(result).encode())
        made.append(REPORT)
    return made


def _kinds(result: Any) -> tuple[str, ...]:
    """The figures of a result: of one network, of transfers alone, or of both."""
    transfers = getattr(result, "transfers", [])
    if not transfers:
        return FIGURES
    return (*FIGURES, *LENS_FIGURES, "prediction") if result.runs else LENS_FIGURES


def _picture(result: ProbeResult | Comparison, kind: str) -> bytes:
    picture = io.BytesIO()
    aim = {} if kind in WITHOUT_TARGET else {"target": _target(result)}
    result.plot(kind, **aim).savefig(picture, format="png", dpi=120)
    return picture.getvalue()


def _page(both: Any) -> str:
    manifests, notes = [run.manifest for run in both.runs], [run.notes for run in both.runs]
    trained = [moved.manifest for moved in both.transfers if "observed" in set(moved.table["null"])]
    return registry.page("report")(
        both.table,
        manifests,
        notes,
        _target(both),
        summaries=both.summaries,
        transfers=trained,
        remarks=both.notes,
    )


def _target(result: ProbeResult | Comparison) -> str:
    """The target shown: the label, or what else there is."""
    known = set(result.table.loc[result.table["measure"] == "alignment", "target"])
    return "label" if "label" in known else min(known)

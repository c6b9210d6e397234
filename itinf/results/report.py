"""Figures and page of a result, written into its folder."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


def remake(path: Path, page: Callable[..., str]) -> list[str]:
    """Makes those tables, figures and pages of a complete folder that are missing or not what was written there.

    It takes neither weights nor data.

    Args:
        path: of the folder of a network, a transfer or a comparison.
        page: what writes the page of a comparison.

    Returns:
        the names of the files that were made.

    Raises:
        ItinfError: the folder is not complete, in use, or what the files are made from is damaged.
    """
    from .comparison import Comparison
    from .folder import ResultsFolder
    from .probe_result import ProbeResult
    from .transfer_result import TransferResult

    with ResultsFolder.open(path, None) as folder:
        if "probes" in folder.manifest:
            run = ProbeResult.load(path)
            return [*write_tables(run, folder), *draw_report(run, folder)]
        if "lens" in folder.manifest:
            return draw_report(Comparison([], [TransferResult.load(path)]), folder)
        both = Comparison.load(path)
        return [*write_tables(both, folder), *draw_report(both, folder, page if both.runs else None)]


def write_tables(result: ProbeResult | Comparison, folder: ResultsFolder) -> list[str]:
    """Writes those tables of a result that are missing from its folder or damaged; returns their names."""
    names = [name for name in TABLES if not folder.sound(name)]
    made = {name: content for name, content in result.files().items() if name in names} if names else {}
    for name, content in made.items():
        folder.add(name, content)
    return list(made)


def draw_report(
    result: ProbeResult | Comparison, folder: ResultsFolder, page: Callable[..., str] | None = None
) -> list[str]:
    """Makes those figures, and the page, that are missing from a folder or not what was written there.

    Args:
        result: what the folder holds.
        folder: as opened; a complete one lists at once what is made.
        page: what writes the page; None for a folder that has none.

    Returns:
        the names of the files that were made.
    """
    made = []
    for kind in _kinds(result):
        if not folder.sound(name := f"figures/{kind}.png"):
            folder.add(name, _picture(result, kind))
            made.append(name)
    if page is not None and not folder.sound(REPORT):
        folder.add(REPORT, _page(result, page).encode())
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


def _page(both: Any, page: Callable[..., str]) -> str:
    manifests, notes = [run.manifest for run in both.runs], [run.notes for run in both.runs]
    trained = [moved.manifest for moved in both.transfers if "observed" in set(moved.table["null"])]
    return page(
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

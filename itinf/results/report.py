"""Figures and page of a result, written into its folder."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
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
BUILT_IN = (*FIGURES, *LENS_FIGURES, "overview", "prediction")
"""Figures that have their own place; any other that is registered is added to the end of the page."""


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
    aim = {"target": _target(result)}
    added, remarks = _added_figures(result)
    draws: dict[str, Callable[[], Any]] = {name: partial(added.get, name) for name in added}
    for kind in _kinds(result):
        draws[kind] = partial(result.plot, kind, **({} if kind in WITHOUT_TARGET else aim))
    made: list[str] = []
    for kind, draw in draws.items():
        name = f"figures/{kind}.png"
        if again or not folder.sound(name):
            folder.add(name, _png(draw()))
            made.append(name)
    if page and (again or not folder.sound(REPORT)):
        folder.add(REPORT, _page(result, added, remarks).encode())
        made.append(REPORT)
    return made


def _kinds(result: Any) -> tuple[str, ...]:
    """The figures of a result: of one network, of transfers alone, or of both."""
    transfers = getattr(result, "transfers", [])
    if not transfers:
        return FIGURES
    return (*FIGURES, *LENS_FIGURES, "prediction") if result.runs else LENS_FIGURES


def _added_figures(result: ProbeResult | Comparison) -> tuple[dict[str, Any], list[str]]:
    """Figures that a session or another package has registered, less those with nothing to draw; and what failed."""
    figures, remarks = {}, []
    for name in registry.names("figures"):
        if name in BUILT_IN:
            continue
        try:
            figure = result.plot(name)
        except Exception as error:  # somebody else's code: it must not cost the results their page
            remarks.append(f"The figure {name!r} could not be drawn ({type(error).__name__}: {error}).")
            continue
        if figure is not None:
            figures[name] = figure
    return figures, remarks


def _png(figure: Any) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    return picture.getvalue()


def _page(result: Any, added: dict[str, Any], remarks: list[str]) -> str:
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
        added=added,
        failed=remarks,
    )


def _target(result: ProbeResult | Comparison) -> str:
    """The target shown: the label, or what else there is."""
    known = set(result.table.loc[result.table["measure"] == "alignment", "target"])
    return "label" if "label" in known or not known else min(known)

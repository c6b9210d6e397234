"""Writes the figures and the page of a result into its folder."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import registry
from ..errors import ItinfError, NothingToDrawError
from ..files import folder_name

if TYPE_CHECKING:
    from .comparison import Comparison
    from .folder import ResultsFolder
    from .probe_result import ProbeResult


TABLES = ("measures.parquet", "summaries.parquet", "groups.parquet", "power.parquet", "power.md")
REPORT = "report.html"
FIGURES = ("alignment", "update_norm", "gain", "comparison")
LENS_FIGURES = ("lenses", "transfer", "retention")
WITHOUT_TARGET = ("update_norm", "onset", *LENS_FIGURES)
"""Figures that have no target to choose."""
BUILT_IN = (*FIGURES, *LENS_FIGURES, "onset", "overview", "prediction")
"""Figures that have a fixed place; every other registered figure is added at the end of the page."""


def report(folder: str | Path) -> Path:
    """Makes the figures and the page of a finished folder again, without weights or data.

    Tables that are missing or damaged are written again, too.

    Args:
        folder: a folder that ``itinf probe``, ``itinf transfer``, ``itinf compare`` or ``itinf merge`` has written.

    Returns:
        the path of the page.

    Raises:
        ItinfError: the folder is not finished, or in use, or a file that the page needs is damaged.
    """
    from .comparison import Comparison
    from .folder import ResultsFolder
    from .manifest import folder_of
    from .probe_result import ProbeResult
    from .transfer_result import TransferResult

    path = folder_of(folder)
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
        page: False leaves the page out.

    Returns:
        the names of the files that were made.
    """
    added, remarks = _added_figures(result)
    draws: dict[str, Callable[[], Any]] = {name: partial(added.get, name) for name in added}
    for kind in _kinds(result):
        draws[kind] = partial(result.plot, kind, **aim_of(result, kind))
    made: list[str] = []
    for kind, draw in draws.items():
        name = f"figures/{folder_name(kind)}.png"  # an added figure may have any name
        if (again or not folder.sound(name)) and (picture := png_of(draw)) is not None:
            folder.add(name, picture)
            made.append(name)
    if page and (again or not folder.sound(REPORT)):
        folder.add(REPORT, _page(result, added, remarks).encode())
        made.append(REPORT)
    return made


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


def png_of(draw: Callable[[], Any], dpi: int = 120) -> bytes | None:
    """The figure that a function draws, as PNG; None if the results lack what it shows."""
    try:
        figure = draw()
    except NothingToDrawError:
        return None
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=dpi)
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
        groups=comparison.group_table if comparison.groups else None,
        group_notes=comparison.group_notes,
        power=comparison.power if comparison.roles else None,
        added=added,
        failed=remarks,
        claims=_claims(),
    )


def _claims() -> dict[str, Callable[[], Any]]:
    """Rows of the verdict table: name -> what opens the claim."""
    return {name: partial(registry.opened, "claims", name) for name in registry.names("claims")}


def _target(result: Any) -> str:
    """The target that figures and page show: the label, or the first other target if labels were not measured."""
    known = set(result.table.loc[result.table["measure"] == "alignment", "target"])
    return "label" if "label" in known or not known else min(known)

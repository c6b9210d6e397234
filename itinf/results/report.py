"""Figures and page of a result, written into its folder."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..files import write_bytes, write_text

if TYPE_CHECKING:
    from .comparison import Comparison
    from .probe_result import ProbeResult


REPORT = "report.html"


FIGURES = ("alignment", "update_norm", "gain", "comparison")


LENS_FIGURES = ("lenses", "transfer", "retention")


WITHOUT_TARGET = ("update_norm", *LENS_FIGURES)
"""Figures without a choice of target."""


def save_figures(result: ProbeResult | Comparison, folder: Path, kinds: Sequence[str] = FIGURES) -> None:
    """Draws figures of a run or a comparison into a folder."""
    for kind in kinds:
        picture = io.BytesIO()
        aim = {} if kind in WITHOUT_TARGET else {"target": _target(result)}
        result.plot(kind, **aim).savefig(picture, format="png", dpi=120)
        write_bytes(folder / "figures" / f"{kind}.png", picture.getvalue())


def save_page(both: Comparison, folder: Path, page: Callable[..., str]) -> None:
    """Writes the page of a comparison."""
    manifests, notes = [run.manifest for run in both.runs], [run.notes for run in both.runs]
    trained = [moved.manifest for moved in both.transfers if "observed" in set(moved.table["null"])]
    text = page(
        both.table,
        manifests,
        notes,
        _target(both),
        summaries=both.summaries,
        transfers=trained,
        remarks=both.notes,
    )
    write_text(folder / REPORT, text)


def _target(result: ProbeResult | Comparison) -> str:
    """The target shown: the label, or what else there is."""
    known = set(result.table.loc[result.table["measure"] == "alignment", "target"])
    return "label" if "label" in known else min(known)

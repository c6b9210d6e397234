"""What the command line says: progress bars, tables, pictures."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from .files import write_bytes, write_text

if TYPE_CHECKING:
    from .comparison import Comparison
    from .run import Run
    from .specimen import Score

out, err = Console(), Console(stderr=True)

REPORT = "report.html"
FIGURES = ("alignment", "update_norm", "gain", "comparison")


@contextmanager
def bars(title: str) -> Iterator[Callable[[str, int, int], None]]:
    """Progress bars, one per stage of a study, from the first process alone."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, disable=not first_process()) as bars:
        tasks: dict[str, Any] = {}

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(escape(f"{title}: {stage}"), total=total)
            bars.update(tasks[stage], completed=done)

        yield progress


def first_process() -> bool:
    """Whether this process is the one that writes and prints; under torchrun there are others."""
    return os.environ.get("RANK", "0") == "0"


def pictures(result: Run | Comparison, folder: Path) -> None:
    """Draws every figure of a run or a comparison into a folder."""
    for kind in FIGURES:
        picture = io.BytesIO()
        aim = {} if kind == "update_norm" else {"target": _target(result)}
        result.plot(kind, **aim).savefig(picture, format="png", dpi=120)
        write_bytes(folder / "figures" / f"{kind}.png", picture.getvalue())


def print_blocks(run: Run) -> None:
    """The headline: raw alignment of every block with its interval."""
    rows = run.table
    rows = rows[
        (rows.null == "observed") & (rows.statistic == "mean") & (rows.subset == "all") & (rows.target == "label")
    ]
    rows = rows[(rows.measure == "alignment") & (rows.form == "raw") & (rows.unit != "sequence")]
    table = Table("block", "", "input", "output", "readout", box=None, padding=(0, 2, 0, 0), title_justify="left")
    table.title = "alignment: mean cos(update, −gradient), form raw, target label, ± 95 % interval"
    for (_, block, update, part), some in rows.groupby(["index", "block", "update", "part"], sort=False):
        cells = {r.gradient: f"{r.mean:+.4f} ±{r.mean - r.lo:.4f}" for r in some.itertuples() if not r.reason}
        if cells:
            table.add_row(
                escape(str(block)), part or update, *(cells.get(g, "–") for g in ("input", "output", "readout"))
            )
    out.print(table)


def report(both: Comparison, folder: Path, page: Callable[..., str]) -> None:
    """Writes the page of a comparison."""
    manifests, notes = [run.manifest for run in both.runs], [run.notes for run in both.runs]
    write_text(folder / REPORT, page(both.table, manifests, notes, _target(both)))


def _target(result: Run | Comparison) -> str:
    """The target shown: the label, or what else there is."""
    known = set(result.table.loc[result.table["measure"] == "alignment", "target"])
    return "label" if "label" in known else min(known)


def print_scores(specimen: str, scores: Sequence[Score]) -> None:
    """What a specimen reaches on held-out data, and what it has to."""
    table = Table(specimen, "", "bound", "", box=None, padding=(0, 2, 0, 0))
    for score in scores:
        bound = "" if score.bound is None else f"{'≥' if score.better == 'higher' else '<'} {score.bound:.3f}"
        verdict = "" if score.bound is None else "reached" if score.reached else "missed"
        table.add_row(escape(score.what), f"{score.value:.3f} over {score.items:,}", bound, verdict)
    out.print(table)

"""What the command line says: progress bars, tables, pictures."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from .files import write_bytes

if TYPE_CHECKING:
    from .comparison import Comparison
    from .run import Run

out, err = Console(), Console(stderr=True)

FIGURES = ("alignment", "update_norm", "gain")


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
    with Progress(*columns, console=err, disable=os.environ.get("RANK", "0") != "0") as bars:
        tasks: dict[str, Any] = {}

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(escape(f"{title}: {stage}"), total=total)
            bars.update(tasks[stage], completed=done)

        yield progress


def figures(result: Run | Comparison, folder: Path) -> None:
    """Draws every figure of a run or a comparison into a folder."""
    for kind in FIGURES:
        picture = io.BytesIO()
        result.plot(kind).savefig(picture, format="png", dpi=120)
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

"""What the command line says: progress bars, tables, pictures."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    import pandas as pd

    from ..results.probe_result import ProbeResult
    from ..training.specimen import Score

out, err = Console(), Console(stderr=True)

INTERRUPTED = 130


@contextmanager
def progress_bars(title: str) -> Iterator[Callable[[str, int, int], None]]:
    """Progress bars, one per stage, from the first process alone."""
    with progress_board(lambda name, stage: f"{name}: {stage}") as told:
        yield partial(told, title)


@contextmanager
def progress_board(
    line: Callable[[str, str], str] = lambda name, stage: name,
) -> Iterator[Callable[[str, str, int, int], None]]:
    """Progress bars of several networks, one line for each, which names the stage it is at.

    Args:
        line: name of a network, stage -> what has a line of its own.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, disable=not first_process()) as bars:
        tasks: dict[str, Any] = {}

        def told(name: str, stage: str, done: int, total: int) -> None:
            key, said = line(name, stage), escape(f"{name}: {stage}")
            if key not in tasks:
                tasks[key] = bars.add_task(said, total=total)
            bars.update(tasks[key], description=said, completed=done, total=total)

        yield told


def first_process() -> bool:
    """Whether this process is the one that writes and prints; under torchrun there are others."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C ends the command with a word instead of a traceback."""
    try:
        yield
    except KeyboardInterrupt:
        err.print("Interrupted. The same command goes on from the last save.", markup=False)
        raise typer.Exit(INTERRUPTED) from None


def print_blocks(run: ProbeResult) -> None:
    """The headline: raw alignment of every block with its interval."""
    rows = run.table
    rows = rows[
        (rows.null == "observed") & (rows.statistic == "mean") & (rows.subset == "all") & (rows.target == "label")
    ]
    rows = rows[(rows.measure == "alignment") & (rows.form == "raw") & (rows.unit != "sequence")]
    table = Table("block", "", "input", "output", "readout", box=None, padding=(0, 2, 0, 0), title_justify="left")
    table.title = "alignment: mean cos(update, −gradient), form raw, target label, ± 95 % interval"
    for (_, block, update, part), some in rows.groupby(["block_index", "block", "update", "part"], sort=False):
        cells = {r.gradient: f"{r.mean:+.4f} ±{r.mean - r.lo:.4f}" for r in some.itertuples() if not r.reason}
        if cells:
            table.add_row(
                escape(str(block)), part or update, *(cells.get(g, "–") for g in ("input", "output", "readout"))
            )
    out.print(table)


def print_scores(specimen: str, scores: Sequence[Score]) -> None:
    """What a specimen reaches on held-out data, and what it has to."""
    table = Table(specimen, "", "bound", "", box=None, padding=(0, 2, 0, 0))
    for score in scores:
        bound = "" if score.bound is None else f"{'≥' if score.better == 'higher' else '<'} {score.bound:.3f}"
        verdict = "" if score.bound is None else "reached" if score.reached else "missed"
        table.add_row(escape(score.what), f"{score.value:.3f} over {score.items:,}", bound, verdict)
    out.print(table)


def print_summaries(summaries: pd.DataFrame) -> None:
    """What is kept of the label: by lenses moved, and by one lens fitted without the depth it reads."""
    rows = summaries[(summaries["measure"] == "retention") & (summaries["distance"] == 0)]
    table = Table("network", "lens", "", "of", "retention", box=None, padding=(0, 2, 0, 0))
    for r in rows[rows["direction"].isin(["both", "one lens"])].itertuples():
        null = "" if r.null == "observed" else f"null: {r.null} {r.null_seed}"
        how = " ".join(filter(None, (r.form, null)))
        table.add_row(escape(r.model), r.lens, how, r.target, f"{r.mean:.3f} ± {r.mean - r.lo:.3f} over {r.cells}")
    out.print(table)

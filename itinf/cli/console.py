"""Output of the command line: progress bars and tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from ..registry import answers
from ..statistics.processes import here
from .progress_log import progress_log

if TYPE_CHECKING:
    import pandas as pd

    from ..results.probe_result import ProbeResult
    from ..training.specimen import Score

out, err = Console(), Console(stderr=True)


@contextmanager
def progress_bars(title: str) -> Iterator[Callable[[str, int, int], None]]:
    """Progress bars of one network, one bar for each stage; only the first process shows them."""
    with progress_board(lambda name, stage: f"{name}: {stage}") as show:
        yield partial(show, title)


@contextmanager
def progress_board(
    line: Callable[[str, str], str] = lambda name, stage: name,
) -> Iterator[Callable[[str, str, int, int], None]]:
    """Progress bars of several networks: one line for each network, with its current stage. A log file gets plain lines.

    Args:
        line: function (name of a network, stage) -> key; every key has its own line.
    """
    if first_process() and not err.is_terminal:
        with progress_log(partial(err.print, markup=False, highlight=False, soft_wrap=True)) as log:
            yield log.show
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, disable=not first_process()) as bars:
        tasks: dict[str, Any] = {}

        def show(name: str, stage: str, done: int, total: int) -> None:
            key, description = line(name, stage), escape(f"{name}: {stage}")
            if key not in tasks:
                tasks[key] = bars.add_task(description, total=total)
            bars.update(tasks[key], description=description, completed=done, total=total)

        yield show


def first_process() -> bool:
    """Whether this process writes and prints; under torchrun only the first process does."""
    return here().first


def print_blocks(run: ProbeResult) -> None:
    """Prints the raw alignment of every block with its interval."""
    rows = run.table
    rows = rows[
        (rows.null == "observed") & (rows.statistic == "mean") & (rows.subset == "all") & (rows.target == "label")
    ]
    rows = rows[(rows.measure == "alignment") & (rows.form == "raw") & (rows.unit != "sequence")]
    table = Table("block", "", "input", "output", "readout", box=None, padding=(0, 2, 0, 0), title_justify="left")
    table.title = "alignment: mean cos(update, −gradient), form raw, target label, ± 95 % interval"
    for (_, block, update, part), of_update in rows.groupby(["block_index", "block", "update", "part"], sort=False):
        measured = of_update[of_update["mean"].notna()]
        cells = {r.gradient: f"{r.mean:+.4f} ±{r.mean - r.lo:.4f}" for r in measured.itertuples()}
        if cells:
            table.add_row(
                escape(str(block)), part or update, *(cells.get(g, "–") for g in ("input", "output", "readout"))
            )
    out.print(table)


def print_answers(table: pd.DataFrame, summaries: pd.DataFrame | None = None) -> None:
    """Prints the sentences that the page has on top: they are the last lines of a command."""
    import pandas

    for sentence in answers(table, pandas.DataFrame() if summaries is None else summaries):
        out.print(sentence, markup=False, highlight=False, soft_wrap=True)


def print_scores(specimen: str, scores: Sequence[Score]) -> None:
    """Prints the scores of a specimen on held-out data, and the bounds that they have to reach."""
    table = Table(specimen, "", "bound", "", box=None, padding=(0, 2, 0, 0))
    for score in scores:
        bound = "" if score.bound is None else f"{'≥' if score.better == 'higher' else '<'} {score.bound:.3f}"
        bound += f" ({score.bound_is})" if score.bound_is else ""
        verdict = "" if score.bound is None else "reached" if score.reached else "missed"
        table.add_row(escape(score.what), f"{score.value:.3f} over {score.items:,}", escape(bound), verdict)
    out.print(table)


def print_summaries(summaries: pd.DataFrame) -> None:
    """Prints mean retentions: of lenses read at other depths, of a shared lens at depths left out, of lenses fitted on other
    data; and their surplus."""
    from ..lenses.transfer.counterfactual import READS

    measured = summaries["measure"].isin(["retention", "surplus", "fitting_retention"])
    rows = summaries[measured & (summaries["distance"] == 0)]
    onward = (rows["direction"] == "forward") & ((rows["measure"] == "surplus") | rows["form"].isin(list(READS)))
    table = Table("network", "lens", "", "target", "retention", box=None, padding=(0, 2, 0, 0))
    for r in rows[onward | rows["direction"].isin(["both", "one lens", "other data"])].itertuples():
        null = "" if r.null == "observed" else f"null: {r.null} {r.null_seed}"
        form = " ".join(filter(None, ("surplus" if r.measure == "surplus" else "", r.form, null)))
        retention = f"{r.mean:.3f} ± {r.mean - r.lo:.3f} over {r.cells} cells"
        table.add_row(escape(r.model), r.lens, form, r.target, retention)
    out.print(table)

"""The command line: puts the parts together and prints."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from .arguments import (
    Batch,
    Device,
    Dtype,
    Group,
    Jobs,
    Length,
    Option,
    Out,
    Replicates,
    Seed,
    Source,
    StudyBatch,
    StudyLens,
    StudyPrecision,
    StudySeed,
    StudyUnits,
    StudyUntrained,
    Target,
    Units,
    Untrained,
    Weights,
    opened_network,
    parse_shard,
    place,
    plan_of,
)
from .console import (
    FIGURES,
    LENS_FIGURES,
    REPORT,
    bars,
    board,
    err,
    first_process,
    interruptible,
    out,
    pictures,
    print_blocks,
    print_scores,
    report,
)
from .errors import ItinfError

if TYPE_CHECKING:
    from .architecture import Network
    from .data import Data
    from .studyfile import StudyFile

from . import lens_commands

app = typer.Typer(
    help="Is depth iterative inference? The same probes for ResNets, Inception v1 and GPT-2.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
RESULTS = Path("results")


@app.command("list")
def list_() -> None:
    """Networks and data sets that can be named."""
    from .registry import describe, names

    for group in ("networks", "datasets"):
        table = Table("name", "what", title=group, title_justify="left", box=None, padding=(0, 2, 0, 0))
        for name, value in names(group).items():
            table.add_row(name, escape(describe(value)))
        out.print(table)
        out.print()
    out.print("A family takes any size: cifar-resnet164. Options: itinf probe NETWORK --option KEY=VALUE.")
    out.print(f"Specimens, trained and shipped (--weights specimen): {', '.join(names('specimens'))}.")


@app.command()
def check(
    network: str,
    weights: Weights = "random",
    data: Annotated[str | None, typer.Option(help="Check on real units; made-up ones otherwise.")] = None,
    option: Option = None,
    length: Length = None,
) -> None:
    """Prove a network's description: readout, branches, gradients, gauge."""
    from .checking import check as prove
    from .data import load_batch

    opened = opened_network(network, weights, option)
    batch = None
    if data is not None:
        source = _data(data, opened, 0, length)
        batch = load_batch(source, range(min(4, len(source))))
    report = prove(opened, batch)
    out.print(repr(report), markup=False, highlight=False, soft_wrap=True)
    if not report.ok:
        raise typer.Exit(2)


@app.command()
def probe(
    network: str,
    data: Source,
    weights: Weights = "random",
    units: Units = 2000,
    batch: Batch = 64,
    out_: Out = RESULTS,
    option: Option = None,
    target: Target = None,
    length: Length = None,
    device: Device = "auto",
    dtype: Dtype = "float32",
    seed: Seed = 0,
    group: Group = 32,
    replicates: Replicates = 400,
    untrained: Untrained = 0,
    lens: Annotated[Path | None, typer.Option(help="Also read through this file of itinf fit.")] = None,
    shard: Annotated[str | None, typer.Option(help="I/N: measure only the I-th of N parts, to be merged.")] = None,
) -> None:
    """Measure how each block's update aligns with the negative loss gradient."""
    from .entrants import measure
    from .lenses.lens import Lens

    opened = place(opened_network(network, weights, option), device, dtype)
    source = _data(data, opened, seed, length)
    settings: dict[str, Any] = {
        "units": units,
        "seed": seed,
        "group": group,
        "replicates": replicates,
        "untrained": untrained,
    }
    settings["shard"] = parse_shard(shard)
    through = [] if lens is None else [Lens.load(lens, opened)]
    with interruptible(), bars(opened.name) as progress:
        run = measure(opened, source, target or ["label"], batch, out_, settings, progress, through, *through)
    if first_process():
        pictures(run, out_)
        out.print(repr(run), markup=False, highlight=False, soft_wrap=True)
        print_blocks(run)
        out.print(f"Results in {out_}", markup=False, soft_wrap=True)


@app.command()
def compare(
    study: Annotated[
        list[str] | None, typer.Argument(help="STUDY.toml, or NETWORK …; none for the specimens.", show_default=False)
    ] = None,
    data: Annotated[list[str] | None, typer.Option(help="One for all networks, or one for each in turn.")] = None,
    weights: Annotated[list[str] | None, typer.Option(help="One for all networks, or one for each in turn.")] = None,
    units: StudyUnits = None,
    batch: StudyBatch = None,
    out_: Out = RESULTS,
    device: Device = "auto",
    dtype: Dtype = "float32",
    seed: StudySeed = None,
    untrained: StudyUntrained = None,
    lens: StudyLens = None,
    precision: StudyPrecision = None,
    jobs: Jobs = 1,
) -> None:
    """Measure several networks in the same way and lay them side by side; without arguments, the specimens."""
    plan = plan_of(study or [], data or [], weights or [])
    changed = {
        "units": units,
        "batch": batch,
        "seed": seed,
        "untrained": untrained,
        "lens": lens,
        "precision": precision,
    }
    _compare(plan.changed(**{k: v for k, v in changed.items() if v is not None}), out_, device, dtype, jobs)


@app.command()
def demo(
    out_: Annotated[Path, typer.Option("--out", help="Results folder.")] = RESULTS / "demo",
    jobs: Annotated[int | None, typer.Option(min=1, help="Networks at a time; by default one per core.")] = None,
) -> None:
    """Compare the specimens: ResNets, a plain network, Inception v1 and GPT-2, trained and shipped with itinf."""
    from .demo import study

    _compare(study(), out_, "cpu", "float32", jobs or os.cpu_count() or 1)


app.command()(lens_commands.fit)
app.command()(lens_commands.transfer)


@app.command()
def train(
    specimen: str,
    out_: Annotated[Path | None, typer.Option("--out", help="Folder; by default trained/SPECIMEN.")] = None,
    split: Annotated[str, typer.Option(help="What it is trained on: train; glyphs also train-without-cm.")] = "train",
    seed: Annotated[int, typer.Option(help="Of initialisation and data.")] = 0,
) -> None:
    """Train a specimen by its recipe, resuming what the folder holds, and score it on held-out data."""
    from .registry import specimen as find
    from .specimen import finished

    chosen = find(specimen)
    folder = out_ or Path("trained") / (specimen if split == "train" else f"{specimen}-{split}")
    with interruptible(), bars(specimen) as progress:
        if finished(folder, specimen, split, seed):
            scores = chosen.evaluate(folder, split=split, progress=progress)
        else:
            scores = chosen.train(folder, seed=seed, split=split, progress=progress)
    print_scores(specimen, scores)
    out.print(f"Weights and card in {folder}", markup=False, soft_wrap=True)


@app.command()
def evaluate(
    specimen: str,
    weights: Annotated[Path | None, typer.Option(help="Folder of itinf train; by default the one shipped.")] = None,
) -> None:
    """Score a specimen on data held out from its training, beside what it has to reach."""
    from .registry import specimen as find
    from .specimen import read_card

    chosen = find(specimen)
    folder = weights or chosen.folder
    split = str(read_card(folder).get("split", "train"))
    with interruptible(), bars(specimen) as progress:
        scores = chosen.evaluate(folder, split=split, progress=progress)
    print_scores(specimen, scores)
    if not all(score.reached for score in scores):
        raise typer.Exit(1)


@app.command()
def merge(
    folders: Annotated[list[Path], typer.Argument(help="Results folders of one study, measured with --shard.")],
    out_: Annotated[Path, typer.Option("--out", help="Folder for the merged results.")],
) -> None:
    """Add up results of one study over different clusters."""
    from .run import Run
    from .run import merge as add

    if out_.exists() and any(out_.iterdir()):
        raise ItinfError(f"{out_} is not empty. Choose another --out.")
    run = add([Run.load(folder) for folder in folders])
    run.save(out_)
    pictures(run, out_)
    out.print(repr(run), markup=False, highlight=False, soft_wrap=True)


def main() -> None:
    """Entry point: a user's mistake is one message and exit code 2."""
    # before torch loads: idle threads that spin slow whatever else runs many times over
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app()
    except ItinfError as error:
        err.print(f"itinf: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)


def _data(source: str, network: Network, seed: int, length: int | None) -> Data:
    from .registry import dataset

    return dataset(source, network, seed=seed, length=length)


def _compare(plan: StudyFile, folder: Path, device: str, dtype: str, jobs: int) -> None:
    from reports.page import page

    from .entrants import measure_all, record, recorded, save

    with interruptible(), board() as told:
        both = measure_all(plan, folder, device, dtype, jobs, told)
    if first_process():
        if not recorded(both, folder):
            out.print("Drawing figures and the report …")
            save(both, plan, folder)
            pictures(both, folder, (*FIGURES, *LENS_FIGURES, "prediction") if both.transfers else FIGURES)
            report(both, folder, page)
            record(both, folder)
        out.print(repr(both), markup=False, highlight=False, soft_wrap=True)
        where = f"Results in {folder}\nReport: {(folder / REPORT).resolve()}"
        out.print(where, markup=False, highlight=False, soft_wrap=True)

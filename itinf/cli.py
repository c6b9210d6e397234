"""The command line: ``itinf list | check | probe | compare``; puts the parts together and prints."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from .arguments import options, parse_entrants, parse_shard, place, safe
from .console import bars, err, figures, out, print_blocks
from .errors import ItinfError

if TYPE_CHECKING:
    from .architecture import Network
    from .data import Data
    from .run import Run
    from .studyfile import Entrant, StudyFile

app = typer.Typer(
    help="Is depth iterative inference? The same probes for ResNets, Inception v1 and GPT-2.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
INTERRUPTED = 130
NETWORKS = "networks"

Weights = Annotated[str, typer.Option(help="random[:SEED], a weight file, a folder, a hub id, or pretrained.")]
Source = Annotated[str, typer.Option("--data", help="images:FOLDER, cifar10[:ROOT], glyphs, text:FILE or stdlib.")]
Option = Annotated[list[str] | None, typer.Option("--option", "-O", help="KEY=VALUE for the network, repeatable.")]
Units = Annotated[int, typer.Option(help="Images or tokens to measure.")]
Batch = Annotated[int, typer.Option(help="Images or sequences per forward pass; results do not depend on it.")]
Length = Annotated[int | None, typer.Option(help="Tokens per sequence.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps; auto takes what there is.")]
Dtype = Annotated[str, typer.Option(help="float32, float64 or bfloat16.")]
Seed = Annotated[int, typer.Option(help="Of the choice of clusters, their order and the bootstrap.")]
Group = Annotated[int, typer.Option(help="Clusters within which the nulls find their pairs.")]
Replicates = Annotated[int, typer.Option(help="Bootstrap replicates.")]
Untrained = Annotated[int, typer.Option(help="Random initialisations to measure beside the network.")]
Target = Annotated[list[str] | None, typer.Option(help="label, answer or model, repeatable; label by default.")]
Out = Annotated[Path, typer.Option("--out", help="Results folder; the same study there is resumed.")]

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

    opened = _open(network, weights, option)
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
    shard: Annotated[str | None, typer.Option(help="I/N: measure only the I-th of N parts, to be merged.")] = None,
) -> None:
    """Measure how each block's update aligns with the negative loss gradient."""
    opened = place(_open(network, weights, option), device, dtype)
    source = _data(data, opened, seed, length)
    settings: dict[str, Any] = {
        "units": units,
        "seed": seed,
        "group": group,
        "replicates": replicates,
        "untrained": untrained,
    }
    run = _probe(opened, source, target or ["label"], batch, out_, settings | {"shard": parse_shard(shard)})
    if run is not None:
        figures(run, out_)
        out.print(repr(run), markup=False, highlight=False, soft_wrap=True)
        print_blocks(run)
        out.print(f"Results in {out_}", markup=False, soft_wrap=True)


@app.command()
def compare(
    study: Annotated[list[str], typer.Argument(help="STUDY.toml, or NETWORK …", show_default=False)],
    data: Annotated[list[str] | None, typer.Option(help="One for all networks, or one for each in turn.")] = None,
    weights: Annotated[list[str] | None, typer.Option(help="One for all networks, or one for each in turn.")] = None,
    units: Units = 2000,
    batch: Batch = 64,
    out_: Out = RESULTS,
    device: Device = "auto",
    dtype: Dtype = "float32",
    seed: Seed = 0,
    untrained: Untrained = 0,
) -> None:
    """Measure several networks in the same way and lay them side by side."""
    from . import studyfile
    from .comparison import compare as lay
    from .files import write_text

    if len(study) == 1 and study[0].endswith(".toml"):
        plan = studyfile.read(Path(study[0]))
    else:
        entrants = parse_entrants(study, data or [], weights or [])
        plan = studyfile.StudyFile(entrants, units=units, batch=batch, seed=seed, untrained=untrained)
    names = [e.label or e.name for e in plan.networks]
    if len({safe(name) for name in names}) < len(names):
        raise ItinfError(
            f"Two networks share a name ({', '.join(names)}); give each a label of its own in a study file."
        )
    if out_.exists() and any(out_.iterdir()) and not (out_ / NETWORKS).is_dir():
        raise ItinfError(f"{out_} exists and holds no comparison. Choose another --out.")
    runs = [_entrant(plan, e, out_, device, dtype) for e in plan.networks]
    found = [run for run in runs if run is not None]
    if len(found) == len(runs) and found:
        both = lay(found)
        write_text(out_ / "study.toml", studyfile.write(plan))
        _save_comparison(both.table, found, out_)
        figures(both, out_)
        out.print(repr(both), markup=False, highlight=False, soft_wrap=True)
        out.print(f"Results in {out_}", markup=False, soft_wrap=True)


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
    figures(run, out_)
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


def _open(name: str, weights: str | None, option: list[str] | None) -> Network:
    from .registry import network

    return network(name, weights, **options(option))


def _data(source: str, network: Network, seed: int, length: int | None) -> Data:
    from .registry import dataset

    return dataset(source, network, seed=seed, length=length)


def _probe(
    network: Network, data: Data, targets: list[str], batch: int, folder: Path, settings: dict[str, Any]
) -> Run | None:
    """Runs a study with a progress bar; None in every process but the first."""
    from .probes import Alignment, Gain, Performance, Prediction, Probe, UpdateNorm
    from .study import probe as measure

    wanted: list[Any] = targets
    if wrong := [t for t in wanted if t not in ("label", "answer", "model")]:
        raise ItinfError(f"--target {wrong[0]!r}: expected label, answer or model.")
    seen = [t for t in wanted if t != "answer"]
    probes: list[Probe] = [
        Performance(),
        Alignment(targets=wanted),
        UpdateNorm(),
        Gain(targets=wanted),
        Prediction(targets=seen or ["label"]),
    ]
    try:
        with bars(network.name) as progress:
            run = measure(network, data, probes, batch=batch, out=folder, progress=progress, **settings)
    except KeyboardInterrupt:
        err.print("Interrupted. The same command goes on from the last save.", markup=False)
        raise typer.Exit(INTERRUPTED) from None
    return run if os.environ.get("RANK", "0") == "0" else None


def _entrant(plan: StudyFile, entrant: Entrant, folder: Path, device: str, dtype: str) -> Run | None:
    from .registry import network

    opened = network(entrant.name, entrant.weights, **entrant.options).named(entrant.label or entrant.name)
    opened = place(opened, device, dtype)
    source = _data(entrant.data, opened, plan.seed, entrant.length)
    settings = {
        "units": entrant.units or plan.units,
        "seed": plan.seed,
        "group": plan.group,
        "replicates": plan.replicates,
        "untrained": plan.untrained,
    }
    where = folder / NETWORKS / safe(opened.name)
    return _probe(opened, source, plan.targets, entrant.batch or plan.batch, where, settings)


def _save_comparison(table: Any, runs: list[Run], folder: Path) -> None:
    from .files import write_bytes, write_text

    write_bytes(folder / "measures.parquet", table.to_parquet(index=False))
    manifest = {"complete": True, "networks": {run.name: run.manifest for run in runs}}
    write_text(folder / "manifest.json", json.dumps(manifest, indent=2) + "\n")

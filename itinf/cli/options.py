"""Options of the command line, and functions that turn words into networks, data and studies."""

from __future__ import annotations

import json
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ItinfError
from ..lenses.kinds import BUILT_IN, DEFAULT, either

if TYPE_CHECKING:
    from ..data.dataset import Data
    from ..networks.network import Network
    from ..studies.study_file import Study, StudyNetwork

Weights = Annotated[
    str | None,
    typer.Option(
        help="Weights: specimen, random[:SEED], a weight file, a folder, a hub id, or pretrained; by default random, or for "
        "hf:FOLDER those in the folder."
    ),
]
Opened = Annotated[
    str,
    typer.Argument(
        metavar="NETWORK", help="Name in itinf list, torchvision:NAME, timm:NAME, or hf:FOLDER.", show_default=False
    ),
]
Source = Annotated[
    str, typer.Option("--data", help="Data: images:FOLDER, cifar10[:ROOT], glyphs, text:FILE or stdlib.")
]
Option = Annotated[
    list[str] | None, typer.Option("--option", "-O", help="Option KEY=VALUE of the network; repeatable.")
]
Units = Annotated[int, typer.Option(help="Number of images or tokens to measure.")]
Batch = Annotated[int, typer.Option(help="Images or sequences per forward pass; does not change results.")]
Length = Annotated[int | None, typer.Option(help="Tokens per sequence.")]
StudyUnits = Annotated[
    int | None, typer.Option(help="Images or tokens to measure for every network; by default as in the study.")
]
StudyBatch = Annotated[int | None, typer.Option(help="Images or sequences per forward pass; does not change results.")]
StudySeed = Annotated[
    int | None,
    typer.Option(help="Seed of the choice of clusters, their order and the bootstrap; by default as in the study."),
]
StudyUntrained = Annotated[
    int | None,
    typer.Option(help="Number of untrained copies to measure beside each network; by default as in the study."),
]
StudyDevice = Annotated[str | None, typer.Option(help="cpu, cuda or cuda:1; by default a CUDA GPU if there is one.")]
StudyDtype = Annotated[
    str | None, typer.Option(help="float32, float64, bfloat16 or float16; by default as in the study.")
]
StudyLens = Annotated[
    str | None,
    typer.Option(
        help=f"Kind of lens: {either(kind for kind in BUILT_IN if kind.transfers)}, an added kind, or none; "
        f"by default {DEFAULT} for networks with enough data to fit on."
    ),
]
Precision = Annotated[float, typer.Option(help="Stop when every retention is known to ± this.")]
StudyPrecision = Annotated[
    float | None, typer.Option(help="Stop when every retention is known to ± this; by default as in the study.")
]
Pairs = Annotated[
    bool,
    typer.Option(
        help="Read states also with the lens of every other state; --no-pairs is much faster in deep networks."
    ),
]
StudyPairs = Annotated[
    bool | None,
    typer.Option(
        "--pairs/--no-pairs",
        help="Transfer lenses to every other state; --no-pairs reads with own and shared lenses alone.",
    ),
]
Counterfactual = Annotated[
    bool,
    typer.Option(
        "--counterfactual",
        help="Read also what is carried and what is written: states with a part of another unit's.",
    ),
]
Jobs = Annotated[int, typer.Option(min=1, help="Number of networks measured at a time, each in its own process.")]
Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:1; auto takes a CUDA GPU if there is one.")]
Dtype = Annotated[str, typer.Option(help="float32, float64, bfloat16 or float16.")]
Seed = Annotated[int, typer.Option(help="Seed of the choice of clusters, their order and the bootstrap.")]
Group = Annotated[int, typer.Option(help="Clusters per group; nulls pair units within a group.")]
Replicates = Annotated[int, typer.Option(help="Number of bootstrap replicates.")]
Untrained = Annotated[int, typer.Option(help="Number of untrained copies to measure beside the network.")]
Target = Annotated[
    list[str] | None, typer.Option(help="Target of the loss: label, answer or model; repeatable; by default label.")
]
Measured = Annotated[
    list[str] | None,
    typer.Option("--measure", help="Probe that is measured beside the usual ones, such as lesion; repeatable."),
]
RESULTS = Path("results")
Out = Annotated[Path, typer.Option("--out", help="Results folder; if it holds the same study, the study is resumed.")]


def options(given: list[str] | None) -> dict[str, Any]:
    """``KEY=VALUE`` words as keyword arguments; a value is read as JSON if possible, else as text."""
    options: dict[str, Any] = {}
    for item in given or []:
        key, equals, value = item.partition("=")
        if not equals:
            raise ItinfError(f"--option {item!r} has no value: expected KEY=VALUE. Write e.g. --option depth=110.")
        try:
            options[key.replace("-", "_")] = json.loads(value.lower() if value.lower() in ("true", "false") else value)
        except json.JSONDecodeError:
            options[key.replace("-", "_")] = value
    return options


def parse_shard(given: str | None) -> tuple[int, int] | None:
    """``I/N`` as (i − 1, n)."""
    if given is None:
        return None
    first, _, total = given.partition("/")
    digits = (first + total).isascii() and first.isdigit() and total.isdigit() and len(first + total) < 20
    if not (digits and 1 <= int(first) <= int(total)):
        raise ItinfError(f"--shard {given!r}: expected I/N with 1 ≤ I ≤ N. Write e.g. --shard 1/2.")
    return int(first) - 1, int(total)


def opened_network(name: str, weights: str | None, option: list[str] | None) -> Network:
    """Opens the network with this name, weights and options."""
    from ..registry import network

    return network(name, weights, **options(option))


def study_from_words(words: list[str], data: list[str], weights: list[str], groups: list[str]) -> Study:
    """The study to compare: from a study file, or from names of networks; without words, the study of the specimens.

    Raises:
        ItinfError: data, weights or groups are given, but the study already has them.
    """
    from ..studies.demo import specimens_study
    from ..studies.study_file import Study, read_study

    if words and not (len(words) == 1 and words[0].endswith(".toml")):
        return Study(networks_from_words(words, data, weights, groups))
    if data or weights or groups:
        study = words[0] if words else "the study of the specimens"
        raise ItinfError(
            f"--data, --weights or --group was given, but {study} already has them. Leave them out, or name networks."
        )
    return read_study(Path(words[0])) if words else specimens_study()


def networks_from_words(names: list[str], data: list[str], weights: list[str], groups: list[str]) -> list[StudyNetwork]:
    """The networks with these names. Data, weights and groups are given once for all networks, or once for each.

    A network that is named several times, each time with other weights, has the weights in its label.
    """
    from ..studies.study_file import StudyNetwork

    def value_of(values: list[str], place: int, option: str) -> str | None:
        if len(values) not in (0, 1, len(names)):
            raise ItinfError(
                f"{option} was given {len(values)} times for {len(names)} networks. Give it once for all networks, or "
                "once for each network."
            )
        return None if not values else values[0] if len(values) == 1 else values[place]

    chosen = []
    for place, name in enumerate(names):
        source = value_of(data, place, "--data")
        if source is None:
            raise ItinfError(f"--data is missing: {name} needs data to be measured on. Add e.g. --data images:FOLDER.")
        own, group = value_of(weights, place, "--weights") or "", value_of(groups, place, "--group") or ""
        several = len(weights) == len(names) > 1 and names.count(name) > 1
        label = f"{name} {_short(own, weights)}" if several else ""
        chosen.append(StudyNetwork(name, source, label=label, weights=own, group=group))
    return chosen


def _short(weights: str, among: list[str]) -> str:
    """The last part of a path to weights, or all of it if other weights have the same last part."""
    last = [PurePath(other).name for other in among]
    return PurePath(weights).name if last.count(PurePath(weights).name) == 1 else weights


def opened_data(source: str, network: Network, seed: int, length: int | None) -> Data:
    """Opens the data set ``NAME[:ARGUMENT]``."""
    from ..registry import dataset

    return dataset(source, network, seed=seed, length=length)

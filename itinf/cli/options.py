"""Words on the command line, and what they become: networks, places, settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ItinfError
from ..lenses.kinds import BUILT_IN, DEFAULT, either

if TYPE_CHECKING:
    from ..data.dataset import Data
    from ..networks.network import Network
    from ..studies.study_file import Study, StudyNetwork

Weights = Annotated[
    str, typer.Option(help="specimen, random[:SEED], a weight file, a folder, a hub id, or pretrained.")
]
Source = Annotated[str, typer.Option("--data", help="images:FOLDER, cifar10[:ROOT], glyphs, text:FILE or stdlib.")]
Option = Annotated[list[str] | None, typer.Option("--option", "-O", help="KEY=VALUE for the network, repeatable.")]
Units = Annotated[int, typer.Option(help="Images or tokens to measure.")]
Batch = Annotated[int, typer.Option(help="Images or sequences per forward pass; results do not depend on it.")]
Length = Annotated[int | None, typer.Option(help="Tokens per sequence.")]
StudyUnits = Annotated[int | None, typer.Option(help="For every network; by default the study's own.")]
StudyBatch = Annotated[int | None, typer.Option(help="For every network; results do not depend on it.")]
StudySeed = Annotated[int | None, typer.Option(help="By default the study's own.")]
StudyUntrained = Annotated[int | None, typer.Option(help="By default the study's own.")]
StudyDevice = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps; by default what there is.")]
StudyDtype = Annotated[str | None, typer.Option(help="float32, float64 or bfloat16; by default the study's own.")]
StudyLens = Annotated[
    str | None,
    typer.Option(
        help=f"{either(kind for kind in BUILT_IN if kind.transfers)}, an added kind, or none; "
        f"by default {DEFAULT} where data are left to fit on."
    ),
]
Precision = Annotated[float, typer.Option(help="Stop when every retention is known to ± this.")]
StudyPrecision = Annotated[
    float | None, typer.Option(help="Stop when every retention is known to ± this; by default the study's own.")
]
Jobs = Annotated[int, typer.Option(min=1, help="Networks measured at a time, each in a process of its own.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps; auto takes what there is.")]
Dtype = Annotated[str, typer.Option(help="float32, float64 or bfloat16.")]
Seed = Annotated[int, typer.Option(help="Of the choice of clusters, their order and the bootstrap.")]
Group = Annotated[int, typer.Option(help="Clusters within which the nulls find their pairs.")]
Replicates = Annotated[int, typer.Option(help="Bootstrap replicates.")]
Untrained = Annotated[int, typer.Option(help="Random initialisations to measure beside the network.")]
Target = Annotated[list[str] | None, typer.Option(help="label, answer or model, repeatable; label by default.")]
RESULTS = Path("results")
Out = Annotated[Path, typer.Option("--out", help="Results folder; the same study there is resumed.")]


def options(given: list[str] | None) -> dict[str, Any]:
    """``KEY=VALUE`` words as keyword arguments; values are JSON where they parse, else text."""
    options: dict[str, Any] = {}
    for item in given or []:
        key, equals, value = item.partition("=")
        if not equals:
            raise ItinfError(f"--option {item!r}: expected KEY=VALUE, e.g. depth=110.")
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
    if not (first.isdigit() and total.isdigit() and 1 <= int(first) <= int(total)):
        raise ItinfError(f"--shard {given!r}: expected I/N with 1 ≤ I ≤ N, e.g. 1/2.")
    return int(first) - 1, int(total)


def opened_network(name: str, weights: str | None, option: list[str] | None) -> Network:
    """The network that the words name."""
    from ..registry import network

    return network(name, weights, **options(option))


def study_from_words(words: list[str], data: list[str], weights: list[str]) -> Study:
    """The comparison that is asked for: a study file, networks in a row, or with no words the specimens.

    Raises:
        ItinfError: data or weights beside a study that has its own.
    """
    from ..studies.demo import specimens_study
    from ..studies.study_file import Study, read_study

    if words and not (len(words) == 1 and words[0].endswith(".toml")):
        return Study(networks_from_words(words, data, weights))
    if data or weights:
        whose = words[0] if words else "the comparison of the specimens"
        raise ItinfError(f"--data and --weights were given, but {whose} has its own. Leave them out, or name networks.")
    return read_study(Path(words[0])) if words else specimens_study()


def networks_from_words(names: list[str], data: list[str], weights: list[str]) -> list[StudyNetwork]:
    """Networks named in a row, each with its data and weights: one given for all, or one for each."""
    from ..studies.study_file import StudyNetwork

    def one(given: list[str], place: int, what: str) -> str | None:
        if len(given) not in (0, 1, len(names)):
            raise ItinfError(f"{len(given)} times {what} for {len(names)} networks: give one for all, or one for each.")
        return None if not given else given[0] if len(given) == 1 else given[place]

    chosen = []
    for place, name in enumerate(names):
        source = one(data, place, "--data")
        if source is None:
            raise ItinfError(f"--data is missing: what should {name} be measured on? E.g. --data images:FOLDER.")
        chosen.append(StudyNetwork(name, source, weights=one(weights, place, "--weights") or "random"))
    return chosen


def opened_data(source: str, network: Network, seed: int, length: int | None) -> Data:
    """The data set that the words name."""
    from ..registry import dataset

    return dataset(source, network, seed=seed, length=length)

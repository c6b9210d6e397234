"""The commands ``itinf train`` and ``itinf evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import out, print_scores, progress_bars
from .options import Device, Option, options
from .signals import working


def train(
    specimen: Annotated[
        str, typer.Argument(help="Name of a specimen; with --data, of an image network.", show_default=False)
    ],
    out_: Annotated[
        Path | None, typer.Option("--out", help="Folder for weights and card; by default trained/SPECIMEN.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Images to train a network on, e.g. images:FOLDER; a specimen has its own.")
    ] = None,
    option: Option = None,
    images: Annotated[
        int, typer.Option(help="With --data: images to train on, each counted as often as it is seen.", min=1)
    ] = 160_000,
    split: Annotated[
        str, typer.Option(help="Split of the data to train on: train, or for glyphs also train-without-cm.")
    ] = "train",
    seed: Annotated[int, typer.Option(help="Seed of initialisation and data.")] = 0,
    device: Device = "auto",
) -> None:
    """Train a specimen by its recipe, or an image network on --data, and score it on held-out data.

    An interrupted training is resumed.
    """
    from ..networks.devices import device_named, require_float64
    from ..registry import specimen as find
    from ..training.classifier import Classifier
    from ..training.recipe import Recipe
    from ..training.specimen import Training, trained

    changes = options(option)
    recipe = Recipe(images=images, precision="float32")
    chosen: Training = find(specimen, **changes) if data is None else Classifier(specimen, data, changes, recipe)
    name = specimen if data is not None else chosen.name
    folder = out_ or Path("trained") / (name if split == "train" else f"{name}-{split}")
    place = device_named(device)
    require_float64(place)
    with working(), progress_bars(chosen.name) as progress:
        scores = trained(chosen, folder, seed=seed, split=split, device=place, progress=progress)
    print_scores(chosen.name, scores)
    out.print(f"Weights and card in {folder}", markup=False, soft_wrap=True)


def evaluate(
    specimen: str,
    weights: Annotated[
        Path | None, typer.Option(help="Folder written by itinf train; by default the weights that come with itinf.")
    ] = None,
    option: Option = None,
) -> None:
    """Score a specimen on data held out from its training, and print the bounds that it has to reach."""
    from ..registry import specimen as find
    from ..training.specimen import read_card

    chosen = find(specimen, **options(option))
    folder = weights or chosen.folder
    split = str(read_card(folder).get("split", "train"))
    with working(), progress_bars(chosen.name) as progress:
        scores = chosen.evaluate(folder, split=split, progress=progress)
    print_scores(chosen.name, scores)
    if not all(score.reached for score in scores):
        raise typer.Exit(1)

"""Specimens: small trained networks that come with their recipe, their data and a card of what they reach."""

from __future__ import annotations

import os
import platform
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Protocol

import tomli_w
import torch

from ..data.clusters import Progress
from ..errors import ItinfError
from ..files import damage, difference, digest, sweep, write_text
from ..lock import kept
from .loop import CHECKPOINT

CARD = "card.toml"


@dataclass(frozen=True)
class Score:
    """One figure on held-out data, and what it has to reach.

    Attributes:
        what: in words, with its unit.
        value: the figure.
        items: how many images or tokens it is taken over.
        bound: what it must reach; None where it is only told.
        better: on which side of the bound it has to lie.
    """

    what: str
    value: float
    items: int
    bound: float | None = None
    better: Literal["higher", "lower"] = "higher"

    @property
    def reached(self) -> bool:
        if self.bound is None:
            return True
        return self.value >= self.bound if self.better == "higher" else self.value < self.bound


class Specimen(Protocol):
    """A network with a recipe; entry points of the group ``itinf.specimens`` are objects of this kind.

    Attributes:
        name: also the name of the network it trains.
        data: what it is measured on, ``NAME[:ARGUMENT]``.
        units: how many images or tokens of it the default comparison takes.
        folder: where its trained weights and card are shipped.
    """

    @property
    def name(self) -> str: ...
    @property
    def data(self) -> str: ...
    @property
    def units(self) -> int: ...
    @property
    def folder(self) -> Path: ...

    def train(self, out: Path, *, seed: int, split: str, progress: Progress) -> list[Score]:
        """Trains into a folder, resuming what is there, and scores what was written.

        Args:
            out: folder for the weights and the card.
            seed: of initialisation and data.
            split: of the data set, what it is trained on.
            progress: called with (stage, steps done, steps in all).
        """

    def evaluate(self, folder: Path, *, split: str, progress: Progress) -> list[Score]:
        """Scores the weights of a folder on data held out from the training split ``split``."""


def write_card(
    folder: Path,
    specimen: str,
    split: str,
    seed: int,
    seconds: float,
    scores: Sequence[Score],
    **entries: dict[str, Any],
) -> None:
    """Writes ``card.toml``: how the weights beside it came to be, what they reach, and a hash of every file.

    Args:
        folder: of the weights.
        specimen: its name.
        split: of its data, what it was trained on.
        seed: of initialisation and data.
        seconds: of training.
        scores: on held-out data.
        **entries: further tables: ``data``, ``recipe``.
    """
    packages = ("torch", "torchvision", "transformers", "tokenizers", "numpy", "pillow", "matplotlib")
    listed = sorted(path for path in folder.glob("[!.]*") if path.is_file() and path.name not in (CARD, CHECKPOINT))
    card = {
        "specimen": specimen,
        "itinf": version("itinf"),
        "split": split,
        "seed": seed,
        "minutes": round(seconds / 60, 1),
        **entries,
        "scores": {s.what: round(s.value, 4) for s in scores},
        "bounds": {s.what: round(s.bound, 4) for s in scores if s.bound is not None},
        "circumstances": {
            "threads": torch.get_num_threads(),
            "cores": os.cpu_count() or 0,
            "platform": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
            "versions": {name: version(name) for name in packages},
        },
    }
    if listed:
        card["files"] = {path.name: digest(path.read_bytes()) for path in listed}
    write_text(folder / CARD, tomli_w.dumps(card))


def read_card(folder: Path) -> dict[str, Any]:
    """The card of a specimen's folder.

    Raises:
        ItinfError: it is missing or not TOML.
    """
    try:
        return tomllib.loads((folder / CARD).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ItinfError(f"{folder} has no {CARD}; expected a folder that `itinf train` has written.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ItinfError(f"{folder / CARD} is not TOML: {error}.") from error


def trained(specimen: Specimen, folder: Path, *, seed: int, split: str, progress: Progress) -> list[Score]:
    """Trains a specimen into a folder that this process keeps meanwhile; what stands there is scored again.

    Raises:
        ItinfError: the folder holds another training, or a damaged file, or another process is training there.
    """
    with kept(folder):
        sweep(folder)
        if finished(folder, specimen.name, split, seed):
            return specimen.evaluate(folder, split=split, progress=progress)
        return specimen.train(folder, seed=seed, split=split, progress=progress)


def finished(folder: Path, specimen: str, split: str, seed: int) -> bool:
    """Whether a folder already holds what this training would write.

    Raises:
        ItinfError: it holds another training's result, or files that are not what was written.
    """
    if not (folder / CARD).exists():
        return False
    card = read_card(folder)
    if (what := difference({"specimen": specimen, "split": split, "seed": seed}, card)) is not None:
        raise ItinfError(f"{folder} holds another training: {what}. Choose another --out.")
    for name, listed in card.get("files", {}).items():  # an older itinf listed none
        if why := damage(folder / name, listed):
            raise ItinfError(f"{folder / name} {why}. Remove {folder / CARD} to train again, or put the file back.")
    return True

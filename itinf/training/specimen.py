"""Specimens: small trained networks that come with their recipe, their data and a card with their scores."""

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
from ..errors import ItinfError, system_error
from ..files import damage, difference, digest, misfit, sweep, write_text
from ..lock import kept
from ..settings import whole
from .loop import CHECKPOINT

CARD = "card.toml"
SHAPE = {
    "specimen": str,
    "split?": str,
    "scores?": {str: int | float},
    "seed?": int,
    "files?": {str: {"size": int, "blake2b": str}},
}
"""The entries of a card that are read, see ``itinf.files.misfit``."""
MOST_SEED = 2**31 - 1
"""Seeds of batches are multiples of it, and have 64 bits."""


@dataclass(frozen=True)
class Score:
    """A score on held-out data, with the bound that it has to reach.

    Attributes:
        what: description of the score, with its unit.
        value: the score.
        items: number of images or tokens scored.
        bound: the value that it has to reach; None for no bound.
        better: whether higher or lower scores are better; of a control that has to fail, worse ones.
        bound_is: what the bound is, in words, where it is no fixed number.
    """

    what: str
    value: float
    items: int
    bound: float | None = None
    better: Literal["higher", "lower"] = "higher"
    bound_is: str = ""

    @property
    def reached(self) -> bool:
        if self.bound is None:
            return True
        return self.value >= self.bound if self.better == "higher" else self.value < self.bound


class Training(Protocol):
    """What ``itinf train`` runs.

    Attributes:
        name: it tells a training from others, but for seed and split.
    """

    @property
    def name(self) -> str: ...

    def train(self, out: Path, *, seed: int, split: str, device: str, progress: Progress) -> list[Score]:
        """Trains into a folder, or resumes the training there, and scores the weights.

        Args:
            out: folder for the weights and the card.
            seed: seed of initialisation and data.
            split: split of the data set to train on.
            device: where to train, for example "cpu" or "cuda".
            progress: called with (stage, steps done, all steps).
        """

    def evaluate(self, folder: Path, *, split: str, progress: Progress) -> list[Score]:
        """Scores the weights in a folder on data held out from the training split ``split``."""


class Specimen(Training, Protocol):
    """A network with a recipe. Entry points of the group ``itinf.specimens`` are objects of this protocol.

    Attributes:
        name: name of the specimen and of the network that it trains.
        data: data to measure it on, ``NAME[:ARGUMENT]``.
        units: number of images or tokens that the default comparison measures.
        folder: folder of the trained weights and the card that come with itinf.
    """

    @property
    def data(self) -> str: ...
    @property
    def units(self) -> int: ...
    @property
    def folder(self) -> Path: ...


def write_card(
    folder: Path,
    specimen: str,
    split: str,
    seed: int,
    seconds: float,
    scores: Sequence[Score],
    device: str = "cpu",
    **entries: dict[str, Any],
) -> None:
    """Writes ``card.toml``: how the weights were trained, their scores, and a hash of every file.

    Args:
        folder: folder of the weights.
        specimen: name of the specimen.
        split: split of the data that it was trained on.
        seed: seed of initialisation and data.
        seconds: training time.
        scores: scores on held-out data.
        device: where it was trained.
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
            "device": device if device == "cpu" else torch.cuda.get_device_name(device),
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
    """Reads the card in the folder of a specimen.

    Raises:
        ItinfError: the card is missing, or not TOML, or no card.
    """
    try:
        card = tomllib.loads((folder / CARD).read_text(encoding="utf-8"))
        if wrong := misfit(card, SHAPE, CARD):
            raise ValueError(wrong)
        return card
    except (FileNotFoundError, NotADirectoryError):
        raise ItinfError(f"{folder} has no {CARD}; expected a folder that `itinf train` has written.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ItinfError(f"{folder / CARD} is not TOML: {error}. Restore the file, or train again.") from error
    except (RecursionError, ValueError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise ItinfError(f"{folder / CARD} cannot be read ({why}). Restore the file, or train again.") from error
    except OSError as error:
        raise system_error(error, str(folder / CARD), "be read") from error


def trained(
    specimen: Training, folder: Path, *, seed: int, split: str, device: str = "cpu", progress: Progress
) -> list[Score]:
    """Runs a training into a folder, which is locked meanwhile. A finished training there is only scored again.

    Raises:
        ItinfError: the folder holds another training or a damaged file, or another process is training there.
    """
    seed = whole("seed", seed, 0, most=MOST_SEED)
    try:
        items = {path.name for path in folder.iterdir()} if folder.exists() else set()
    except OSError as error:
        raise system_error(error, str(folder), "be read") from error
    # of a training whose card was removed there are weights; hidden files are of nobody
    ours = any(name in (CARD, CHECKPOINT) or Path(name).suffix in (".safetensors", ".json") for name in items)
    if not ours and not all(name.startswith(".") for name in items):
        raise ItinfError(f"{folder} exists and holds no training of itinf. Choose another --out.")
    with kept(folder):
        sweep(folder)
        if finished(folder, specimen.name, split, seed):
            return specimen.evaluate(folder, split=split, progress=progress)
        return specimen.train(folder, seed=seed, split=split, device=device, progress=progress)


def finished(folder: Path, specimen: str, split: str, seed: int) -> bool:
    """Whether a folder already holds the finished result of this training.

    Raises:
        ItinfError: the folder holds the result of another training, or damaged files.
    """
    if not (folder / CARD).exists():
        return False
    card = read_card(folder)
    if (why := difference({"specimen": specimen, "split": split, "seed": seed}, card)) is not None:
        raise ItinfError(f"{folder} holds another training: {why}. Choose another --out.")
    for name, listed in card.get("files", {}).items():  # cards of an older itinf list no files
        if why := damage(folder / name, listed):
            raise ItinfError(f"{folder / name} {why}. Remove {folder / CARD} to train again, or restore the file.")
    return True

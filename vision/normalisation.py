"""Mean and standard deviation of a network's input: the user's, those stored with the weights, or ImageNet's."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torchvision.models import WeightsEnum

from itinf import ItinfError
from itinf.networks.weights import random_seed, split_choice

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
BESIDE = ("model.safetensors", "pytorch_model.bin")
"""Names of weights in a Hugging Face folder, whose other files describe them."""


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of the channels, in units of the 0–1 range.

    Attributes:
        mean, std: of red, green and blue.
        source: where they come from, for the record.
        doubt: a sentence if another source says something else, else "".
    """

    mean: tuple[float, float, float] = MEAN
    std: tuple[float, float, float] = STD
    source: str = "ImageNet's, by default"
    doubt: str = ""

    @property
    def note(self) -> dict[str, Any]:
        """For the record, JSON-ready."""
        return {"mean": list(self.mean), "std": list(self.std), "from": self.source}


IMAGENET = Normalisation()


def normalisation(
    name: str, weights: str | None, mean: Any = None, std: Any = None, release: WeightsEnum | None = None
) -> Normalisation:
    """The normalisation of a network's input.

    The options come first; then what is stored with the weights (the metadata of a safetensors file; ``config.json`` of
    timm and ``preprocessor_config.json`` in a Hugging Face folder) or what a release says; then ImageNet's.

    Args:
        name: name of the network.
        weights: its weights: a file, with or without a reading of it, or a source that is no file.
        mean, std: the options of the user: one number, or one for each of three channels; None for no option.
        release: the published weights that the file holds; None for others.

    Raises:
        ItinfError: an option is wrong, only one of the two is given, or two sources disagree and no option decides.
    """
    stored = _stored(weights)
    if release is not None:
        preset = release.transforms()
        stored = [Normalisation(tuple(preset.mean), tuple(preset.std), str(release))]
    if mean is None and std is None:
        if not stored:
            return IMAGENET
        if any((one.mean, one.std) != (stored[0].mean, stored[0].std) for one in stored[1:]):
            said = "; ".join(f"{one.source}: mean {one.mean}, std {one.std}" for one in stored)
            raise ItinfError(f"{name}: the files of the weights disagree ({said}). Decide by the options mean and std.")
        return stored[0]
    if mean is None or std is None:
        raise ItinfError(f"{name}: {'std' if std is None else 'mean'} is missing; give both options, mean and std.")
    chosen = Normalisation(_three(name, "mean", mean), _three(name, "std", std), "options mean and std")
    other = next((one for one in stored if (one.mean, one.std) != (chosen.mean, chosen.std)), None)
    if other is None:
        return chosen
    doubt = (
        f"The inputs of {name} have mean {chosen.mean} and std {chosen.std} by option, but {other.source} says "
        f"{other.mean} and {other.std}."
    )
    logging.getLogger("itinf").warning(doubt)
    return Normalisation(chosen.mean, chosen.std, chosen.source, doubt)


def _three(name: str, option: str, value: Any) -> tuple[float, float, float]:
    given = value.strip("[]() ").split(",") if isinstance(value, str) else value
    try:
        numbers = [float(number) for number in (given if isinstance(given, Sequence) else [given])]
    except (TypeError, ValueError):
        numbers = []
    numbers = numbers * 3 if len(numbers) == 1 else numbers
    low = 0 if option == "std" else -1
    if len(numbers) != 3 or not all(low < number <= 2 for number in numbers):
        raise ItinfError(
            f"{name}: {option} is {value!r}; expected one number or three, such as [0.485, 0.456, 0.406], in units of the "
            "0–1 range. Divide values for pixels from 0 to 255 by 255."
        )
    return numbers[0], numbers[1], numbers[2]


def _stored(weights: str | None) -> list[Normalisation]:
    """What the files of the weights say."""
    if random_seed(weights) is not None:
        return []
    path, _ = split_choice(str(weights))
    try:
        if not path.is_file():
            return []
    except OSError:  # too long a name, for one; the weights are read later, and refused there
        return []
    found = [_of(_header(path), f"the metadata of {path.name}")]
    if path.name in BESIDE:
        for name in ("config.json", "preprocessor_config.json"):
            found.append(_of(_json(path.with_name(name)), name))
    return [one for one in found if one is not None]


def _of(entries: Any, source: str) -> Normalisation | None:
    """What the entries of one file say; None if they say nothing."""
    if not isinstance(entries, dict):
        return None
    inner = entries.get("pretrained_cfg")  # timm
    entries = _decoded(inner) if isinstance(_decoded(inner), dict) else entries
    if entries.get("do_normalize") is False:
        return Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), source)
    mean, std = (_decoded(entries.get(f"image_{key}", entries.get(key))) for key in ("mean", "std"))
    if mean is None or std is None:
        return None
    return Normalisation(_three(source, "mean", mean), _three(source, "std", std), source)


def _header(path: Path) -> Any:
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except Exception:  # the weights themselves are read later, and refused there
        return {}


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise ItinfError(f"{path} cannot be read as JSON ({error}). Write it again, or remove it.") from error


def _decoded(value: Any) -> Any:
    """A value that metadata keep as text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value

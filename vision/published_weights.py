"""Published weights of image networks: the download, the recorded origin, and checks of options."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision import models

from itinf import ItinfError
from itinf.networks.weights import random_seed


def require_counts(name: str, **counts: int | None) -> None:
    """Refuses options that are not whole numbers of at least 1; None is accepted."""
    for option, value in counts.items():
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ItinfError(f"{name}: {option} is {value!r}; expected a whole number of at least 1.")


def named_outputs(name: str, classes: Any) -> tuple[Any, list[str] | None]:
    """Number of outputs and their names, from the option ``classes`` of a network.

    Args:
        name: name of the network.
        classes: a number, which is passed on unchecked; or names in order of the outputs: a list, or the path of a UTF-8
            file with one name per line.

    Raises:
        ItinfError: the file cannot be read, or names are missing, empty or there twice.
    """
    if classes is None or not isinstance(classes, str | Sequence):
        return classes, None
    if isinstance(classes, str):
        try:
            names = Path(classes).expanduser().read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ItinfError(
                f"{name}: classes is {classes!r}, which is no number and no file that can be read ({error}). Expected "
                "the number of outputs, or a UTF-8 file with one class name per line, in order of the outputs."
            ) from error
        while names and not names[-1].strip():
            names.pop()
    else:
        names = list(classes)
    if not names or not all(isinstance(one, str) and one.strip() for one in names) or len(set(names)) < len(names):
        raise ItinfError(
            f"{name}: classes gives {len(names)} names; expected a name for each output, none empty and none twice."
        )
    return len(names), [one.strip() for one in names]


def refuse_classes(name: str, outputs: int | None, names: Sequence[str] | None) -> None:
    """Refuses a number of classes for published weights, whose head is fixed; 1,000 names may replace its own."""
    if outputs is not None and (names is None or len(names) != 1000):
        raise ItinfError(
            f"{name}: pretrained weights have ImageNet's head, but classes={outputs} was given. "
            "Leave classes out, or give a weight file with a head of that size."
        )


def origin(weights: str | None, release: models.WeightsEnum | None = None) -> str:
    """The origin of the parameters, for the record: ``random:SEED``, the file, or the name of the release."""
    seed = random_seed(weights)
    if seed is not None:
        return f"random:{seed}"
    return str(release) if weights == "pretrained" else str(weights)


def download(release: models.WeightsEnum) -> dict[str, Tensor]:
    """Tensors of a torchvision release, from torch's cache, or downloaded.

    Raises:
        ItinfError: the file is not in the cache and cannot be downloaded, or it is damaged.
    """
    try:
        with redirect_stdout(sys.stderr):
            return release.get_state_dict(check_hash=True, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ItinfError(
            f"The pretrained weights {release} could not be downloaded ({error}). Go online, or download {release.url} "
            f"on another machine and put it into {torch.hub.get_dir()}/checkpoints, or give its path as weights."
        ) from error

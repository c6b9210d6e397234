"""Published weights of image networks: the download, recognised by its content, and checks of options."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torchvision import models

from itinf import ItinfError
from itinf.networks.weights import random_seed, split_choice
from itinf.settings import whole


def require_counts(name: str, **counts: int | None) -> None:
    """Refuses options that are not whole numbers of at least 1; None is accepted."""
    for option, value in counts.items():
        whole(f"{name}: {option}", value, 1, optional=True)


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


def published_file(
    name: str, weights: str | None, release: models.WeightsEnum, outputs: int | None, names: Sequence[str] | None
) -> str | None:
    """The weights as ``build`` takes them: ``pretrained`` becomes the file of a torchvision release.

    It is taken from torch's cache, or downloaded.

    Raises:
        ItinfError: a number of outputs is given, but the release has a fixed head, whose 1,000 names alone can be
            replaced; the file is not in the cache and cannot be downloaded, or it is not the release.
    """
    if weights != "pretrained":
        return weights
    if outputs is not None and (names is None or len(names) != 1000):
        raise ItinfError(
            f"{name}: pretrained weights have ImageNet's head, but classes={outputs} was given. "
            "Leave classes out, or give a weight file with a head of that size."
        )
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(release.url).name
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with redirect_stdout(sys.stderr):
                torch.hub.download_url_to_file(release.url, str(path), _hash(release))
        except Exception as error:
            raise ItinfError(
                f"The pretrained weights {release} could not be downloaded ({error}). Go online, or download "
                f"{release.url} on another machine and put it into {path.parent}, or give its path as weights."
            ) from error
    if not is_release(str(path), release):
        raise ItinfError(
            f"{path} is not the file that {release} names, or it is damaged. Delete it; it is fetched again."
        )
    return str(path)


def is_release(weights: str | None, release: models.WeightsEnum) -> bool:
    """Whether a file holds a torchvision release, by its content: the name of a release ends with a part of its hash."""
    if random_seed(weights) is not None:
        return False
    with split_choice(str(weights))[0].open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest().startswith(_hash(release))


def _hash(release: models.WeightsEnum) -> str:
    return Path(release.url).stem.rpartition("-")[2]

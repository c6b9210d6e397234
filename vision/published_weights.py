"""Published weights of image networks: the download, the recorded origin, and checks of options."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout

import torch
from torch import Tensor
from torchvision import models

from itinf import ItinfError
from itinf.networks.weights import random_seed
from itinf.settings import whole


def require_counts(name: str, **counts: int | None) -> None:
    """Refuses options that are not whole numbers of at least 1; None is accepted."""
    for option, value in counts.items():
        whole(f"{name}: {option}", value, 1, optional=True)


def refuse_classes(name: str, classes: int | None) -> None:
    """Refuses a number of classes for published weights, whose head is fixed."""
    if classes is not None:
        raise ItinfError(
            f"{name}: pretrained weights have ImageNet's head, but classes={classes} was given. "
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

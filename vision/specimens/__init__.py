"""The image specimens: small networks trained on glyphs; their weights are in folders beside this file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from itinf import Network
from itinf.training.specimen import read_card

from ..cifar_resnet import cifar_isotropic, cifar_isotropic_plain, cifar_resnet
from ..glyphs import CLASSES
from ..inception import googlenet

FOLDER = Path(__file__).parent
WEIGHTS = "model.safetensors"
PIXELS = 64
"""Side of the glyphs for Inception; with 32 pixels its last feature maps would be 1 × 1."""


def resnet(weights: str | None = None) -> Network:
    """Specimen: ResNet of 38 layers (three stages, option-A shortcuts), for glyphs.

    Args:
        weights: ``specimen`` for the weights that come with itinf; else as for ``cifar_resnet``.
    """
    return _open("resnet", lambda w: cifar_resnet(w, 38, classes=len(CLASSES)), weights)


def resnet_isotropic(weights: str | None = None) -> Network:
    """Specimen: ResNet of 10 blocks, all of width 32 at 16 × 16, for glyphs.

    ``weights`` as for ``resnet``.
    """
    return _open("resnet-isotropic", lambda w: cifar_isotropic(w, blocks=10, classes=len(CLASSES)), weights)


def iterative(weights: str | None = None) -> Network:
    """Specimen: resnet-isotropic with one block applied 10 times, with the loss at every depth, for glyphs.

    Each application of the block has BatchNorms of its own. ``weights`` as for ``resnet``.
    """
    return _open("iterative", lambda w: cifar_isotropic(w, blocks=10, share=True, classes=len(CLASSES)), weights)


def plain_isotropic(weights: str | None = None) -> Network:
    """Specimen: the layers of resnet-isotropic without skips, for glyphs.

    ``weights`` as for ``resnet``.
    """
    return _open("plain-isotropic", lambda w: cifar_isotropic_plain(w, blocks=10, classes=len(CLASSES)), weights)


def inception(weights: str | None = None) -> Network:
    """Specimen: Inception v1, for glyphs of 64 pixels.

    ``weights`` as for ``resnet``.
    """
    return _open(
        "inception", lambda w: googlenet(w, classes=len(CLASSES), in_size=PIXELS, transform_input=False), weights
    )


def _open(name: str, make: Callable[[str | None], Network], weights: str | None) -> Network:
    if weights != "specimen":
        return replace(make(weights), name=name)
    scores = read_card(FOLDER / name).get("scores", {})
    opened = make(str(FOLDER / name / WEIGHTS))
    return replace(opened, name=name, weights="specimen", classes=CLASSES, scores=scores)

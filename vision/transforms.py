"""Functions that turn PIL images into the inputs that image classifiers expect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor
from torchvision.models import WeightsEnum
from torchvision.transforms import functional as F
from torchvision.transforms._presets import ImageClassification

from itinf import ItinfError

from .normalisation import IMAGENET, MEAN, STD, Normalisation

SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")
"""Modes of Pillow for grey pixels of 16 bits; its own conversion would clip them to 8."""


@dataclass(frozen=True)
class Prepare:
    """PIL image of any mode -> (3, side, side) float32, standardised.

    Attributes:
        side: side of the tensor in pixels.
        look: mean and standard deviation of its channels, and where they come from.
        preset: the evaluation transform of a release, which resizes the shorter side and crops the centre; None resizes
            the whole image, if its size differs.
    """

    side: int
    look: Normalisation = IMAGENET
    preset: ImageClassification | None = None

    def __call__(self, image: Image.Image) -> Tensor:
        image = rgb(image)
        if self.preset is not None:
            return self.preset(image)
        if image.size != (self.side, self.side):
            image = F.resize(image, [self.side, self.side])
        return F.normalize(F.to_tensor(image), self.look.mean, self.look.std)

    @property
    def note(self) -> dict[str, Any]:
        """How it makes inputs, JSON-ready."""
        crop = {} if self.preset is None else {"resize": self.preset.resize_size[0], "crop": self.side}
        return {"side": self.side, **crop, **self.look.note}


def imagenet(side: int, look: Normalisation | None = None, release: WeightsEnum | None = None) -> Prepare:
    """The evaluation transform for ImageNet at 224 pixels (shorter side to 256, centre crop); else the whole image.

    Args:
        side: side of the model's input in pixels.
        look: mean and standard deviation.
        release: published weights, which may come with another transform at 224 pixels.
    """
    look = look or IMAGENET
    if side != 224:
        return Prepare(side, look)
    preset = ImageClassification(crop_size=224) if release is None else release.transforms()
    preset.mean, preset.std = list(look.mean), list(look.std)
    return Prepare(side, look, preset)


def whole(image: Image.Image, side: int) -> Tensor:
    """The whole image as a normalised tensor; it is resized only if its size differs.

    Args:
        image: an image of any mode; read as RGB.
        side: side of the tensor in pixels.

    Returns:
        (3, side, side) float32, standardised by ``MEAN`` and ``STD`` (in units of the 0–1 range).
    """
    return Prepare(side)(image)


def normalised(pixels: Tensor) -> Tensor:
    """Pixels (…, 3, H, W) in the range 0–1, standardised by ``MEAN`` and ``STD``."""
    return F.normalize(pixels, MEAN, STD)


def rgb(image: Image.Image) -> Image.Image:
    """An image as 8-bit RGB: 16-bit grey is scaled, transparency is dropped, as torchvision does.

    Raises:
        ItinfError: the pixels are floats or whole numbers of 32 bits, whose range is not known.
    """
    if image.mode in SIXTEEN_BITS or (image.mode == "I" and image.format == "PPM"):  # Pillow's PGM of 16 bits
        image = Image.fromarray(np.rint(np.asarray(image) / 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        kind = "whole numbers of 32 bits" if image.mode == "I" else "floats"
        raise ItinfError(f"The image has {kind} for pixels, whose range is not known. Save it with 8 or 16 bits.")
    return image.convert("RGB")

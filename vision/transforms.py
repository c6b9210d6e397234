"""From PIL images to model inputs, as published image classifiers expect them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from PIL import Image
from torch import Tensor
from torchvision.transforms import functional as F
from torchvision.transforms._presets import ImageClassification

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def whole(image: Image.Image, side: int) -> Tensor:
    """The whole image as a normalised tensor, resized only where it is not ``side`` already.

    Args:
        image: any mode; read as RGB.
        side: pixels.

    Returns:
        (3, side, side) float32, standardised by ``MEAN`` and ``STD`` (in units of the 0–1 range).
    """
    image = image.convert("RGB")
    if image.size != (side, side):
        image = F.resize(image, [side, side])
    return normalised(F.to_tensor(image))


def normalised(pixels: Tensor) -> Tensor:
    """Pixels (…, 3, H, W) of the 0–1 range, standardised by ``MEAN`` and ``STD``."""
    return F.normalize(pixels, MEAN, STD)


def imagenet(side: int) -> Callable[[Image.Image], Tensor]:
    """The ImageNet evaluation transform at 224 pixels (shorter side to 256, centre crop); else ``whole``.

    Args:
        side: pixels of the model's input.

    Returns:
        PIL image -> (3, side, side) float32.
    """
    return cropped(ImageClassification(crop_size=224)) if side == 224 else partial(whole, side=side)


def cropped(preset: ImageClassification) -> Callable[[Image.Image], Tensor]:
    """A torchvision preset that reads every image as RGB: PIL image -> (3, crop, crop) float32."""
    return partial(_cropped, preset=preset)


def _cropped(image: Image.Image, preset: ImageClassification) -> Tensor:
    return preset(image.convert("RGB"))

"""Functions that turn PIL images into the inputs that published image classifiers expect."""

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
    """The whole image as a normalised tensor; it is resized only if its size differs.

    Args:
        image: an image of any mode; read as RGB.
        side: side of the tensor in pixels.

    Returns:
        (3, side, side) float32, standardised by ``MEAN`` and ``STD`` (in units of the 0–1 range).
    """
    image = image.convert("RGB")
    if image.size != (side, side):
        image = F.resize(image, [side, side])
    return normalised(F.to_tensor(image))


def normalised(pixels: Tensor) -> Tensor:
    """Pixels (…, 3, H, W) in the range 0–1, standardised by ``MEAN`` and ``STD``."""
    return F.normalize(pixels, MEAN, STD)


def imagenet(side: int) -> Callable[[Image.Image], Tensor]:
    """The ImageNet evaluation transform at 224 pixels (shorter side to 256, centre crop); else ``whole``.

    Args:
        side: side of the model's input in pixels.

    Returns:
        PIL image -> (3, side, side) float32.
    """
    return cropped(ImageClassification(crop_size=224)) if side == 224 else partial(whole, side=side)


def cropped(preset: ImageClassification) -> Callable[[Image.Image], Tensor]:
    """A torchvision preset for images of any mode, read as RGB: PIL image -> (3, crop, crop) float32."""
    return partial(_cropped, preset=preset)


def _cropped(image: Image.Image, preset: ImageClassification) -> Tensor:
    return preset(image.convert("RGB"))

"""What a user gives for a trajectory, as a batch that the network reads, with its texts and pictures."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...data.dataset import IGNORED, Batch
from ...data.forms import EXPECTED, FormError, image_item, text_item, token_item
from ...data.pictures import read_picture
from ...errors import ItinfError, nearest, shown
from ...networks.network import Network

SIDE = 384
"""Longest side in pixels of a picture that is kept to be shown."""


@dataclass(frozen=True)
class Given:
    """Items for a trajectory.

    Attributes:
        batch: as the network reads it; a token's target is the next token, the last token's is not known.
        names: of the items.
        pictures: PNG of each item; None where it is no picture.
    """

    batch: Batch
    names: list[str]
    pictures: list[bytes | None]


def given(network: Network, inputs: Any) -> Given:
    """A batch from one of the forms that ``itinf.trajectory`` takes.

    Raises:
        ItinfError: another form, a text or a picture that the network cannot prepare, or a file that is no picture.
    """
    if isinstance(inputs, Batch):
        return _of_batch(network, inputs, [f"item {n}" for n in range(len(inputs))])
    if isinstance(inputs, str | os.PathLike | Image.Image):
        return _of_picture(network, inputs) if network.unit == "image" else _of_text(network, inputs)
    if isinstance(inputs, Tensor):
        return _of_tensor(network, inputs)
    try:
        form = {"image": image_item, "token": token_item, "text": text_item}[network.unit]
        item, target = form(inputs)
    except FormError as error:
        what = "a text" if network.unit != "image" else "the path of a picture, a PIL image"
        raise ItinfError(
            f"What was given {error}; expected {what}, a tensor, an itinf.Batch, or an item of a data set: "
            f"{EXPECTED[network.unit]}."
        ) from None
    return _of_batch(network, _batch(item[None], target[None]), ["item 0"])


def _batch(inputs: Tensor, targets: Tensor) -> Batch:
    return Batch(inputs, targets, np.arange(len(inputs), dtype=np.uint64))


def _of_batch(network: Network, batch: Batch, names: list[str]) -> Given:
    if not len(batch):
        raise ItinfError("The batch is empty; expected at least one item.")
    return Given(batch, names, [picture_of(network, one) for one in batch.inputs])


def _of_tensor(network: Network, inputs: Tensor) -> Given:
    if network.unit == "image":
        inputs = inputs[None] if inputs.ndim == 3 else inputs
        targets = torch.full(inputs.shape[:1], IGNORED)
    else:
        inputs = inputs[None] if inputs.ndim == 1 else inputs
        if inputs.ndim != 2 or inputs.is_floating_point() or not inputs.numel():
            raise ItinfError(
                f"Token ids of shape {tuple(inputs.shape)} and {inputs.dtype} were given; expected whole numbers (T,) or (N, T)."
            )
        targets = _next(inputs) if network.unit == "token" else torch.full(inputs.shape[:1], IGNORED)
    return _of_batch(network, _batch(inputs, targets), [f"item {n}" for n in range(len(inputs))])


def _next(ids: Tensor) -> Tensor:
    """For each of (N, T) ids the next one; the last has none."""
    return torch.cat([ids[:, 1:], torch.full_like(ids[:, :1], IGNORED)], 1).to(torch.int64)


def _prepare(network: Network, what: str) -> Callable[[Any], Tensor]:
    if network.prepare is None:
        gives = "PIL image -> (C, H, W) float tensor" if network.unit == "image" else "text -> (T,) ids"
        raise ItinfError(
            f"{network.name} has no prepare, so {what} cannot become its input. Give a tensor, or open the network with "
            f"Network(…, prepare=function): {gives}."
        )
    return network.prepare


def _of_text(network: Network, text: Any) -> Given:
    if not isinstance(text, str):
        raise ItinfError(f"{network.name} reads {network.unit}s, and {shown(text)} was given; expected a text.")
    ids = _prepare(network, "a text")(text)
    if ids.ndim != 1 or not len(ids):
        raise ItinfError(f"The text {shown(text)} has no token. Give a text of one token or more.")
    targets = _next(ids[None]) if network.unit == "token" else torch.tensor([IGNORED])
    return Given(_batch(ids[None], targets), [text], [None])


def _of_picture(network: Network, source: Any) -> Given:
    prepare = _prepare(network, "a picture")

    def both(image: Image.Image) -> tuple[Tensor, bytes]:
        return prepare(image), _png(image.convert("RGB"))

    if isinstance(source, Image.Image):
        (tensor, png), name = both(source), "picture"
    else:
        path = Path(source)
        if not path.is_file():
            siblings = [p.name for p in path.parent.iterdir() if p.is_file()] if path.parent.is_dir() else []
            raise ItinfError(f"There is no picture {str(path)!r}. {nearest(path.name, siblings)}")
        (tensor, png), name = read_picture(path, both), path.name
    return Given(_batch(tensor[None], torch.tensor([IGNORED])), [name], [png])


def picture_of(network: Network, tensor: Tensor, side: int = SIDE) -> bytes | None:
    """An input as a PNG of at most ``side`` pixels, in its colours before it was standardised, where these are known."""
    if network.unit != "image" or tensor.ndim != 3 or tensor.shape[0] not in (1, 3):
        return None
    pixels = tensor.detach().to("cpu", torch.float64)
    look = getattr(network.prepare, "look", None)
    if look is not None and len(look.mean) == len(pixels):
        mean, std = (torch.tensor(value, dtype=torch.float64)[:, None, None] for value in (look.mean, look.std))
        pixels = pixels * std + mean
    else:
        pixels = (pixels - pixels.min()) / (pixels.max() - pixels.min()).clamp_min(1e-12)
    grey = (pixels.clamp(0, 1) * 255).round().to(torch.uint8).expand(3, -1, -1).permute(1, 2, 0)
    return _png(Image.fromarray(grey.contiguous().numpy()), side)


def _png(image: Image.Image, side: int = SIDE) -> bytes:
    image = image.copy()
    image.thumbnail((side, side))
    content = io.BytesIO()
    image.save(content, format="png")
    return content.getvalue()

"""Glyphs: a data set of generated colour images of letters and digits, which needs no download."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from itinf import Data, ItinfError, Network

from .images import head_classes, image_prepare, input_note

# A-Z a-z 0-9 with look-alikes merged: 62 characters, 16 merges, 46 classes.
CLASSES = (
    *("0Oo", "1Il", "Cc", "Jj", "Kk", "Mm", "Pp", "Ss", "Uu", "Vv", "Ww", "Xx", "Yy", "Zz"),
    *"23456789",
    *"ABDEFGHLNQRT",
    *"abdefghinqrt",
)

# Text faces that come with matplotlib. Its other faces have symbols, boxes, or no letters.
HELD_OUT = {
    "DejaVu": ("DejaVuSansMono-Bold", "DejaVuSerif-Italic"),
    "STIX": ("STIXGeneralBol", "STIXGeneralItalic"),
    "Computer Modern": ("cmb10", "cmtt10"),
}
TRAINED = {
    "DejaVu": (
        *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
        *("DejaVuSansMono", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique"),
        *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-BoldItalic"),
    ),
    "STIX": ("STIXGeneral", "STIXGeneralBolIta"),
    "Computer Modern": ("cmr10", "cmss10"),
}
SPLITS = {
    "train": tuple(face for family in TRAINED.values() for face in family),
    "test": tuple(face for family in HELD_OUT.values() for face in family),
    "test-dejavu": HELD_OUT["DejaVu"],
    "test-stix": HELD_OUT["STIX"],
    "test-cm": HELD_OUT["Computer Modern"],
    "train-without-cm": TRAINED["DejaVu"] + TRAINED["STIX"],
    "all-cm": TRAINED["Computer Modern"] + HELD_OUT["Computer Modern"],
}
TRAIN_ITEMS, TEST_ITEMS = 40_000, 10_000
SIZES = range(16, 257)
LUMA = np.array([0.299, 0.587, 0.114])


class Glyphs(Data):
    """Images of one glyph each, drawn when they are read; item i depends only on (seed, split, i).

    Args:
        split: a key of ``SPLITS``, which selects the faces.
        seed: seed of the images.
        size: side of the images in pixels.
        prepare: PIL image -> (C, H, W) float tensor.
    """

    unit = "image"

    def __init__(self, split: str, seed: int, size: int, prepare: Any) -> None:
        self.split, self.seed, self.size, self.prepare = split, seed, size, prepare
        self.faces = SPLITS[split]
        self.name = f"glyphs:{size}/{split}"
        self.note = {
            "split": split,
            "seed": seed,
            "size": size,
            "items": len(self),
            "faces": list(self.faces),
            "classes": list(CLASSES),
            "pixels": self._fingerprint(),
        } | input_note(prepare, {})

    def __len__(self) -> int:
        return TRAIN_ITEMS if self.split.startswith("train") else TEST_ITEMS

    def key(self, index: int) -> str:
        return f"{self.split}/{self.seed}/{index}"

    def pixels(self, index: int) -> tuple[np.ndarray, int]:
        """The image before ``prepare``, (size, size, 3) uint8, and its class."""
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name} has no item {index}; its items are 0 … {len(self) - 1}.")
        key = hashlib.blake2b(self.key(index).encode(), digest_size=16).digest()
        return draw(Generator(np.random.Philox(key=int.from_bytes(key, "little"))), self.faces, self.size)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Input (C, H, W) and its class ()."""
        pixels, label = self.pixels(index)
        return self.prepare(Image.fromarray(pixels)), torch.tensor(label)

    def _fingerprint(self) -> str:
        digest = hashlib.blake2b(digest_size=16)
        for index in range(64):
            digest.update(self.pixels(index)[0].tobytes())
        return digest.hexdigest()


def glyphs(argument: str | None, network: Network, *, split: str = "test", seed: int = 0, **_: object) -> Glyphs:
    """Generated colour images of A-Z a-z 0-9 in 46 classes, in faces not trained on: glyphs[:PIXELS].

    Args:
        argument: side of the images in pixels, 32 by default; ``network.prepare`` resizes them if needed.
        network: a network with ``prepare`` and a head of 46 classes.
        split: ``"train"`` (40,000 images); ``"test"`` (10,000 images, two held-out faces of each font family;
            ``"test-dejavu"``, ``"test-stix"``, ``"test-cm"`` for one family); or ``"train-without-cm"`` and
            ``"all-cm"``, which hold out all faces of Computer Modern.
        seed: seed of the images.

    Raises:
        ItinfError: the size is out of range, there is no such split, or the network does not fit.
    """
    prepare = image_prepare(network, "glyphs")
    if split not in SPLITS:
        raise ItinfError(f"glyphs has no split {split!r}; expected one of {', '.join(SPLITS)}.")
    size = int(argument) if argument and argument.isascii() and argument.isdigit() else 32 if argument is None else 0
    if size not in SIZES:
        raise ItinfError(
            f"glyphs was given {argument!r}; expected glyphs:PIXELS with {SIZES[0]} … {SIZES[-1]}, such as glyphs:64."
        )
    outputs = head_classes(network)
    if outputs not in (None, len(CLASSES)):
        raise ItinfError(
            f"{network.name} has {outputs} classes, glyphs has {len(CLASSES)}. "
            f"Open the network with {len(CLASSES)} classes: --option classes={len(CLASSES)}."
        )
    if network.classes is not None and tuple(network.classes) != CLASSES:
        raise ItinfError(
            f"{network.name} has other classes ({', '.join(network.classes[:3])} …) than glyphs ({', '.join(CLASSES[:3])} …). "
            "Use a network that was trained on glyphs, or whose classes have no names."
        )
    return Glyphs(split, seed, size, prepare)


def draw(rng: Generator, faces: tuple[str, ...], size: int) -> tuple[np.ndarray, int]:
    """Draws one glyph on a cluttered background.

    Returns:
        (size, size, 3) uint8 and the class, an index into ``CLASSES``.
    """
    label = int(rng.integers(len(CLASSES)))
    back = rng.random(3)
    ink = _ink(rng, back)
    ground = Image.new("RGB", (size, size), _rgb(back))
    _scribble(rng, ground, back)
    for _ in range(rng.integers(3)):
        stray = CLASSES[rng.integers(len(CLASSES))][0]
        ground.paste(
            _rgb(_faint(rng, back)),
            mask=_place(rng, _mask(faces[rng.integers(len(faces))], stray, size), size, edge=True),
        )
    members = CLASSES[label]
    mask = _mask(faces[rng.integers(len(faces))], members[rng.integers(len(members))], size)
    ground.paste(_rgb(ink), mask=_place(rng, mask, size, edge=False))
    noise = 255 * rng.uniform(0, 0.1) * rng.standard_normal((size, size, 3), dtype=np.float32)
    return np.clip(np.asarray(ground) + noise, 0, 255).astype(np.uint8), label


def _ink(rng: Generator, back: np.ndarray) -> np.ndarray:
    while abs(LUMA @ ((ink := rng.random(3)) - back)) < 0.3:
        pass
    return ink


def _faint(rng: Generator, back: np.ndarray) -> np.ndarray:
    return back + rng.uniform(0.15, 0.45) * (rng.random(3) - back)


def _rgb(colour: np.ndarray) -> tuple[int, int, int]:
    red, green, blue = (255 * colour).astype(int).tolist()
    return red, green, blue


def _scribble(rng: Generator, ground: Image.Image, back: np.ndarray) -> None:
    """Draws faint lines and blobs, at most two of each."""
    pen, size = ImageDraw.Draw(ground), ground.width
    for _ in range(rng.integers(3)):
        x, y, r = rng.random(3) * (size, size, size / 4)
        pen.ellipse((x - r, y - r, x + r, y + r), fill=_rgb(_faint(rng, back)))
    for _ in range(rng.integers(3)):
        ends = rng.random(4) * size
        pen.line(ends.tolist(), fill=_rgb(_faint(rng, back)), width=max(1, round(size * rng.uniform(0.02, 0.08))))


@lru_cache(maxsize=4096)
def _mask(face: str, character: str, size: int) -> Image.Image:
    """The mask of a glyph, cropped to its ink; its em is 1.5 times the side of the image."""
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{face}.ttf"
    # Basic layout: the other layout engine is an optional library, so pixels would depend on the machine.
    font = ImageFont.truetype(str(path), 3 * size // 2, layout_engine=ImageFont.Layout.BASIC)
    left, top, right, bottom = font.getbbox(character)
    mask = Image.new("L", (int(right - left) + 2, int(bottom - top) + 2))
    ImageDraw.Draw(mask).text((1 - left, 1 - top), character, fill=255, font=font)
    return mask


def _place(rng: Generator, mask: Image.Image, size: int, edge: bool) -> Image.Image:
    """A mask that is rotated, slanted, scaled and placed in a (size, size) image: inside it, or cut by its edge."""
    turn, slant, em = rng.uniform(-0.2, 0.2), rng.uniform(-0.25, 0.25), rng.uniform(0.65, 1.1)
    cos, sin = np.cos(turn), np.sin(turn)
    matrix = np.array([[cos, -sin], [sin, cos]]) @ np.array([[1, slant], [0, 1]]) * (em / 1.5)
    half = np.abs(matrix) @ mask.size / 2
    shrink = min(1.0, 0.46 * size / half.max())
    matrix, half = matrix * shrink, half * shrink
    if edge:
        angle = rng.uniform(0, 2 * np.pi)
        towards = np.array([np.cos(angle), np.sin(angle)])
        centre = size / 2 + towards / np.abs(towards).max() * size * rng.uniform(0.5, 0.6)
    else:
        centre = size / 2 + rng.uniform(-0.9, 0.9, 2) * (size / 2 - half)
    inverse = np.linalg.inv(matrix)
    offset = np.array(mask.size) / 2 - inverse @ centre
    coefficients = (*inverse[0], offset[0], *inverse[1], offset[1])
    return mask.transform((size, size), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)

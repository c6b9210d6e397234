"""Training the image specimens on glyphs: ``itinf train resnet``."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor

from itinf import ItinfError, Network
from itinf.data.clusters import Progress
from itinf.files import write_bytes
from itinf.training.loop import finish, train
from itinf.training.recipe import Recipe, half, optimizer
from itinf.training.specimen import Score, write_card
from itinf.training.states import states

from .glyphs import TRAIN_ITEMS, Glyphs
from .specimens import FOLDER, PIXELS, WEIGHTS, inception, iterative, plain_isotropic, resnet, resnet_isotropic
from .transforms import normalised

HELD_OUT = {
    "train": {"DejaVu": "test-dejavu", "STIX": "test-stix", "Computer Modern": "test-cm"},
    "train-without-cm": {"Computer Modern": "all-cm"},
}
"""Training split -> font family -> split with faces that are not in training."""
SCORED = 2000
"""Number of images scored per font family."""


@dataclass(frozen=True)
class ImageSpecimen:
    """An image network, its recipe, and the accuracy that it has to reach.

    Attributes:
        name: name of the specimen and of its network.
        make: weights -> network.
        size: side of its glyphs in pixels.
        recipe: its training.
        gates: pairs of a training split and the top-1 accuracy that every font family has to reach.
        units: number of images that the default comparison measures.
    """

    name: str
    make: Callable[[str | None], Network]
    recipe: Recipe
    size: int = 32
    gates: tuple[tuple[str, float], ...] = (("train", 0.90), ("train-without-cm", 0.85))
    units: int = 800

    @property
    def data(self) -> str:
        return "glyphs" if self.size == 32 else f"glyphs:{self.size}"

    @property
    def folder(self) -> Path:
        return FOLDER / self.name

    def train(self, out: Path, *, seed: int, split: str, device: str = "cpu", progress: Progress) -> list[Score]:
        """Trains into ``model.safetensors``, see ``itinf.training.specimen.Specimen``."""
        self._held_out(split)
        recipe = self.recipe
        stream = _Stream(split, seed, self.size)
        data = stream.note()
        network = self.make(f"random:{seed}")
        model = network.model.to(device).to(memory_format=torch.channels_last).train()
        steps = recipe.images // recipe.batch

        def loss_at(step: int) -> Tensor:
            images, labels = (batch.to(device) for batch in stream.batch(step * recipe.batch, recipe.batch))
            with torch.autocast(torch.device(device).type, getattr(torch, recipe.precision)):
                logits = _at_every_state(network, images) if recipe.deep_supervision else [model(images)]
            return torch.stack([F.cross_entropy(read.float(), labels) for read in logits]).mean()

        study = {"specimen": self.name, "seed": seed, "data": data, "recipe": asdict(recipe)}
        optimizers = [optimizer(model, recipe)]
        seconds = train(model, optimizers, loss_at, steps, out, study, clip=recipe.clip or None, progress=progress)
        write_bytes(out / WEIGHTS, save(half(model)))
        scores = self.evaluate(out, split=split, progress=progress)
        how = {"command": f"itinf train {self.name} --split {split} --seed {seed}", "steps": steps, **asdict(recipe)}
        write_card(out, self.name, split, seed, seconds, scores, device, data=data, recipe=how)
        finish(out)
        return scores

    def evaluate(self, folder: Path, *, split: str, progress: Progress) -> list[Score]:
        """Top-1 accuracy in every font family held out from ``split``, see ``itinf.training.specimen.Specimen``."""
        families = self._held_out(split)
        network = self.make(str(folder / WEIGHTS))
        bound = dict(self.gates).get(split)
        scores = []
        for family, held_out in families.items():
            data = Glyphs(held_out, 0, self.size, None)
            right = 0
            for start in range(0, SCORED, 200):
                progress(f"scoring {family}", start, SCORED)
                images, labels = _tensors([data.pixels(i) for i in range(start, min(start + 200, SCORED))])
                with torch.no_grad():
                    right += int((network.model(images).argmax(1) == labels).sum())
            progress(f"scoring {family}", SCORED, SCORED)
            what = f"top-1 accuracy, {family} ({', '.join(data.faces)})"
            scores.append(Score(what, right / SCORED, SCORED, bound))
        return scores

    def _held_out(self, split: str) -> dict[str, str]:
        """Font family -> split to score on, after a training on ``split``."""
        if split not in HELD_OUT:
            raise ItinfError(f"{self.name} is trained on the split {' or '.join(HELD_OUT)}; given {split!r}.")
        return HELD_OUT[split]


class _Stream:
    """An endless stream of glyphs: after each round through the data set, the next round has a new seed."""

    def __init__(self, split: str, seed: int, size: int) -> None:
        self.split, self.seed, self.size = split, seed, size
        # studies measure seed 0; training uses seeds from 1
        self.round = lru_cache(maxsize=2)(lambda n: Glyphs(split, 1000 * seed + n + 1, size, None))

    def batch(self, start: int, count: int) -> tuple[Tensor, Tensor]:
        """Images (N, 3, H, W) and labels (N,)."""
        return _tensors([self.round(i // TRAIN_ITEMS).pixels(i % TRAIN_ITEMS) for i in range(start, start + count)])

    def note(self) -> dict[str, Any]:
        """The record of the data, with a hash of the pixels of the first 1000 images."""
        digest = hashlib.blake2b(digest_size=16)
        for i in range(1000):
            digest.update(self.round(0).pixels(i)[0].tobytes())
        return {
            "name": f"glyphs:{self.size}/{self.split}",
            "faces": list(self.round(0).faces),
            "pixels_of_the_first_1000": digest.hexdigest(),
        }


def _at_every_state(network: Network, images: Tensor) -> list[Tensor]:
    """The logits of the network's own readout of h_0 … h_L, in training.

    Raises:
        ItinfError: the states differ in width.
    """
    with states(network.model, [block.name for block in network.blocks]) as found:
        network.model(images)
    widths = sorted({network.width(state) for state in found})
    if len(widths) > 1:
        raise ItinfError(
            f"{network.name} has states of width {', '.join(map(str, widths))}, and deep_supervision=True reads all of them with "
            "one readout. Leave it out of the recipe, or train a network of one width."
        )
    return [network.readout(state) for state in found]


def _tensors(drawn: list[tuple[np.ndarray, int]]) -> tuple[Tensor, Tensor]:
    pixels = torch.from_numpy(np.stack([image for image, _ in drawn]))  # (N, H, W, 3) uint8
    images = normalised(pixels.permute(0, 3, 1, 2).float().div_(255))
    return images.contiguous(memory_format=torch.channels_last), torch.tensor([label for _, label in drawn])


RESNET = ImageSpecimen("resnet", resnet, Recipe(images=240_000))
RESNET_ISOTROPIC = ImageSpecimen("resnet-isotropic", resnet_isotropic, Recipe(images=320_000))
ITERATIVE = ImageSpecimen(
    "iterative", iterative, Recipe(images=320_000, deep_supervision=True), gates=(("train", 0.90),)
)
PLAIN_ISOTROPIC = ImageSpecimen("plain-isotropic", plain_isotropic, Recipe(images=320_000), gates=())
# Without skips, the first gradients of early layers are many times larger: too large for one learning rate of SGD.
INCEPTION = ImageSpecimen(
    "inception",
    inception,
    Recipe(images=160_000, batch=64, learning_rate=1e-3, weight_decay=0.05, optimizer="AdamW", clip=0.0),
    size=PIXELS,
)

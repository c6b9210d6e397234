"""Training any registered image network on any registered images: ``itinf train cifar-resnet20 --data images:FOLDER``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor

from .. import registry
from ..data.clusters import Progress
from ..errors import ItinfError
from ..files import write_bytes
from .loop import finish, train
from .recipe import Recipe, half, optimizer
from .specimen import Score, write_card

if TYPE_CHECKING:
    from ..data.dataset import Data
    from ..networks.network import Network

WEIGHTS = "model.safetensors"
PADDED = 4
"""Pixels that a training image may move in each direction."""
HELD_OUT, MOST_SCORED = "test", 10_000
"""Split that is scored, and how many of its images at most."""


@dataclass(frozen=True)
class Classifier:
    """An image network that is trained on a data set; it follows ``itinf.training.specimen.Specimen``.

    Each round through the training images has a new order, and moves and mirrors every image at random.

    Attributes:
        network: its name in the registry; ``options``: its options.
        source: the data set, ``NAME[:ARGUMENT]``.
        recipe: the training.
    """

    network: str
    source: str
    options: Mapping[str, Any] = field(default_factory=dict)
    recipe: Recipe = field(default_factory=lambda: Recipe(images=160_000, precision="float32"))

    @property
    def name(self) -> str:
        """All that tells this training from others, but seed and split."""
        options = [f"{name}={value}" for name, value in sorted(self.options.items())]
        return " ".join([self.network, *options, "on", self.source, f"for {self.recipe.images} images"])

    def train(self, out: Path, *, seed: int, split: str, device: str = "cpu", progress: Progress) -> list[Score]:
        """Trains into ``model.safetensors``, see ``Specimen``.

        Raises:
            ItinfError: the network does not read images, or the data set has no such split.
        """
        recipe = self.recipe
        network = self._opened(f"random:{seed}")
        data = registry.dataset(self.source, network, split=split)
        model = network.model.to(device).to(memory_format=torch.channels_last).train()
        order = lru_cache(maxsize=2)(
            lambda turn: torch.randperm(len(data), generator=torch.Generator().manual_seed(1000 * seed + turn)).tolist()
        )

        def loss_at(step: int) -> Tensor:
            seen = range(step * recipe.batch, (step + 1) * recipe.batch)
            images, labels = _batch(data, [order(i // len(data))[i % len(data)] for i in seen])
            images, labels = moved(images).to(device, memory_format=torch.channels_last), labels.to(device)
            precise = getattr(torch, recipe.precision)
            with torch.autocast(torch.device(device).type, precise, enabled=precise != torch.float32):
                logits = model(images)
            return F.cross_entropy(logits.float(), labels)

        note = {"name": data.name, **data.note}
        study = {"specimen": self.name, "seed": seed, "data": note, "recipe": asdict(recipe)}
        steps = recipe.images // recipe.batch
        optimizers = [optimizer(model, recipe)]
        seconds = train(model, optimizers, loss_at, steps, out, study, clip=recipe.clip or None, progress=progress)
        write_bytes(out / WEIGHTS, save(half(model)))
        scores = self.evaluate(out, split=split, progress=progress)
        how = {"network": self.network, "options": dict(self.options), "steps": steps, **asdict(recipe)}
        write_card(out, self.name, split, seed, seconds, scores, device, data=note, recipe=how)
        finish(out)
        return scores

    def evaluate(self, folder: Path, *, split: str, progress: Progress) -> list[Score]:
        """Top-1 accuracy and loss on the test images, see ``Specimen``."""
        network = self._opened(str(folder / WEIGHTS))
        data = registry.dataset(self.source, network, split=HELD_OUT)
        count, right, loss = min(len(data), MOST_SCORED), 0, 0.0
        for start in range(0, count, 200):
            progress("scoring", start, count)
            images, labels = _batch(data, range(start, min(start + 200, count)))
            with torch.no_grad():
                logits = network.model(images)
            right += int((logits.argmax(1) == labels).sum())
            loss += float(F.cross_entropy(logits, labels, reduction="sum"))
        progress("scoring", count, count)
        return [
            Score(f"top-1 accuracy, {data.name}", right / count, count),
            Score(f"loss in nats, {data.name}", loss / count, count, better="lower"),
        ]

    def _opened(self, weights: str) -> Network:
        network = registry.network(self.network, weights, **self.options)
        if network.unit != "image":
            raise ItinfError(
                f"{self.network} reads {network.unit}s, and --data trains image networks. Name a network for images."
            )
        return network


def moved(images: Tensor) -> Tensor:
    """Images (N, C, H, W), each moved by up to ``PADDED`` pixels and every other one mirrored, by torch's random numbers.

    Pixels that move in have the mean colour.
    """
    count, _, height, width = images.shape
    padded = F.pad(images, [PADDED] * 4)
    down, right = torch.randint(2 * PADDED + 1, (2, count, 1))
    rows, columns = torch.arange(height) + down, torch.arange(width) + right
    columns = torch.where(torch.rand(count, 1) < 0.5, columns.flip(1), columns)
    every = torch.arange(count)[:, None, None]
    return padded.permute(0, 2, 3, 1)[every, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _batch(data: Data, places: Any) -> tuple[Tensor, Tensor]:
    """Images (N, C, H, W) and labels (N,)."""
    items = [data[place] for place in places]
    return torch.stack([image for image, _ in items]), torch.stack([label for _, label in items])

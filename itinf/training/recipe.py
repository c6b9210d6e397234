"""The recipe of the training of an image network: its optimizer, and the tensors that are written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Recipe:
    """The training of an image network.

    Attributes:
        images: total number of images, counted as often as they are seen.
        batch: images per step.
        learning_rate: peak learning rate.
        weight_decay: weight decay of kernels and matrices; other parameters have none.
        optimizer: "SGD" (Nesterov momentum 0.9) or "AdamW".
        clip: largest norm of the gradient; 0 for no limit.
        precision: dtype of matrix products; weights and their updates stay float32.
        deep_supervision: the loss is the mean over h_0 … h_L of the loss of the network's own readout of the state, in
            place of the loss at h_L alone. All states need the width of the last.
    """

    images: int
    batch: int = 128
    learning_rate: float = 0.1
    weight_decay: float = 5e-4
    optimizer: str = "SGD"
    clip: float = 1.0
    precision: str = "bfloat16"
    deep_supervision: bool = False


def optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The optimizer of a recipe, with weight decay on kernels and matrices alone."""
    weights = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": weights, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    if recipe.optimizer == "AdamW":
        return torch.optim.AdamW(groups, lr=recipe.learning_rate)
    return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=0.9, nesterov=True)


def half(model: nn.Module) -> dict[str, Tensor]:
    """The tensors of the model, those that modules share once; kernels and matrices in float16, vectors unchanged."""
    first = {id(value): name for name, value in reversed([*_named(model)])}
    kept = {name for name, value in _named(model) if first[id(value)] == name}
    tensors = {n: v for n, v in model.state_dict().items() if n in kept and not n.endswith("num_batches_tracked")}
    return {name: (v.half() if v.ndim > 1 else v).contiguous() for name, v in tensors.items()}


def _named(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Every parameter and buffer under each of its names."""
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)

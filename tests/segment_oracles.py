"""Networks whose states are given: every unit brings its own path through depth."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import itinf
from itinf import Batch, Block, Network, trace
from itinf.results.row import Row
from measured import measure, view
from oracles import batch, mean, normal


class _To(nn.Module):
    """A block that adds what the input holds for it."""

    def forward(self, h: Tensor, step: Tensor) -> Tensor:
        return h + step


class _Path(nn.Module):
    """The input is h_0 and the steps, one after the other in its channels."""

    def __init__(self, width: int, steps: int) -> None:
        super().__init__()
        self.width = width
        self.blocks = nn.ModuleList(_To() for _ in range(steps))
        self.head = nn.Linear(width, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        h, *steps = inputs.split(self.width, 1)
        for block, step in zip(self.blocks, steps, strict=True):
            h = block(h, step)
        return self.head(mean(h))


def path_network(width: int, steps: int) -> Network:
    """A network of images whose blocks add what the input holds; in float64."""
    model = _Path(width, steps).to(torch.float64)
    blocks = [Block(f"blocks.{i}", input=0) for i in range(steps)]
    return Network(model, blocks, layout="n c h w", head=model.head, pool=mean)


def path_batch(start: Tensor, steps: list[Tensor]) -> Batch:
    """The batch that gives ``path_network`` the states start, start + steps[0], …; each (N, C)."""
    return batch(torch.cat([start, *steps], 1)[:, :, None, None])


def walk(units: int, width: int, steps: int, seed: int = 0) -> tuple[Tensor, list[Tensor]]:
    """Independent steps, all of one variance, the start too."""
    first, *rest = (normal(units, width, seed=1000 * seed + k) for k in range(steps + 1))
    return first, rest


def numbers(
    probe: itinf.Probe, start: Tensor, steps: list[Tensor], size: int = 32
) -> dict[tuple[str, str, str], list[float]]:
    """(measure, form, null) -> its numbers by depth."""
    network = path_network(start.shape[1], len(steps))
    return by_depth(measure(view(network, trace(network, path_batch(start, steps)), size=size), [probe]).values)


def by_depth(values: dict[Row, float]) -> dict[tuple[str, str, str], list[float]]:
    """(measure, form, null) -> numbers of the states in order."""
    found: dict[tuple[str, str, str], list[float]] = {}
    for row in sorted(values, key=lambda row: row.state or 0):
        found.setdefault((row.measure, row.form, row.null), []).append(values[row])
    return found

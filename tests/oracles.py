"""Networks whose answers are known by construction."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import itinf
from itinf import Batch, Block, Network


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def batch(inputs: Tensor, targets: Tensor | None = None) -> Batch:
    """Inputs with targets (all 0 where none are given) and keys 1, 2, …"""
    targets = torch.zeros(len(inputs), dtype=torch.int64) if targets is None else targets
    return Batch(inputs, targets, np.arange(1, len(inputs) + 1, dtype=np.uint64))


def mean(state: Tensor) -> Tensor:
    return state.mean((2, 3))


class Chain(nn.Module):
    """Blocks in a row, then the mean over pixels and a head; the input is h_0 itself."""

    def __init__(self, blocks: list[nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.blocks, self.head = nn.ModuleList(blocks), head

    def forward(self, h: Tensor) -> Tensor:
        for block in self.blocks:
            h = block(h)
        return self.head(mean(h))


class Residual(nn.Module):
    """h + F(h), with F = ``branch``."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, h: Tensor) -> Tensor:
        return h + self.branch(h)


def opened(model: nn.Module, branch: str | None = None, head: nn.Module | None = None) -> Network:
    """A model with ``blocks`` and ``head`` as a network of images, in float64."""
    blocks = [Block(f"blocks.{i}", branch=branch) for i in range(len(model.get_submodule("blocks")))]
    model.to(torch.float64)
    return Network(model, blocks, layout="n c h w", head=head or model.get_submodule("head"), pool=mean)


def smooth(width: int = 6, blocks: int = 4, classes: int = 10, gain: float = 0.5) -> Network:
    """h + tanh branches on (N, width, 2, 2) states: analytic in every input, so Taylor's theorem holds."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        branches = [
            nn.Sequential(nn.Conv2d(width, width, 1), nn.Tanh(), nn.Conv2d(width, width, 1)) for _ in range(blocks)
        ]
        model = Chain([Residual(b) for b in branches], nn.Linear(width, classes))
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1 + gain)
    return opened(model, branch="branch")


def smooth_batch(n: int = 5, width: int = 6, classes: int = 10) -> Batch:
    return batch(normal(n, width, 2, 2, seed=1), torch.arange(n) % classes)


class _DescentStep(nn.Module):
    """One step of gradient descent on the cross-entropy of the head, its gradient written out by hand."""

    def __init__(self, head: nn.Linear, step: float) -> None:
        super().__init__()
        self._head, self.step = [head], step

    def forward(self, h: Tensor, goal: Tensor) -> Tensor:
        (head,) = self._head
        residual = head(mean(h)).softmax(1) - goal  # (N, classes)
        return h - self.step * (residual @ head.weight)[:, :, None, None]


class _Descent(nn.Module):
    def __init__(self, width: int, classes: int, blocks: int, step: float) -> None:
        super().__init__()
        self.width = width
        self.head = nn.Linear(width, classes)
        self.blocks = nn.ModuleList(_DescentStep(self.head, step) for _ in range(blocks))

    def forward(self, inputs: Tensor) -> Tensor:
        h, goal = inputs[:, : self.width], inputs[:, self.width :, 0, 0]
        for block in self.blocks:
            h = block(h, goal)
        return self.head(mean(h))


def descent(width: int = 8, classes: int = 5, blocks: int = 4, step: float = 0.3, head: float = 1.0) -> Network:
    """Blocks that are gradient descent on their own readout loss; inputs carry the label, see ``descent_batch``."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = _Descent(width, classes, blocks, step)
    with torch.no_grad():
        model.head.weight.mul_(head)
    return opened(model)


def descent_batch(n: int = 40, width: int = 8, classes: int = 5) -> Batch:
    label = torch.arange(n) % classes
    goal = F.one_hot(label, classes).double()[:, :, None, None]
    return batch(torch.cat([normal(n, width, 1, 1), goal], 1), label)


class _Bowl(nn.Module):
    """(N, width) -> two logits whose cross-entropy against label 0 is exactly ½|h − centre|².

    Cross-entropy of (u, 0) against label 0 is log(1 + exp(−u)), so u = −log(expm1(½|h − centre|²)).
    """

    def __init__(self, centre: Tensor) -> None:
        super().__init__()
        self.centre = nn.Parameter(centre)

    def forward(self, h: Tensor) -> Tensor:
        loss = (h - self.centre).square().sum(1) / 2
        u = -torch.expm1(loss).log()
        return torch.stack([u, torch.zeros_like(u)], 1)


class _QuadraticStep(nn.Module):
    """Gradient descent on ½|h − centre|²: the distance is multiplied by 1 − step."""

    def __init__(self, centre: Tensor, step: float) -> None:
        super().__init__()
        self.step = step
        self.register_buffer("centre", centre[:, None, None].clone())

    def forward(self, h: Tensor) -> Tensor:
        return h - self.step * (h - self.centre)


def quadratic(width: int = 5, blocks: int = 6, step: float = 1.5) -> Network:
    """Gradient descent on an isotropic quadratic which the readout's cross-entropy equals; labels are 0.

    With step 1.5 every block overshoots, h_l − c = −½ (h_{l−1} − c): it goes down its readout loss
    and down the loss seen from before the block, and up the loss seen from after it.
    """
    centre = normal(width, seed=2)
    return opened(Chain([_QuadraticStep(centre, step) for _ in range(blocks)], _Bowl(centre)))


class _Noise(nn.Module):
    """h + isotropic noise that knows nothing of h, the same at every call."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def forward(self, h: Tensor) -> Tensor:
        return h + torch.randn(h.shape, generator=generator(self.seed), dtype=h.dtype)


def noise(width: int = 16, blocks: int = 2, classes: int = 4) -> Network:
    """Random updates."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return opened(Chain([_Noise(10 + i) for i in range(blocks)], nn.Linear(width, classes)))


class _Repeated(nn.Module):
    def __init__(self, width: int, times: int) -> None:
        super().__init__()
        self.block, self.head, self.times = Residual(nn.Conv2d(width, width, 1)), nn.Linear(width, 3), times

    def forward(self, h: Tensor) -> Tensor:
        for _ in range(self.times):
            h = self.block(h)
        return self.head(mean(h))


def repeated(calls: list[int | None], width: int = 4, times: int = 2) -> Network:
    """One module that runs ``times`` times; ``calls`` are those that are blocks."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = _Repeated(width, times).to(torch.float64)
    blocks = [Block("block", branch="branch", call=call) for call in calls]
    return Network(model, blocks, layout="n c h w", head=model.head, pool=mean)


class _Careless(nn.Module):
    """Works in place inside blocks, between them, and before the pool."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_CarelessBlock(width) for _ in range(3))
        self.neck, self.head = nn.ReLU(inplace=True), nn.Linear(width, 3)

    def forward(self, h: Tensor) -> Tensor:
        for place, block in enumerate(self.blocks):
            h = block(h if place == 0 else h.mul_(0.5))
        return self.head(mean(self.neck(h)))


class _CarelessBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = nn.Conv2d(width, width, 1)

    def forward(self, h: Tensor) -> Tensor:
        out = self.branch(h)
        out += h
        return out.tanh_()


def careless(width: int = 4) -> Network:
    """A network that works in place on its branches and on its states; its bridges multiply by ½, its neck is a ReLU."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = _Careless(width).to(torch.float64)
    blocks = [Block(name, branch="branch") for name in itinf.modules(model, _CarelessBlock)]
    return Network(model, blocks, layout="n c h w", head=model.head, pool=mean, neck=model.neck)


def part_of(batch: Batch, start: int, stop: int) -> Batch:
    """The clusters of a batch from ``start`` to ``stop``."""
    return Batch(batch.inputs[start:stop], batch.targets[start:stop], batch.keys[start:stop])

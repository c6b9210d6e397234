"""Networks whose persistence is known by construction, and persistence recomputed without itinf."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from itinf import Network
from oracles import Chain, normal, opened

WIDTH, CLASSES = 6, 4


def head(seed: int = 0) -> nn.Linear:
    """A linear head with rows that are not orthogonal."""
    made = nn.Linear(WIDTH, CLASSES)
    with torch.no_grad():
        made.weight.copy_(normal(CLASSES, WIDTH, seed=seed))
        made.bias.copy_(normal(CLASSES, seed=seed + 1))
    return made


class _Of(nn.Module):
    """A block that is a function of (N, C, 1, 1)."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, h: Tensor) -> Tensor:
        return self.function(h[:, :, 0, 0])[:, :, None, None]


def chain(blocks: list[Callable[[Tensor], Tensor]], readout: nn.Module | None = None) -> Network:
    """Blocks that are functions (N, C) -> (N, C), and a linear readout."""
    return opened(Chain([_Of(block) for block in blocks], readout or head()))


class _Carrying(nn.Module):
    """h_{l+1} = h_l + F_l(x), with F_l a function of the input x alone."""

    def __init__(self, readout: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_Of(lambda h: h) for _ in range(3))
        self.head = readout

    def forward(self, x: Tensor) -> Tensor:
        h = x
        for place, block in enumerate(self.blocks):
            h = block(h + (x.roll(place + 1, 1).sin() * 2).detach())
        return self.head(h.mean((2, 3)))


def carrying(readout: nn.Module | None = None) -> Network:
    """Every step adds what does not depend on the state; between two blocks stands a bridge, the step."""
    return opened(_Carrying(readout or head()))


class Quadratic(nn.Module):
    """A step of gradient descent on ½ λ |h − centre|²."""

    def __init__(self, step: float, curvature: float) -> None:
        super().__init__()
        self.by = step * curvature
        self.register_buffer("centre", normal(WIDTH, seed=3)[:, None, None])

    def forward(self, h: Tensor) -> Tensor:
        return h - self.by * (h - self.centre)


class Believing(nn.Module):
    """Changes how the readout's own most probable classes go on.

    The readout is the state itself, so that class c is channel c. The largest logit and the second largest are
    multiplied by ``own``, the channels in ``kept_channels`` by ``kept``, and the factors do not depend on the state.
    """

    def __init__(self, own: float = 1.0, kept: dict[int, float] | None = None) -> None:
        super().__init__()
        self.own, self.kept = own, kept or {}

    def forward(self, h: Tensor) -> Tensor:
        factor = torch.ones_like(h)
        for channel, by in self.kept.items():
            factor[:, channel] *= by
        first = h.detach().topk(2, 1).indices
        factor = factor.scatter(1, first, factor.gather(1, first) * self.own)
        return h * factor


class Reading(nn.Module):
    """The readout whose logits are the state; every class is one channel."""

    def forward(self, h: Tensor) -> Tensor:
        return h


def plain_persistence(
    model: Any, run_on: Any, readout: Any, blocks: list[nn.Module], inputs: Tensor, unit: tuple, chosen: int, state: int
) -> tuple[float, float]:
    """Persistence and carried alone of one unit, in its plain direction, by torch's hooks alone.

    Args:
        model: the model; ``run_on``: runs it on inputs; ``readout``: rows of a state (1, …) -> logits.
        blocks: its blocks in order; inputs: of one cluster.
        unit: index of the unit in a state; chosen: the class; state: 0 before the first block.
    """
    seen: list[Tensor] = []

    def before(module: Any, args: Any) -> Any:
        first = args[0].detach().clone().requires_grad_()
        seen.append(first)
        return (first.clone(), *args[1:])

    def after(module: Any, args: Any, output: Any) -> Any:
        seen.append(output)
        return output.clone()

    handles = [blocks[0].register_forward_pre_hook(before)] + [b.register_forward_hook(after) for b in blocks]
    run_on(model, inputs)
    for handle in handles:
        handle.remove()

    def above(rows: Tensor) -> Tensor:
        logits = readout(rows)
        return logits[0, chosen] - logits[0].mean()

    (g,) = torch.autograd.grad(above(seen[-1][unit]), seen[state], retain_graph=True)
    leaves = [seen[at][unit].detach().clone().requires_grad_() for at in (state, -1)]
    d, end = (torch.autograd.grad(above(leaf), leaf)[0] for leaf in leaves)
    d = d * (leaves[0] != 0)  # where a ReLU is closed there is no nudge
    square = float((d * d).sum())
    alone = float((end * d).sum()) / square if end.shape == d.shape else float("nan")
    return float((g[unit] * d).sum()) / square, alone

"""Networks whose paths are known by construction, and the gradient of every single path without the recording of itinf."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import torch
from torch import Tensor, nn

from itinf import Batch, Network, trace
from itinf.networks.path_lengths import path_lengths
from itinf.networks.trace import Trace
from oracles import Chain, Residual, batch, normal, opened

WIDTH, CLASSES = 4, 3
Backward = Callable[[Tensor], Tensor]


class Times(nn.Module):
    """Multiplies by a number."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = number

    def forward(self, h: Tensor) -> Tensor:
        return h * self.number


class ReluBlock(nn.Module):
    """h + F(h), with a ReLU after the addition where ``post``."""

    def __init__(self, seed: int, post: bool) -> None:
        super().__init__()
        self.first, self.second = (nn.Parameter(normal(WIDTH, WIDTH, seed=seed + place) / 1.5) for place in (0, 1))
        self.post = post

    def forward(self, h: Tensor) -> Tensor:
        x = h.flatten(1)
        out = (x @ self.first.T).relu_() @ self.second.T
        out += x
        return (out.relu_() if self.post else out)[:, :, None, None]

    def jacobians(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(C, C) of the skip and of the branch at a state (C,), written out by hand."""
        open_inside = (self.first @ x > 0).to(x.dtype)
        branch = self.second @ torch.diag(open_inside) @ self.first
        total = x + self.second @ (self.first @ x).clamp_min(0)
        mask = torch.diag((total > 0).to(x.dtype)) if self.post else torch.eye(len(x), dtype=x.dtype)
        return mask, mask @ branch


def head() -> nn.Linear:
    made = nn.Linear(WIDTH, CLASSES)
    with torch.no_grad():
        made.weight.copy_(normal(CLASSES, WIDTH, seed=90))
    return made


def chain(blocks: Sequence[nn.Module]) -> Network:
    return opened(Chain(list(blocks), head()))


def linear(factors: Sequence[float]) -> Network:
    """h + c·h for every c."""
    return chain([Residual(Times(factor)) for factor in factors])


def given(n: int = 5) -> Batch:
    return batch(normal(n, WIDTH, 1, 1, seed=7), torch.arange(n) % CLASSES)


def by_length(network: Network, given: Batch, state: int = 0, **options: object) -> tuple[Tensor, Tensor, Tensor]:
    """(B + 1, N) ⟨G_k, g⟩ and |G_k|², and (N,) |g|²."""
    found = path_lengths(trace(network, given), torch.arange(len(given)), {state}, **options)[state]
    return found.dots, found.squares, found.whole


def of_all_paths(end: Tensor, ways: Sequence[tuple[Backward, Backward]]) -> list[Tensor]:
    """[G_0, …, G_B] (N, …): the sum over all 2^B paths, each carried back by itself.

    Args:
        end: gradient at the last state; ``ways``: skip and branch of every step, the first step first.
    """
    total = [torch.zeros(()) for _ in range(len(ways) + 1)]
    for path in product((0, 1), repeat=len(ways)):
        v = end
        for way, branch in zip(reversed(ways), reversed(path), strict=True):
            v = way[branch](v)
        total[sum(path)] = total[sum(path)] + v
    return total


def vjp(function: Callable[[Tensor], Tensor], x: Tensor) -> Backward:
    """The backward pass of a function at a state."""
    back = torch.func.vjp(function, x.detach())[1]
    return lambda v: back(v)[0]


def require_equal(seen: Trace, state: int, expected: Sequence[Tensor], found: tuple[Tensor, Tensor, Tensor]) -> None:
    """The parts by length are those of the single paths, and add up to the gradient of torch's own backward pass."""
    g = seen.gradients["label"].states[state].flatten(1)
    each = torch.stack([part.flatten(1) for part in expected])  # (B + 1, N, D)
    torch.testing.assert_close(each.sum(0), g, rtol=0, atol=1e-12 * float(g.norm(dim=1).max()))
    dots, squares, whole = found
    torch.testing.assert_close(dots, (each * g).sum(2), rtol=1e-9, atol=1e-13)
    torch.testing.assert_close(squares, each.square().sum(2), rtol=1e-9, atol=1e-13)
    torch.testing.assert_close(whole, g.square().sum(1), rtol=1e-12, atol=0)

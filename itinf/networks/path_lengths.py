"""The gradient of the loss by the length of paths: how many branches it passes on its way back, exactly."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

from ..data.dataset import Batch
from .hooks import Recording, recorded
from .inputs import run
from .measuring import evaluating
from .network import Network
from .skip_path import Backward, Step, bridge, steps_of
from .trace import Trace, distinct, trace

Way = tuple[int, list[Step]]
"""From a later state: the state that some steps lead back to, and these steps."""


@dataclass(frozen=True)
class PathLengths:
    """The gradient g of N clusters at one state, by the number k of branches that its paths pass, of B in all.

    Attributes:
        dots: (B + 1, N) float64, ⟨G_k, g⟩; squares: |G_k|²; whole: (N,) |g|².
        sampled: (B + 1, N) squared norm of what one random path of each length brings; None where it was not drawn.
    """

    dots: Tensor
    squares: Tensor
    whole: Tensor
    sampled: Tensor | None


def path_lengths(
    seen: Trace, clusters: Tensor, states: Collection[int], parts: bool = False, seed: int | None = None
) -> dict[int, PathLengths]:
    """Carries (G_0 … G_B) back through depth: G_k ← skipᵀ G_k + branchᵀ G_{k−1}, linearised at the recorded states.

    Σ_k G_k is the gradient. It takes B²/2 backward passes through one block, and as many again
    for single paths. The graph of the clusters, and B + 1 gradients
    at one state, are held at once.

    Args:
        seen: trace of a batch; clusters: (N,) which of its clusters.
        states: numbers of the states to look at.
        parts: whether the parts of a block are steps of their own.
        seed: of the random paths to the first of these states; None draws none.

    Returns:
        State -> what is known there; a state is missing where a later block has no known skip path.
    """
    network, rows = seen.network, clusters.cpu().numpy()
    assert seen.inputs is not None
    targets = seen.targets[clusters]
    batch = Batch(seen.inputs[clusters], targets if network.unit == "token" else targets.flatten(), seen.keys[rows])
    gradients = trace(network, batch).gradients["label"].states  # by one backward pass, at every state
    found: dict[int, PathLengths] = {}
    with torch.enable_grad(), evaluating(network):
        ways = _ways(network, batch.inputs, states, parts)
        orders = None
        if seed is not None and ways:
            drawn = _orders(batch.keys, seed, _branches(ways)[ways[-1][0]])
            orders = torch.as_tensor(drawn).to(clusters.device)
        carried = _Carried(network, gradients[-1], orders)
        for place, (state, steps) in enumerate(ways, 1):
            for step in steps:
                carried.back(step)
            if state in states:
                found[state] = carried.at(gradients[state], sampled=place == len(ways))
    return found


def longest(seen: Trace, states: Collection[int], parts: bool = False) -> dict[int, int]:
    """State -> the number of branches on the longest path from it; a state is missing as in ``path_lengths``."""
    assert seen.inputs is not None
    with torch.enable_grad(), evaluating(seen.network):
        counts = _branches(_ways(seen.network, seen.inputs[:1], states, parts))
    return {state: count for state, count in counts.items() if state in states}


def _branches(ways: list[Way]) -> dict[int, int]:
    """State -> the number of branches from it to the end."""
    counts = accumulate(sum(step.branch is not None for step in steps) for _, steps in ways)
    return dict(zip((state for state, _ in ways), counts, strict=True))


def _orders(keys: np.ndarray, seed: int, count: int) -> np.ndarray:
    """(N, B): the place of each step in a random order, which depends on seed and cluster key alone."""
    # far from the parts of the stream that give bootstrap weights, random depth orders and samples
    streams = (np.random.Philox(key=np.array([seed, int(k)], np.uint64), counter=[0, 0, 0, 3]) for k in keys)
    return np.stack([np.random.Generator(stream).permutation(count) for stream in streams])


def _ways(network: Network, inputs: Tensor, states: Collection[int], parts: bool) -> list[Way]:
    """The ways back of a new forward pass, to the first of some states from which all skips are known."""
    with recorded(network) as recording:
        run(network, network.ready(inputs))
    ways = list(_all_ways(network, recording, parts))
    ends = [place for place, (state, _) in enumerate(ways, 1) if state in states]
    return ways[: max(ends, default=0)]


def _all_ways(network: Network, recording: Recording, parts: bool) -> Iterator[Way]:
    if network.skips is False:
        return
    _, before, after = distinct(recording)
    for number in reversed(range(len(network.blocks))):
        x, y = recording.befores[number], recording.afters[number]
        apart = list(recording.parts[number].values()) if parts else []
        steps = steps_of(network.blocks[number], x, y, recording.branches[number], apart)
        if steps is None:
            return
        yield before[number], steps
        if number and after[number - 1] != before[number]:
            yield after[number - 1], [bridge(recording.afters[number - 1], x)]


class _Carried:
    """Gradients on their way back, each with the batch first, by the number of branches so far: all paths, and single ones.

    Of B single paths, that of length k takes the branch of the steps that stand below k in a unit's random order. Those
    that have made the same choices so far are one, so that after b steps there are b + 1, as there are lengths.
    """

    def __init__(self, network: Network, last: Tensor, orders: Tensor | None) -> None:
        self.network, self.orders = network, orders  # orders (N, B): the place of each step
        self.by_length = [last]
        self.single = [] if orders is None else [last]
        self.passed = 0

    def back(self, step: Step) -> None:
        """Goes back over a step."""
        skipped, through = self._both(step, self.by_length)
        if step.branch is None:
            self.by_length, self.single = skipped, self._both(step, self.single)[0]
            return
        between = [a + b for a, b in zip(skipped[1:], through[:-1], strict=True)]
        self.by_length = [skipped[0], *between, through[-1]]
        if self.orders is not None:
            skipped, through = self._both(step, self.single)
            place = self.orders[:, self.passed]
            below = (self.orders[:, : self.passed] < place.unsqueeze(1)).sum(1)  # (N,) steps so far that come before it
            below = below.view(-1, *[1] * (skipped[0].ndim - 1))
            pairs = zip(skipped[1:], through[:-1], strict=True)
            between = [torch.where(below >= k, a, b) for k, (a, b) in enumerate(pairs, 1)]
            self.single = [skipped[0], *between, through[-1]]
        self.passed += 1

    def _both(self, step: Step, vectors: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        skipped = [self._by(step.skip, v) for v in vectors]
        return skipped, [] if step.branch is None else [self._by(step.branch, v) for v in vectors]

    def at(self, gradient: Tensor, sampled: bool) -> PathLengths:
        """What is known at the state that has been reached."""
        g = _flat(gradient)
        each = [_flat(v) for v in self.by_length]
        paths = torch.stack([_square(_flat(v)) for v in self.single]) if sampled and self.single else None
        dots = torch.stack([(v * g).sum(1) for v in each])
        return PathLengths(dots, torch.stack([_square(v) for v in each]), _square(g), paths)

    def _by(self, way: Backward, v: Tensor) -> Tensor:
        return self.network.batch_first(way(self.network.batch_first(v)))


def _flat(v: Tensor) -> Tensor:
    return v.detach().double().flatten(1)


def _square(flat: Tensor) -> Tensor:
    return flat.square().sum(1)

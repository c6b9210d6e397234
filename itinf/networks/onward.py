"""A forward pass that is taken up again after any block, with another state in the place of the one that was there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from .block_call import BlockCall, block_calls
from .network import Network
from .rerun import states_of

EQUAL = 1e-4
"""States that differ by less than this share of the largest entry are the same, apart from rounding."""


@dataclass(frozen=True)
class Onward:
    """One forward pass over some clusters, with what every block was given.

    Attributes:
        network: the network; ``inputs``: what it read; ``calls``: of its blocks.
        after: number of the distinct state that each block puts out.
        chained: whether the blocks alone, called one after the other, are the way from the first state to the last. Then
            a pass is taken up after block l by calling the later blocks only, else by a whole pass with the state replaced.
    """

    network: Network
    inputs: Tensor
    calls: Sequence[BlockCall]
    after: Sequence[int]
    chained: bool

    def last(self, block: int, state: Tensor) -> Tensor:
        """The last state, in the network's layout, where another state follows a block.

        Args:
            block: number of the block; ``state``: what follows it, in the network's layout.
        """
        if self.chained or block == len(self.calls) - 1:
            for call in self.calls[block + 1 :]:
                state = call.again({}, state)[0]
            return state
        number = self.after[block]
        return states_of(self.network, self.inputs, lambda n, h: state if n == number else h)[-1]


def onward(network: Network, inputs: Tensor, after: Sequence[int], chained: bool) -> Onward:
    """One pass over prepared inputs; ``chained`` is what ``is_chain`` says of the network."""
    return Onward(network, inputs, block_calls(network, inputs), after, chained)


def is_chain(network: Network, inputs: Tensor) -> bool:
    """Whether blocks called one after the other do what the network does, also with another first state.

    No module may stand between two blocks, and what else a block is given may not depend on the state before the first.

    Args:
        network: the network; ``inputs``: prepared, of one cluster or a few.
    """
    calls = block_calls(network, inputs)
    if not all(torch.equal(earlier.after, later.before) for earlier, later in pairwise(calls)):
        return False
    start = calls[0].before
    noise = torch.randn(start.shape, generator=torch.Generator().manual_seed(0)).to(start)
    moved = state = start + noise * start.double().square().mean().sqrt().to(start)
    for call in calls:
        state = call.again({}, state)[0]
    expected = states_of(network, inputs, lambda n, h: moved if n == 0 else h)[-1]
    return bool((state - expected).abs().max() <= EQUAL * expected.abs().max())

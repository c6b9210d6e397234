"""Many lenses at one state, read in one product: logits of every read of a batch, some units at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import groupby

import torch
from torch import Tensor, nn

from ..architecture import Network
from ..readouts import state_at
from ..tracing import Trace
from .collect import Place
from .reading import logits, require_finite, vectors
from .reads import Read

CELLS = 2**24
"""Logits that exist at once, about: so many that the product runs at full speed."""
SLAB = 2**18
"""Logits that are worked on at once, at most: few enough to stay in a cache."""


@dataclass(frozen=True)
class Spoken:
    """What all reads of one state say of some units.

    Attributes:
        units: which of the units asked for, R of them.
        reads: numbers of the M reads; those that are judged come first.
        logits: (M, R, classes), gone when the next ones are asked for.
        final: (R, classes) log-probabilities, the network's own end; ``goal``: its probabilities.
    """

    units: slice
    reads: list[int]
    logits: Tensor
    final: Tensor
    goal: Tensor

    def slabs(self) -> Iterator[tuple[slice, slice]]:
        """Slices of reads and of units that part the logits into pieces of about ``SLAB``."""
        reads, units, classes = self.logits.shape
        tall = min(units, max(1, SLAB // classes))
        deep = max(1, SLAB // (classes * units))
        for first in range(0, reads, deep):
            for start in range(0, units, tall):
                yield slice(first, min(first + deep, reads)), slice(start, min(start + tall, units))


@torch.no_grad()
def speak(
    network: Network, seen: Trace, places: Sequence[Place], reads: Sequence[Read], units: Tensor
) -> Iterator[Spoken]:
    """Every read of a batch, grouped by the state that is read.

    Args:
        network, seen: the network and a trace of the batch.
        places: of the lens.
        reads: what to read.
        units: (K,) int64, which units of the batch to read.

    Raises:
        ItinfError: a state with numbers that are not finite (named).
    """
    last = vectors(network, seen.states[-1])
    order = sorted(range(len(reads)), key=lambda k: (reads[k].at, not reads[k].judged))
    at = {k: list(some) for k, some in groupby(order, key=lambda k: reads[k].at)}
    states = {k: vectors(network, state_at(network, seen, places[k].where)) for k in at}
    for k, state in states.items():
        require_finite(network, places[k].name, state)
    maps = {
        t: t if t.weight.device == last.device else deepcopy(t).to(last.device) for t in {r.translator for r in reads}
    }
    through = replace(network, head=_Same(network.head)) if type(network.head) is nn.Linear else network
    classes = logits(network, last[:1]).shape[1]
    widest = max(classes, *(last.shape[-1] * state[0].numel() // state.shape[-1] for state in states.values()))
    size = max(1, CELLS // (widest * max(map(len, at.values()))))
    for start in range(0, len(units), size):
        part = slice(start, min(start + size, len(units)))
        here = units[part]
        final = logits(network, last[here]).log_softmax(1)
        goal = final.exp()
        for k, some in at.items():
            x = states[k][here]
            moved = torch.cat([maps[reads[number].translator](x) for number in some])
            yield Spoken(part, some, logits(through, moved).reshape(len(some), len(here), -1), final, goal)


class _Same:
    """A linear head that puts its logits into the same memory every time: new memory slows the product by a fifth."""

    def __init__(self, head: nn.Linear) -> None:
        self.head, self.room = head, torch.empty(0)

    def __call__(self, vectors: Tensor) -> Tensor:
        """(R, D) -> (R, classes)."""
        size = len(vectors) * self.head.out_features
        if self.room.numel() < size:
            self.room = vectors.new_empty(size)
        out = torch.mm(vectors, self.head.weight.T, out=self.room[:size].view(len(vectors), -1))
        return out if self.head.bias is None else out.add_(self.head.bias)

"""Many lenses at one state, read in one product: logits of every read of a batch, some units at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import groupby

import torch
from torch import Tensor, nn

from ...networks.readout import logits, require_finite, vectors
from ...networks.states import Site
from ...networks.trace import Trace
from .cells import Cell
from .temperature import exp_

ROWS = 640
"""Vectors that go through the head at once: with fewer, the product is slower."""
CELLS = 2**22, 2**25
"""Logits that exist at once, at least and at most; the same of what a neck and a pool have to read."""
LEAST = 128
"""Vectors that go through a translator at once, about: fewer take as long."""
SLAB = 2**18
"""Logits that are worked on at once, at most: few enough to stay in a cache."""


@dataclass(frozen=True)
class CellLogits:
    """What all reads of one state say of some units.

    Attributes:
        units: which of the units asked for, R of them.
        reads: numbers of the M reads; those that are judged come first.
        logits: (M, R, classes), gone when the next ones are asked for.
        final: (R, classes) log-probabilities, the network's own end; ``goal``: its probabilities;
            ``answer``: (R,) its top-1.
    """

    units: slice
    reads: list[int]
    logits: Tensor
    final: Tensor
    goal: Tensor
    answer: Tensor

    def slabs(self) -> Iterator[tuple[slice, slice]]:
        """Slices of reads and of units that part the logits into pieces of about ``SLAB``; one on an accelerator."""
        reads, units, classes = self.logits.shape
        most = SLAB if self.logits.device.type == "cpu" else self.logits.numel()
        tall = min(units, max(1, most // classes))
        deep = max(1, most // (classes * units))
        for first in range(0, reads, deep):
            for start in range(0, units, tall):
                yield slice(first, min(first + deep, reads)), slice(start, min(start + tall, units))


@torch.no_grad()
def cell_logits(trace: Trace, sites: Sequence[Site], cells: Sequence[Cell], units: Tensor) -> Iterator[CellLogits]:
    """Every read of a batch, grouped by the state that is read.

    Args:
        trace: of the batch.
        sites: of the lens.
        cells: what to read, and through which translator.
        units: (K,) int64, which units of the batch to read.

    Raises:
        ItinfError: a state with numbers that are not finite (named).
    """
    network = trace.network
    last = vectors(network, trace.states[-1])
    order = sorted(range(len(cells)), key=lambda k: (cells[k].at, not cells[k].scored_in_full))
    at = {k: list(some) for k, some in groupby(order, key=lambda k: cells[k].at)}
    states = {k: vectors(network, trace.state(sites[k].id)) for k in at}
    for k, state in states.items():
        require_finite(network, sites[k].name, state)
    maps = {
        t: t if t.weight.device == last.device else deepcopy(t).to(last.device) for t in {r.translator for r in cells}
    }
    through = replace(network, head=_Same(network.head)) if type(network.head) is nn.Linear else network
    classes, most = logits(network, last[:1]).shape[1], max(map(len, at.values()))
    positions = max(state[0].numel() // state.shape[-1] for state in states.values())
    low, high = (cells // (most * max(classes, positions * last.shape[-1])) for cells in CELLS)
    size = max(1, min(max(low, ROWS // most), high))
    for part, tiles in _parts(len(units), size, max(1, LEAST // (size * positions))):
        here = units[part]
        final = logits(network, last[here]).log_softmax(1)
        goal, answer = exp_(final.clone()), final.argmax(1)
        for k, some in at.items():
            x = states[k][here]
            moved = torch.stack([maps[cells[number].translator](x) for number in some])
            for tile in tiles:
                z = logits(through, moved[:, tile].flatten(0, 1)).reshape(len(some), -1, classes)
                whole = slice(part.start + tile.start, part.start + tile.stop)
                yield CellLogits(whole, some, z, final[tile], goal[tile], answer[tile])


def _parts(total: int, size: int, several: int) -> Iterator[tuple[slice, list[slice]]]:
    """Slices of units that go through the translators together, and in each of them those that are read together."""
    for start in range(0, total, size * several):
        count = min(size * several, total - start)
        yield slice(start, start + count), [slice(k, min(k + size, count)) for k in range(0, count, size)]


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

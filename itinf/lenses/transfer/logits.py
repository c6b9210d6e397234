"""Logits of all (translator, state) cells of a batch, some units at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import torch
from torch import Tensor, nn

from ...networks.readout import logits, require_finite, vectors
from ...networks.states import Site
from ...networks.trace import Trace
from .cells import Cell
from .counterfactual import READS, Partners
from .temperature import exp_

HEAD_ROWS = 640
"""Vectors that go through the head at once: with fewer, the product is slower."""
LOGITS = 2**22, 2**25
"""Logits that exist at once, at least and at most; also the numbers that go into a neck and a pool at once."""
TRANSLATOR_ROWS = 128
"""Vectors that go through a translator at once, about: fewer take as long."""
PIECE = 2**18
"""Logits that are worked on at once, at most: few enough to stay in a cache."""


@dataclass(frozen=True)
class CellLogits:
    """Logits of all cells of one state for some units.

    Attributes:
        units: which of the requested units, R of them.
        cells: indices of the M cells; those scored in full come first.
        logits: (M, R, classes); valid until the next ones are taken.
        final: (R, classes) log-probabilities of the network's own readout; ``goal``: its probabilities;
            ``answer``: (R,) its top-1.
    """

    units: slice
    cells: list[int]
    logits: Tensor
    final: Tensor
    goal: Tensor
    answer: Tensor

    def pieces(self) -> Iterator[tuple[slice, slice]]:
        """Slices of cells and of units that split the logits into pieces of about ``PIECE``; one on an accelerator."""
        cells, units, classes = self.logits.shape
        most = PIECE if self.logits.device.type == "cpu" else self.logits.numel()
        rows = min(units, max(1, most // classes))
        depth = max(1, most // (classes * units))
        for first in range(0, cells, depth):
            for start in range(0, units, rows):
                yield slice(first, min(first + depth, cells)), slice(start, min(start + rows, units))


@torch.no_grad()
def cell_logits(
    trace: Trace, sites: Sequence[Site], cells: Sequence[Cell], units: Tensor, partners: Partners | None = None
) -> Iterator[CellLogits]:
    """Logits of every cell, grouped by the state that is read.

    Args:
        trace: of the batch.
        sites: of the lens.
        cells: which states to read, and through which translators.
        units: (K,) int64, which units of the batch to read.
        partners: of the units; by default they are found.

    Raises:
        ItinfError: a state with numbers that are not finite (named).
    """
    network = trace.network
    last = vectors(network, trace.states[-1])
    order = sorted(range(len(cells)), key=lambda k: (cells[k].at, not cells[k].scored_in_full))
    by_state = {at: list(members) for at, members in groupby(order, key=lambda k: cells[k].at)}
    partners = partners or Partners.of(trace, cells)
    needed = by_state.keys() | {cell.fitted_at for cell in cells if cell.form in READS}
    states = {at: vectors(network, trace.state(sites[at].id)) for at in sorted(needed)}
    for at, state in states.items():
        require_finite(network, sites[at].name, state)
    maps = {translator: translator.on(last.device) for translator in {cell.translator for cell in cells}}
    reading = replace(network, head=_SameMemory(network.head)) if type(network.head) is nn.Linear else network
    classes, most = logits(network, last[:1]).shape[1], max(map(len, by_state.values()))
    positions = max(state[0].numel() // state.shape[-1] for state in states.values())
    low, high = (count // (most * max(classes, positions * last.shape[-1])) for count in LOGITS)
    size = max(1, min(max(low, HEAD_ROWS // most), high))
    for part, tiles in _parts(len(units), size, max(1, TRANSLATOR_ROWS // (size * positions))):
        rows = units[part]
        final = logits(network, last[rows]).log_softmax(1)
        goal, answer = exp_(final.clone()), final.argmax(1)
        for at, members in by_state.items():
            x = states[at][rows]
            translated = torch.stack([
                maps[cells[k].translator](partners.state(cells[k], states, rows) if cells[k].form in READS else x)
                for k in members
            ])  # fmt: skip
            for tile in tiles:
                z = logits(reading, translated[:, tile].flatten(0, 1)).reshape(len(members), -1, classes)
                whole = slice(part.start + tile.start, part.start + tile.stop)
                yield CellLogits(whole, members, z, final[tile], goal[tile], answer[tile])


def _parts(total: int, size: int, several: int) -> Iterator[tuple[slice, list[slice]]]:
    """Slices of units that go through the translators together, each with its slices that go through the head together."""
    for start in range(0, total, size * several):
        count = min(size * several, total - start)
        yield slice(start, start + count), [slice(k, min(k + size, count)) for k in range(0, count, size)]


class _SameMemory(nn.Module):
    """A linear head that writes its logits into the same memory every time: new memory slows the product by a fifth."""

    def __init__(self, head: nn.Linear) -> None:
        super().__init__()
        self.head, self.memory = head, torch.empty(0)

    def forward(self, vectors: Tensor) -> Tensor:
        """(R, D) -> (R, classes)."""
        size = len(vectors) * self.head.out_features
        if self.memory.numel() < size:
            self.memory = vectors.new_empty(size)
        out = torch.mm(vectors, self.head.weight.T, out=self.memory[:size].view(len(vectors), -1))
        return out if self.head.bias is None else out.add_(self.head.bias)

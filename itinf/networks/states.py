"""The states of a trace: which there are, which segment each belongs to, what they are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .network import Network
from .readout import vectors
from .trace import Trace


@dataclass(frozen=True)
class Site:
    """A state that a lens reads.

    Attributes:
        name: in words: the block it follows, ``"before BLOCK"``, or ``"BLOCK.PART"`` for the state that
            a part reads.
        where: its place in a trace.
        width: of its vectors.
        segment: states of one segment follow each other and share their width.
        depth: blocks before it, as a share of all.
    """

    name: str
    where: SiteId
    width: int
    segment: int
    depth: float


def sites(network: Network, seen: Trace, inside: bool = False) -> list[Site]:
    """The states of a network that a lens reads, in order of depth.

    Args:
        network: the network; ``seen``: any trace of it.
        inside: also the states that parts of a block read, such as the one between attention and MLP.
    """
    total, last = len(network.blocks), len(seen.states) - 1
    order: list[tuple[float, SiteId, str]] = []
    named: set[int] = set()
    for block, opened in enumerate(network.blocks):
        if (before := seen.before[block]) not in named:
            order.append((block / total, before, f"before {opened.name}"))
        for part in opened.parts if inside else ():
            where = part_input(network, seen, block, part)
            if isinstance(where, tuple):
                order.append(((block + 0.5) / total, where, f"{opened.name}.{part}"))
        order.append(((block + 1) / total, seen.after[block], opened.name))
        named |= {before, seen.after[block]}
    assert order[-1][1] == last
    found: list[Site] = []
    for depth, where, name in order:
        width = vectors(network, state_at(network, seen, where)[:1]).shape[-1]
        segment = found[-1].segment + (width != found[-1].width) if found else 0
        found.append(Site(name, where, width, segment, depth))
    return found


def structure(network: Network, seen: Trace) -> dict[str, Any]:
    """What the table needs to know of a network: blocks, segments, bridges, sizes."""
    numbers = segments(network, seen)
    joined = [0, *(seen.after[b] for b in range(len(seen.after) - 1))]
    units = 1 if network.unit == "image" else seen.targets.shape[1]
    return {
        "model": network.name,
        "modality": network.modality,
        "unit": network.unit,
        "gauge": network.gauge,
        "blocks": [b.name for b in network.blocks],
        "segments": [numbers[a] for a in seen.after],
        "bridges": [network.blocks[b].name for b, (x, y) in enumerate(zip(seen.before, joined, strict=True)) if x != y],
        "sizes": [seen.states[a][0].numel() // units for a in seen.after],
    }


SiteId = int | tuple[int, str]
"""A place in ``Trace.states``, or (block, part) for the state inside a block that a part reads."""


def part_input(network: Network, trace: Trace, block: int, part: str) -> SiteId:
    """The state a part is added to: the block's ``before``, or that plus the parts before it."""
    parts = network.blocks[block].parts
    first = next(iter(parts))
    return trace.before[block] if part == first or network.blocks[block].parallel else (block, part)


def state_at(network: Network, trace: Trace, where: SiteId) -> Tensor:
    """The state itself, in the network's layout."""
    if isinstance(where, int):
        return trace.states[where]
    block, part = where
    state = trace.states[trace.before[block]]
    for name in network.blocks[block].parts:
        if name == part:
            break
        state = state + trace.parts[block][name]
    return state


def readable(network: Network, trace: Trace) -> list[bool]:
    """For each of ``trace.states``: does the readout fit, being of the last state's width?"""
    width = network.width(trace.states[-1])
    return [network.width(state) == width for state in trace.states]


def segments(network: Network, trace: Trace) -> list[int]:
    """For each of ``trace.states`` the number of its segment: runs of consecutive states of one width."""
    numbers: list[int] = []
    for place, state in enumerate(trace.states):
        same = place > 0 and network.width(state) == network.width(trace.states[place - 1])
        numbers.append((numbers[-1] if numbers else 0) if same or not numbers else numbers[-1] + 1)
    return numbers

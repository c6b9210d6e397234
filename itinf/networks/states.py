"""The states of a trace: names, widths and segments."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch

from .measuring import evaluating
from .readout import classes_of, vectors
from .trace import SiteId, Trace


@dataclass(frozen=True)
class Site:
    """A place in a network where a lens reads the state.

    Attributes:
        name: the block it follows, ``"before BLOCK"``, or ``"BLOCK.PART"`` for the state that a part reads.
        id: its key for ``Trace.state``.
        width: of its vectors.
        segment: states of one segment follow each other and share their width.
        depth: share of the blocks that come before it.
    """

    name: str
    id: SiteId
    width: int
    segment: int
    depth: float


def sites(trace: Trace, parts: bool = False) -> list[Site]:
    """The sites of a network that a lens reads, in order of depth.

    Args:
        trace: any trace of the network.
        parts: add the states that parts of a block read, such as the one between attention and MLP.
    """
    numbers = segments(trace)
    sites: list[Site] = []
    with torch.no_grad(), evaluating(trace.network):
        for depth, site, name in _in_order(trace, parts):
            width = vectors(trace.network, trace.state(site)[:1]).shape[-1]
            state = site if isinstance(site, int) else trace.before[site[0]]
            sites.append(Site(name, site, width, numbers[state], depth))
    return sites


def _in_order(trace: Trace, parts: bool = False) -> list[tuple[float, SiteId, str]]:
    """Depth, id and name of every state."""
    total = len(trace.network.blocks)
    order: list[tuple[float, SiteId, str]] = []
    named: set[int] = set()
    for number, block in enumerate(trace.network.blocks):
        before, after = trace.before[number], trace.after[number]
        if before not in named:
            order.append((number / total, before, f"before {block.name}"))
        for part in block.parts if parts else ():
            site = part_input(trace, number, part)
            if isinstance(site, tuple):
                order.append(((number + 0.5) / total, site, f"{block.name}.{part}"))
        order.append(((number + 1) / total, after, block.name))
        named |= {before, after}
    return order


def structure(trace: Trace) -> dict[str, Any]:
    """What the table needs to know of a network: blocks, segments, bridges, sizes; the path is h_0 … h_L among its states."""
    network, numbers, states = trace.network, segments(trace), _in_order(trace)
    joined = [0, *trace.after[:-1]]  # what each block would read if it followed the last one directly
    units = trace.targets.shape[1] if network.unit == "token" else 1
    path = [trace.before[0], *trace.after]
    with torch.no_grad(), evaluating(network):
        outputs = classes_of(network, network.per_prediction(trace.states[-1]))
    bridged = [block for block, *ends in zip(network.blocks, trace.before, joined, strict=True) if ends[0] != ends[1]]
    return {
        "model": network.name,
        "modality": network.modality,
        "unit": network.unit,
        "gauge": network.gauge,
        "skips": network.skips,
        "blocks": [block.name for block in network.blocks],
        "segments": [numbers[state] for state in trace.after],
        "states": [[name, segment, depth] for (depth, _, name), segment in zip(states, numbers, strict=True)],
        "path": path,
        "shapes": [_shape(trace, state) for state in path],
        "widths": [network.width(trace.states[state]) for state in path],
        "outputs": outputs,
        "bridges": [block.name for block in bridged],
        "sizes": [trace.states[state][0].numel() // units for state in trace.after],
    }


def _shape(trace: Trace, state: int) -> list[int]:
    """The shape of one unit's state."""
    shape = trace.states[state].shape
    return list(shape[2:] if trace.network.unit == "token" else shape[1:])


def part_input(trace: Trace, block: int, part: str) -> SiteId:
    """The state a part is added to: the block's ``before``, or that plus the parts before it."""
    opened = trace.network.blocks[block]
    first = next(iter(opened.parts))
    return trace.before[block] if part == first or opened.parallel else (block, part)


def readable(trace: Trace) -> list[bool]:
    """For each of ``trace.states``: does the readout fit, being of the last state's width?"""
    widths = [trace.network.width(state) for state in trace.states]
    return [width == widths[-1] for width in widths]


def segments(trace: Trace) -> list[int]:
    """For each of ``trace.states`` the number of its segment: a run of consecutive states of one width."""
    widths = [trace.network.width(state) for state in trace.states]
    numbers = [0]
    for previous, width in pairwise(widths):
        numbers.append(numbers[-1] + (width != previous))
    return numbers

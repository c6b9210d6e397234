"""Steps through depth: a step is one block, or several blocks in a row."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..networks.trace import SiteId, Trace


@dataclass(frozen=True)
class StepSpan:
    """Blocks in a row that count as one step.

    Attributes:
        block: number of the last block; start, end: indices into ``Trace.states``.
    """

    block: int
    start: int
    end: int


def block_steps(trace: Trace, states: Collection[SiteId]) -> list[StepSpan]:
    """A step for every block whose two states can be read."""
    ends = enumerate(zip(trace.before, trace.after, strict=True))
    return [StepSpan(block, start, end) for block, (start, end) in ends if start in states and end in states]


def merged_steps(trace: Trace, states: Collection[SiteId], number: int) -> list[StepSpan]:
    """Divides the depth between the first and the last readable state into about equal steps of whole blocks.

    Every step begins where the previous step ends, so a change between two blocks belongs to the later step.

    Args:
        trace: a trace.
        states: states that can be read.
        number: number of steps; a network with fewer blocks has fewer steps.
    """
    ends = [trace.before[0], *trace.after]
    readable = [blocks for blocks, state in enumerate(ends) if state in states]
    if len(readable) < 2:
        return []
    first, last = readable[0], readable[-1]
    goals = (first + (last - first) * k / number for k in range(number + 1))
    cuts = sorted({min(readable, key=lambda blocks: abs(blocks - goal)) for goal in goals})
    return [StepSpan(b - 1, ends[a], ends[b]) for a, b in pairwise(cuts)]


def follow_each_other(path: Sequence[StepSpan]) -> bool:
    """Whether every step starts at the state where the previous step ends; only then can steps be reordered."""
    return len(path) > 1 and all(a.end == b.start for a, b in pairwise(path))

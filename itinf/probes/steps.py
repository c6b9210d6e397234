"""Which blocks are taken as one step through depth."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..networks.trace import SiteId, Trace


@dataclass(frozen=True)
class StepSpan:
    """Blocks in a row that are taken as one step.

    Attributes:
        block: the last of them; start, end: places in ``Trace.states``.
    """

    block: int
    start: int
    end: int


def block_steps(trace: Trace, states: Collection[SiteId]) -> list[StepSpan]:
    """Every block both of whose states are among those that can be read."""
    ends = enumerate(zip(trace.before, trace.after, strict=True))
    return [StepSpan(block, start, end) for block, (start, end) in ends if start in states and end in states]


def merged_steps(trace: Trace, states: Collection[SiteId], number: int) -> list[StepSpan]:
    """The depth between the first and the last readable state in about equal steps, from block end to block end.

    Every step begins where the one before ends, so that what happens between two blocks belongs to
    the later one.

    Args:
        trace: a trace.
        states: those that can be read.
        number: of steps; there are fewer where there are fewer blocks.
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
    """Increments can change places only where the steps follow each other without a bridge."""
    return len(path) > 1 and all(a.end == b.start for a, b in pairwise(path))

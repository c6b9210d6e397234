"""One block taken apart backwards: what a gradient gets through the skip, and what through the branch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from .network import Block

Backward = Callable[[Tensor], Tensor]

_SAME_CONTENT = ("Clone", "Alias", "View", "UnsafeView", "ReshapeAlias", "Unsqueeze", "Squeeze")
"""Operations that only copy their input, or give it another shape."""


@dataclass(frozen=True)
class Step:
    """One way back through depth, which a path goes by the skip or by the branch.

    Attributes:
        skip: gradient after the step -> what the skip brings of it to the state before; ``branch``: what the branch brings.
            Together they are the whole gradient. ``branch`` is None where there is no choice, as between two blocks.
    """

    skip: Backward
    branch: Backward | None = None


def steps_of(
    block: Block, before: Tensor, after: Tensor, branch: Tensor | None, parts: Sequence[Tensor] = ()
) -> list[Step] | None:
    """The steps of one recorded block, the last one first; None where what is skip and what is branch is not known.

    The skip is found in autograd's graph: an addition that has the state before the block as a summand, and after which
    nothing else is added. What follows the addition, such as a ReLU, belongs to skip and branch alike. Where there is none
    (a projection, or pixels left out), the skip is all that does not go through the block's ``branch``. A block that adds
    up nothing has no skip: every path takes its branch.

    Args:
        block: the block; before, after, branch: as ``Recording`` has them, with their graph.
        parts: the outputs of its parts, in the order of addition; each becomes a step of its own.
    """
    found = _sum(before, after)
    if found is None:
        if branch is not None:
            return [_beside(before, after, branch)]
        return None if _adds(before, after) else [_without(before, after)]
    edge, weight = found

    def at_sum(v: Tensor) -> Tensor:
        return v if edge.node is after.grad_fn else _grad(after, edge, v)

    def skip(v: Tensor) -> Tensor:
        return weight * at_sum(v).reshape(before.shape)

    if len(parts) > 1 and not block.parallel and weight == 1:
        return _parts(before, parts, skip)
    return [Step(skip, lambda v: _grad(after, before, v) - skip(v))]


def bridge(before: Tensor, after: Tensor) -> Step:
    """The step between two blocks that do not follow each other directly; every path goes this way."""
    return Step(lambda v: _grad(after, before, v))


def _beside(before: Tensor, after: Tensor, branch: Tensor) -> Step:
    def through(v: Tensor) -> Tensor:
        return _grad(branch, before, _grad(after, branch, v))

    return Step(lambda v: _grad(after, before, v) - through(v), through)


def _without(before: Tensor, after: Tensor) -> Step:
    return Step(lambda v: torch.zeros_like(before), lambda v: _grad(after, before, v))


def _parts(before: Tensor, parts: Sequence[Tensor], at_sum: Backward) -> list[Step]:
    """Each part reads the state plus the parts before it, so it depends on the part before it as on that sum."""

    def step(part: Tensor, reads: Tensor, first: bool) -> Step:
        def seen(v: Tensor) -> Tensor:
            return at_sum(v) if first else v

        return Step(seen, lambda v: _grad(part, reads, seen(v)))

    reads = [before, *parts[:-1]]
    backwards = list(zip(reversed(parts), reversed(reads), strict=True))
    return [step(part, read, place == 0) for place, (part, read) in enumerate(backwards)]


def _grad(of: Tensor, by: Tensor | GradientEdge, seed: Tensor) -> Tensor:
    gradient = None
    if of.requires_grad:
        (gradient,) = torch.autograd.grad(of, by, seed, retain_graph=True, allow_unused=True)
    if gradient is None:  # it does not depend on the state
        assert isinstance(by, Tensor)
        return torch.zeros_like(by)
    return gradient


def _sum(before: Tensor, after: Tensor) -> tuple[GradientEdge, float] | None:
    """The last addition of a block if the state before it is one of its summands, and how many times it is."""
    if before.shape != after.shape:
        return None
    node: Any = after.grad_fn
    while node is not None and not _is(node, "Add"):
        if _makes(node, before.output_nr, before):
            return None
        following = [edge for edge in node.next_functions if edge[0] is not None]
        node = following[0][0] if len(following) == 1 else None
    if node is None:
        return None
    weight = _times(node, before)
    return (GradientEdge(node, 0), weight) if weight else None


def _adds(before: Tensor, after: Tensor) -> bool:
    """Whether tensors are added anywhere between two states."""
    waiting, seen = [(after.grad_fn, after.output_nr)], set()
    while waiting:
        node, number = waiting.pop()
        if node is None or node in seen or _makes(node, number, before):
            continue
        seen.add(node)
        following = [edge for edge in node.next_functions if edge[0] is not None]
        if len(following) > 1 and _is(node, "Add"):
            return True
        waiting += following
    return False


def _times(node: Any, state: Tensor) -> float:
    """How many times a state is a summand of the sum that a node makes."""
    total = 0.0
    for (summand, number), factor in zip(node.next_functions, (1.0, float(node._saved_alpha)), strict=False):
        while summand is not None and not _makes(summand, number, state) and _is(summand, *_SAME_CONTENT):
            summand, number = summand.next_functions[0]
        if summand is None:
            continue
        if _makes(summand, number, state):
            total += factor
        elif _is(summand, "Add"):
            total += factor * _times(summand, state)
    return total


def _makes(node: Any, number: int, state: Tensor) -> bool:
    """Whether a node makes a state, or stands for a state that the graph begins with."""
    if state.grad_fn is None:
        return getattr(node, "variable", None) is state
    return node is state.grad_fn and number == state.output_nr


def _is(node: Any, *operations: str) -> bool:
    return node.name().rstrip("0123456789").removesuffix("Backward") in operations

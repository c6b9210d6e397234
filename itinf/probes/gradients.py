"""The definitions of the gradients: input, output and readout, for updates, branches and parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

from ..networks.states import part_input
from ..networks.trace import SiteId, Target, Trace, UpdateName
from ..results.reasons import IDENTICALLY_ZERO, NO_READOUT, SHAPE_CHANGES, Reason
from .readouts import Readout

GradientName = Literal["input", "output", "readout"]
GRADIENTS: tuple[GradientName, ...] = get_args(GradientName)
Key = tuple[object, ...]


@dataclass(frozen=True)
class Gradient:
    """The gradient of the normalised loss of every unit.

    Attributes:
        key: gradients with the same tensor have the same key, so that each tensor is multiplied only once.
        direction: gradient of the normalised loss, in the layout of the state.
        scale: (N, P) float64; scale · direction is the gradient of the loss.
    """

    key: Key
    direction: Tensor
    scale: Tensor


def base(trace: Trace, block: int, part: str) -> SiteId:
    """The state that an update, branch (part "") or part is added to."""
    return part_input(trace, block, part) if part else trace.before[block]


def gradient(
    trace: Trace,
    readouts: dict[SiteId, Readout],
    block: int,
    update: UpdateName,
    part: str,
    which: GradientName,
    target: Target,
) -> Gradient | Reason:
    """The gradient to compare an update with, or the reason why it does not exist.

    ``input`` is taken at the state that the update is added to. ``output`` is taken at the state after the block
    for an update, and at the sum for a branch or a part. ``readout`` is taken at the state that the update is added
    to, through the readout alone.
    """
    before, after = trace.before[block], trace.after[block]
    changes = trace.states[before].shape != trace.states[after].shape
    if which != "output" and changes:
        return SHAPE_CHANGES
    if which == "readout":
        where = base(trace, block, part)
        if where not in readouts:
            return NO_READOUT
        direction, scale = readouts[where].gradients[target]
        return Gradient(("readout", where, target), direction, scale)
    if target == "model":
        return IDENTICALLY_ZERO
    taken = trace.gradients[target]
    if which == "output":
        if update == "branch":
            at_branch = taken.branches[block]
            assert at_branch is not None
            return Gradient(("branch", block, target), at_branch, taken.scale)
        if update == "part":
            return Gradient(("part", block, part, target), taken.parts[block][part], taken.scale)
        return Gradient(("state", after, target), taken.states[after], taken.scale)
    names = list(trace.parts[block])
    if update == "part" and not trace.network.blocks[block].parallel and part != names[0]:
        # the state before this part is the sum that the previous part is added to
        previous = names[names.index(part) - 1]
        return Gradient(("part", block, previous, target), taken.parts[block][previous], taken.scale)
    return Gradient(("state", before, target), taken.states[before], taken.scale)

"""The network's own readout at every state it fits: loss, answer and gradient, later blocks skipped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .architecture import Network
from .data import IGNORED
from .residual import Residual, label_residual, soft_residual, top1
from .tap import frozen
from .tracing import Target, Trace, chunks, classes_of

StateId = int | tuple[int, str]
"""A place in ``Trace.states``, or (block, part) for the state inside a block that a part reads."""


@dataclass
class Readout:
    """What the readout says at one state.

    Attributes:
        loss: (N, P) float64, nats, against the label.
        answer: (N, P) int64 top-1.
        gradients: target -> (direction in the state's layout, norm (N, P) float64); the gradient of
            a unit's loss is norm · direction. Empty at the last state, where no block begins.
    """

    loss: Tensor
    answer: Tensor
    gradients: dict[Target, tuple[Tensor, Tensor]] = field(default_factory=dict)


def part_input(network: Network, trace: Trace, block: int, part: str) -> StateId:
    """The state a part is added to: the block's ``before``, or that plus the parts before it."""
    parts = network.blocks[block].parts
    first = next(iter(parts))
    return trace.before[block] if part == first or network.blocks[block].parallel else (block, part)


def state_at(network: Network, trace: Trace, where: StateId) -> Tensor:
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


def read(
    network: Network,
    trace: Trace,
    targets: Sequence[Target] = ("label",),
    gradients: bool = True,
    parts: bool = True,
) -> dict[StateId, Readout]:
    """Reads every state the readout fits, in chunks, so that units × classes never exists whole.

    Args:
        network: the network.
        trace: a trace of it.
        targets: what the gradients are taken against.
        gradients: also the gradient at every state that a block or part is added to.
        parts: also read the states inside blocks that parts are added to.

    Returns:
        State -> readout. States the readout does not fit are absent.
    """
    fits = readable(network, trace)
    wanted: list[StateId] = [i for i, fit in enumerate(fits) if fit]
    if parts:
        for block, outputs in enumerate(trace.parts):
            inside = (part_input(network, trace, block, part) for part in outputs)
            wanted += [i for i in inside if isinstance(i, tuple) and fits[trace.before[block]]]
    found: dict[StateId, Readout] = {}
    for where in wanted:
        asked = targets if gradients and (isinstance(where, tuple) or where in trace.before) else ()
        if where == len(fits) - 1 and not asked:
            found[where] = Readout(trace.loss, trace.answer)  # the network's own end, read by the trace
        else:
            found[where] = _read_state(network, trace, where, asked)
    return found


def _read_state(network: Network, trace: Trace, where: StateId, targets: Sequence[Target]) -> Readout:
    state = state_at(network, trace, where)
    rows, last = network.rows(state), network.rows(trace.states[-1])
    label = trace.targets.flatten()
    known = label != IGNORED
    answer = torch.empty_like(label)
    loss = torch.empty(len(label), dtype=torch.float64, device=label.device)
    directions: dict[Target, Tensor] = {t: torch.empty_like(rows) for t in targets}
    norms: dict[Target, Tensor] = {t: torch.empty_like(loss) for t in targets}
    with frozen(network.model):
        for part in chunks(len(rows), classes_of(network, rows)):
            x = rows[part].detach().requires_grad_(bool(targets))
            with torch.set_grad_enabled(bool(targets)):
                logits = network.readout(x)
            with torch.no_grad():
                residuals: dict[Target, Residual] = {"label": label_residual(logits, label[part])}
                answer[part], loss[part] = top1(logits), residuals["label"].loss
                if "answer" in targets:
                    final = trace.answer.flatten()[part].masked_fill(~known[part], IGNORED)
                    residuals["answer"] = label_residual(logits, final)
                if "model" in targets:
                    goal = network.readout(last[part]).double().log_softmax(1)
                    residuals["model"] = soft_residual(logits, goal, known[part])
            for place, target in enumerate(targets):
                seed = residuals[target].direction
                more = place + 1 < len(targets)
                (directions[target][part],) = torch.autograd.grad(logits, x, seed, retain_graph=more)
                norms[target][part] = residuals[target].norm
    shape = trace.targets.shape
    gradients = {t: (directions[t].reshape(state.shape), norms[t].reshape(shape)) for t in targets}
    return Readout(loss.reshape(shape), answer.reshape(shape), gradients)

"""A readout at every state it fits, the network's own or through a lens: loss, answer, gradient; later blocks skipped."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .architecture import Network
from .data import IGNORED
from .errors import ItinfError
from .lenses.reading import logits, vectors
from .lenses.translator import Translator
from .residual import Residual, label_residual, soft_residual, top1
from .tap import frozen
from .tracing import Target, Trace, chunks, classes_of

if TYPE_CHECKING:
    from .lenses.lens import Lens

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


def readers(network: Network, trace: Trace, lens: Lens | None = None) -> dict[StateId, Translator | None]:
    """The states that can be read, each with the translator it is read through.

    Args:
        network: the network; ``trace``: any trace of it.
        lens: None for the network's own readout, which has no translators.

    Raises:
        ItinfError: a lens of a network with other states.
    """
    if lens is None:
        return {place: None for place, fit in enumerate(readable(network, trace)) if fit}
    found: dict[StateId, Translator | None] = {}
    for place, translator in zip(lens.places, lens.translators, strict=True):
        if not _there(trace, place.where):
            raise ItinfError(f"{_foreign(network, lens)} there is no state {place.name!r}. Fit a lens on this network.")
        width = vectors(network, state_at(network, trace, place.where)[:1]).shape[-1]
        if width != place.width:
            what = f"the state {place.name!r} is {width} wide, not {place.width}"
            raise ItinfError(f"{_foreign(network, lens)} {what}. Fit a lens on this network.")
        if translator is not None:
            found[place.where] = _on(translator, network.device)
    return found


def said(network: Network, rows: Tensor, translator: Translator | None = None) -> Tensor:
    """Logits (R, classes) of ``network.rows`` of a state, or a slice of them, read through a translator."""
    if translator is None:
        return network.readout(rows)
    return logits(network, translator(rows if network.unit == "token" else vectors(network, rows)))


def read(
    network: Network,
    trace: Trace,
    targets: Sequence[Target] = ("label",),
    gradients: bool = True,
    parts: bool = True,
    lens: Lens | None = None,
) -> dict[StateId, Readout]:
    """Reads every state the readout fits, in chunks, so that units × classes never exists whole.

    Args:
        network: the network.
        trace: a trace of it.
        targets: what the gradients are taken against.
        gradients: also the gradient at every state that a block or part is added to.
        parts: also read the states inside blocks that parts are added to.
        lens: read through it every state that it reads; gradients are in the state's own layout and width.

    Returns:
        State -> readout. States the readout does not fit are absent.
    """
    through = readers(network, trace, lens)
    wanted: list[StateId] = [i for i in through if parts or not isinstance(i, tuple)]
    if parts and lens is None:
        for block, outputs in enumerate(trace.parts):
            inside = (part_input(network, trace, block, part) for part in outputs)
            wanted += [i for i in inside if isinstance(i, tuple) and trace.before[block] in through]
    found: dict[StateId, Readout] = {}
    for where in wanted:
        asked = targets if gradients and (isinstance(where, tuple) or where in trace.before) else ()
        if lens is None and where == len(trace.states) - 1 and not asked:
            found[where] = Readout(trace.loss, trace.answer)  # the network's own end, read by the trace
        else:
            found[where] = read_state(network, trace, where, asked, through.get(where))
    return found


def read_state(
    network: Network, trace: Trace, where: StateId, targets: Sequence[Target] = (), translator: Translator | None = None
) -> Readout:
    """One state read through a translator that fits its width, None for none; gradients for ``targets``."""
    state = state_at(network, trace, where)
    rows, last = network.rows(state), network.rows(trace.states[-1])
    label = trace.targets.flatten()
    known = label != IGNORED
    answer = torch.empty_like(label)
    loss = torch.empty(len(label), dtype=torch.float64, device=label.device)
    directions: dict[Target, Tensor] = {t: torch.empty_like(rows) for t in targets}
    norms: dict[Target, Tensor] = {t: torch.empty_like(loss) for t in targets}
    with frozen(network.model):
        for part in chunks(len(rows), classes_of(network, last)):
            x = rows[part].detach().requires_grad_(bool(targets))
            with torch.set_grad_enabled(bool(targets)):
                z = said(network, x, translator)
            with torch.no_grad():
                residuals: dict[Target, Residual] = {"label": label_residual(z, label[part])}
                answer[part], loss[part] = top1(z), residuals["label"].loss
                if "answer" in targets:
                    final = trace.answer.flatten()[part].masked_fill(~known[part], IGNORED)
                    residuals["answer"] = label_residual(z, final)
                if "model" in targets:
                    goal = network.readout(last[part]).double().log_softmax(1)
                    residuals["model"] = soft_residual(z, goal, known[part])
            for place, target in enumerate(targets):
                seed = residuals[target].direction
                more = place + 1 < len(targets)
                (directions[target][part],) = torch.autograd.grad(z, x, seed, retain_graph=more)
                norms[target][part] = residuals[target].norm
    shape = trace.targets.shape
    gradients = {t: (directions[t].reshape(state.shape), norms[t].reshape(shape)) for t in targets}
    return Readout(loss.reshape(shape), answer.reshape(shape), gradients)


def _there(trace: Trace, where: StateId) -> bool:
    if isinstance(where, int):
        return 0 <= where < len(trace.states)
    block, part = where
    return 0 <= block < len(trace.parts) and part in trace.parts[block]


def _foreign(network: Network, lens: Lens) -> str:
    return f"The {lens.kind} lens of {lens.record.get('network', 'another network')} does not fit {network.name}:"


def _on(translator: Translator, device: torch.device) -> Translator:
    """On that device, the lens's own left where it is."""
    return translator if translator.weight.device == device else copy.deepcopy(translator).to(device)

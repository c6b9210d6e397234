"""Readouts: loss, answer and gradient of every state that the network's readout fits, or that a lens reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..data.dataset import IGNORED
from ..lenses.lens import translators_at
from ..lenses.translator import Translator, translated_logits
from ..networks.measuring import evaluating
from ..networks.readout import chunks, classes_of, gradient_through
from ..networks.residual import Residual, label_residual, soft_residual, top1
from ..networks.states import part_input
from ..networks.trace import SiteId, Target, Trace

if TYPE_CHECKING:
    from ..lenses.lens import Lens


@dataclass
class Readout:
    """The readout of one state.

    Attributes:
        loss: (N, P) float64, nats, against the label.
        answer: (N, P) int64, top-1 class.
        gradients: target -> (direction in the state's layout, norm (N, P) float64); the gradient of
            a unit's loss is norm · direction. Empty at the last state, where no block begins.
    """

    loss: Tensor
    answer: Tensor
    gradients: dict[Target, tuple[Tensor, Tensor]] = field(default_factory=dict)


def read(
    trace: Trace,
    targets: Sequence[Target] = ("label",),
    gradients: bool = True,
    parts: bool = True,
    lens: Lens | None = None,
) -> dict[SiteId, Readout]:
    """Reads every state that the readout fits; in chunks, so that the logits of all units are never held at once.

    Args:
        trace: trace of the batch.
        targets: targets of the gradients.
        gradients: True computes the gradient at every state that a block or part is added to.
        parts: True also reads the states inside blocks that parts are added to.
        lens: a lens; it reads every state that it has a translator for. Gradients have the layout and width of the
            state.

    Returns:
        State -> readout. States that the readout does not fit are left out.
    """
    through = translators_at(trace, lens)
    sites: list[SiteId] = [i for i in through if parts or not isinstance(i, tuple)]
    if parts and lens is None:
        for block, outputs in enumerate(trace.parts):
            inside = (part_input(trace, block, part) for part in outputs)
            sites += [i for i in inside if isinstance(i, tuple) and trace.before[block] in through]
    readouts: dict[SiteId, Readout] = {}
    for site in sites:
        aims = targets if gradients and (isinstance(site, tuple) or site in trace.before) else ()
        if lens is None and site == len(trace.states) - 1 and not aims:
            readouts[site] = Readout(trace.loss, trace.answer)  # the end of the network, which the trace has read
        else:
            readouts[site] = read_state(trace, site, aims, through.get(site))
    return readouts


def read_state(
    trace: Trace, site: SiteId, targets: Sequence[Target] = (), translator: Translator | None = None
) -> Readout:
    """Reads one state through a translator of its width (None: without a translator); gradients for ``targets``."""
    network, state = trace.network, trace.state(site)
    rows, last = network.per_prediction(state), network.per_prediction(trace.states[-1])
    label = trace.targets.flatten()
    known = label != IGNORED
    answer = torch.empty_like(label)
    loss = torch.empty(len(label), dtype=torch.float64, device=label.device)
    directions: dict[Target, Tensor] = {t: torch.empty_like(rows) for t in targets}
    norms: dict[Target, Tensor] = {t: torch.empty_like(loss) for t in targets}
    with evaluating(network):
        for part in chunks(len(rows), classes_of(network, last)):
            x = rows[part].detach().requires_grad_(bool(targets))
            with torch.set_grad_enabled(bool(targets)):
                z = translated_logits(network, x, translator)
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
                directions[target][part] = gradient_through(network, z, x, seed, more)
                norms[target][part] = residuals[target].norm
    shape = trace.targets.shape
    gradients = {t: (directions[t].reshape(state.shape), norms[t].reshape(shape)) for t in targets}
    return Readout(loss.reshape(shape), answer.reshape(shape), gradients)

"""Another forward pass of some clusters: with states nudged on their way, or with its graph for several gradients."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import ItinfError
from .hooks import Nudge, recorded
from .inputs import run
from .network import Network
from .trace import distinct


def states_of(network: Network, inputs: Tensor, nudge: Nudge | None = None) -> list[Tensor]:
    """The distinct states of a forward pass, as the model has them; with gradients enabled, with their graph.

    Args:
        network: the network.
        inputs: what ``Trace.inputs`` holds of some clusters.
        nudge: changes states on their way to the next block, see ``itinf.networks.hooks.recorded``.
    """
    with recorded(network, nudge) as recording:
        run(network, inputs)
    return distinct(recording)[0]


def spread(network: Network, like: Tensor, rows: Tensor, values: Tensor) -> Tensor:
    """A tensor like a state of the model that holds ``values`` at some rows of ``Network.per_prediction``, else zeros."""
    first = torch.zeros(network.batch_first(like).shape, dtype=like.dtype, device=like.device)
    network.per_prediction(first)[rows] = values.to(like.dtype)
    return network.batch_first(first)


def gradients_at(
    network: Network, states: Sequence[Tensor], sites: Sequence[int], rows: Tensor, seed: Tensor
) -> list[Tensor]:
    """The gradients at some states of a function of the last state, at the rows that it reads; the graph is kept.

    Args: as for ``gradients_everywhere``.

    Returns:
        For each of ``sites`` (R, …).
    """
    return [network.per_prediction(g)[rows] for g in gradients_everywhere(network, states, sites, rows, seed)]


def gradients_everywhere(
    network: Network, states: Sequence[Tensor], sites: Sequence[int], rows: Tensor, seed: Tensor
) -> list[Tensor]:
    """The gradients at some states of a function of the last state, at all positions; the graph is kept.

    Args:
        network: the network; ``states``: from ``states_of``, with their graph.
        sites: numbers of states; the last state is none of them.
        rows: (R,) rows of ``Network.per_prediction`` that the function reads.
        seed: (R, …) its gradient at the last state.

    Returns:
        For each of ``sites`` a tensor like the state, the batch first.

    Raises:
        ItinfError: no gradient reaches a state.
    """
    last, wanted = states[-1], [states[site] for site in sites]
    if not wanted:
        return []
    found: Sequence[Tensor | None] = [None]
    if last.requires_grad:
        start = spread(network, last, rows, seed)
        found = torch.autograd.grad(last, wanted, start, retain_graph=True, allow_unused=True)
    reached = [gradient for gradient in found if gradient is not None]
    if len(reached) < len(wanted):
        raise ItinfError(f"{network.name}: no gradient reaches every state; does a block detach its input?")
    return [network.batch_first(gradient) for gradient in reached]

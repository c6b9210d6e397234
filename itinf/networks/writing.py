"""A token network that writes: it samples next tokens from its own predictions, by random numbers that are given."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import ItinfError
from .measuring import evaluating
from .network import Network
from .rerun import states_of


def require_writer(network: Network, what: str) -> None:
    """Refuses a network that predicts no next tokens.

    Args:
        network: the network; ``what``: a name of the measurement, for the message.

    Raises:
        ItinfError: it reads no tokens, or its positions see later ones.
    """
    if network.unit != "token":
        raise ItinfError(
            f"{what} is about next tokens, and {network.name} predicts one class per {network.unit}. "
            "Give a causal language model."
        )
    if not network.causal:
        raise ItinfError(
            f"{network.name} says causal=False: its positions see later tokens, so it predicts no next token, and {what} has "
            "no meaning. Give a causal language model."
        )


@torch.no_grad()
def next_logits(network: Network, ids: Tensor) -> Tensor:
    """(N, V) float64 logits of the token that follows ids (N, T)."""
    with evaluating(network):
        last = network.batch_first(states_of(network, ids)[-1])
        return network.readout(last[:, -1]).double()


def written(network: Network, ids: Tensor, draws: Tensor) -> Tensor:
    """What a network writes after ids, one token for each column of random numbers.

    The token of a number u is the first class at which the sum of the probabilities is above u. So equal numbers give
    equal tokens, whatever else is in the batch.

    Args:
        network: a causal token network.
        ids: (N, T).
        draws: (N, n) float64, from 0 to below 1.

    Returns:
        (N, T + n) ids.
    """
    for draw in draws.T:
        reached = next_logits(network, ids).softmax(1).cumsum(1)
        token = (
            (reached <= draw.unsqueeze(1)).sum(1).clamp_max(reached.shape[1] - 1)
        )  # a sum may end below 1 by rounding
        ids = torch.cat([ids, token.unsqueeze(1)], 1)
    return ids

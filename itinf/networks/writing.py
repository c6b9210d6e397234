"""A token network that writes: it samples next tokens from its own predictions, by random numbers that are given."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import ItinfError
from .findings import tolerance
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


class Writer:
    """A text of N sequences that grows by what a network writes, and by what others insert.

    Where the network has a ``step``, each token is read once. The first step is compared with a whole pass; if they differ,
    every token takes a whole pass.

    Attributes:
        ids: (N, T), the text so far.
    """

    def __init__(self, network: Network, ids: Tensor) -> None:
        self.network, self.ids = network, ids
        self._steps = network.step is not None and not ids.is_floating_point()
        self._read, self._memory = 0, None

    def write(self, draws: Tensor) -> None:
        """Appends one token for each column of draws (N, n), float64, from 0 to below 1.

        The token of a number u is the first class at which the sum of the probabilities is above u. So equal numbers give
        equal tokens, whatever else is in the batch.
        """
        for draw in draws.T:
            reached = self._next().softmax(1).cumsum(1)
            token = (reached <= draw.unsqueeze(1)).sum(1)
            self.insert(token.clamp_max(reached.shape[1] - 1).unsqueeze(1))  # a sum may end below 1 by rounding

    def insert(self, tokens: Tensor) -> None:
        """Appends tokens (N, n)."""
        self.ids = torch.cat([self.ids, tokens], 1)

    @torch.no_grad()
    def _next(self) -> Tensor:
        if not self._steps:
            return next_logits(self.network, self.ids)
        assert self.network.step is not None
        first, new = self._read == 0, self.ids[:, self._read :]
        with evaluating(self.network):
            logits, self._memory = self.network.step(self.network.model, new, self._memory)
        self._read, logits = self.ids.shape[1], logits.double()
        if not first:
            return logits
        whole = next_logits(self.network, self.ids)
        self._steps = bool((logits - whole).abs().max() <= tolerance(self.network) * whole.abs().max())
        return whole

"""The bits that chosen tokens cost a network, read at its end or at any state through a lens."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..data.dataset import IGNORED
from ..lenses.translator import Translator, translated_logits
from ..networks.measuring import evaluating
from ..networks.network import Network
from ..networks.readout import chunks, classes_of
from ..networks.rerun import states_of

Readers = Mapping[int, Translator | None]
"""Number of a state -> the translator that reads it; None for the network's own readout."""


@torch.no_grad()
def bits_of(network: Network, ids: Tensor, first: int, tokens: Tensor, readers: Readers) -> dict[int, Tensor]:
    """The bits that tokens cost after ids.

    Args:
        network: a causal token network.
        ids: (N, T).
        first: the position that predicts the first of ``tokens``; the next positions predict the others.
        tokens: (N, P) ids; those that are ``IGNORED`` cost 0.
        readers: the states to read.

    Returns:
        Number of a state -> (N, P) float64.
    """
    with evaluating(network):
        return bits_at(
            network, [network.batch_first(state) for state in states_of(network, ids)], first, tokens, readers
        )


@torch.no_grad()
def bits_at(
    network: Network, states: Sequence[Tensor], first: int, tokens: Tensor, readers: Readers
) -> dict[int, Tensor]:
    """The same from the states of a pass, the batch first."""
    here = slice(first, first + tokens.shape[1])
    with evaluating(network):
        return {n: _bits(network, states[n][:, here], tokens, translator) for n, translator in readers.items()}


def _bits(network: Network, state: Tensor, tokens: Tensor, translator: Translator | None) -> Tensor:
    rows, labels = network.per_prediction(state), tokens.flatten()
    known = labels != IGNORED
    bits = torch.zeros(len(rows), dtype=torch.float64, device=rows.device)
    last = rows if translator is None else translator(rows)
    for part in chunks(len(rows), classes_of(network, last[:1])):
        logs = translated_logits(network, rows[part], translator).double().log_softmax(1)
        bits[part] = -logs.gather(1, labels[part].clamp_min(0).unsqueeze(1)).squeeze(1) / math.log(2)
    return torch.where(known, bits, 0.0).view(tokens.shape)

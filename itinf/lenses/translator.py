"""Translators: affine maps from a state's vectors to vectors that the readout reads."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ItinfError
from ..networks.network import Network
from ..networks.readout import logits, vectors


class Translator(nn.Module):
    """The map x + A x + b where the widths agree, A x + b where they differ.

    Attributes:
        weight: A, (E, D).
        bias: b, (E,).
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    @classmethod
    def identity(cls, width: int) -> Translator:
        """The translator of the logit lens: returns every vector bit for bit."""
        return cls(torch.zeros(width, width), torch.zeros(width))

    @classmethod
    def of(cls, matrix: Tensor, bias: Tensor) -> Translator:
        """The map x ↦ ``matrix`` x + ``bias``, kept in float32."""
        square = matrix.shape[0] == matrix.shape[1]
        weight = matrix - torch.eye(len(matrix)).to(matrix) if square else matrix
        return cls(weight.float(), bias.float())

    @property
    def square(self) -> bool:
        """Whether it maps to vectors of the same width."""
        return self.weight.shape[0] == self.weight.shape[1]

    @property
    def matrix(self) -> Tensor:
        """(E, D): the linear part, with the identity."""
        weight = self.weight.detach()
        return weight + torch.eye(len(weight)).to(weight) if self.square else weight

    def on(self, device: torch.device) -> Translator:
        """This translator where it is on the device already, else a copy there."""
        return self if self.weight.device == device else copy.deepcopy(self).to(device)

    def forward(self, vectors: Tensor) -> Tensor:
        """(…, D) -> (…, E), float32 at least.

        Raises:
            ItinfError: vectors of another width.
        """
        if vectors.shape[-1] != self.weight.shape[1]:
            raise ItinfError(
                f"This translator reads vectors of width {self.weight.shape[1]}, and these are {vectors.shape[-1]} wide. "
                "A lens transfers only between states of one width; choose both within a segment."
            )
        vectors = vectors.float() if vectors.element_size() < 4 else vectors
        change = F.linear(vectors, self.weight.to(vectors.dtype), self.bias.to(vectors.dtype))
        return vectors + change if self.square else change


class Tempered(Translator):
    """A translator whose logits z are read as β z + (1 − β) log π: with another confidence, and the same prior π.

    Attributes:
        beta: β; 0 gives the prior alone.
        log_prior: (classes,) log π.
    """

    def __init__(self, translator: Translator, beta: float, log_prior: Tensor) -> None:
        super().__init__(translator.weight.detach(), translator.bias.detach())
        self.beta, self.log_prior = beta, log_prior.to(translator.weight)


def translated_logits(network: Network, rows: Tensor, translator: Translator | None = None) -> Tensor:
    """Logits (R, classes) of ``Network.per_prediction`` of a state, or a slice of it, read through a translator."""
    if translator is None:
        return network.readout(rows)
    z = logits(network, translator(rows if network.unit == "token" else vectors(network, rows)))
    if isinstance(translator, Tempered):
        return translator.beta * z + (1 - translator.beta) * translator.log_prior
    return z

"""Translators: affine maps from a state's width to the width that the readout reads."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ItinfError
from ..networks.network import Network
from ..networks.readout import logits, vectors


class Translator(nn.Module):
    """x + A x + b where widths agree, A x + b where they do not; holds no model.

    Attributes:
        weight: A, (E, D).
        bias: b, (E,).
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    @classmethod
    def identity(cls, width: int) -> Translator:
        """The logit lens: leaves every vector as it is, bit for bit."""
        return cls(torch.zeros(width, width), torch.zeros(width))

    @classmethod
    def of(cls, matrix: Tensor, bias: Tensor) -> Translator:
        """The map x ↦ ``matrix`` x + ``bias``, kept in float32."""
        square = matrix.shape[0] == matrix.shape[1]
        weight = matrix - torch.eye(len(matrix)).to(matrix) if square else matrix
        return cls(weight.float(), bias.float())

    @property
    def square(self) -> bool:
        return self.weight.shape[0] == self.weight.shape[1]

    @property
    def matrix(self) -> Tensor:
        """(E, D): the whole linear part."""
        weight = self.weight.detach()
        return weight + torch.eye(len(weight)).to(weight) if self.square else weight

    def forward(self, vectors: Tensor) -> Tensor:
        """(…, D) -> (…, E).

        Raises:
            ItinfError: vectors of another width.
        """
        if vectors.shape[-1] != self.weight.shape[1]:
            raise ItinfError(
                f"This translator reads vectors of width {self.weight.shape[1]}, and these are {vectors.shape[-1]} wide. "
                "A lens transfers only between states of one width; choose both within a segment."
            )
        change = F.linear(vectors, self.weight.to(vectors.dtype), self.bias.to(vectors.dtype))
        return vectors + change if self.square else change


def translated_logits(network: Network, rows: Tensor, translator: Translator | None = None) -> Tensor:
    """Logits (R, classes) of ``network.rows`` of a state, or a slice of them, read through a translator."""
    if translator is None:
        return network.readout(rows)
    return logits(network, translator(rows if network.unit == "token" else vectors(network, rows)))

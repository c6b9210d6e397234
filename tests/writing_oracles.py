"""Token networks whose use of their context is known by construction, and data for them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from itinf import Block, Network
from oracles import generator
from tiny import Items

SYMBOLS, VOCABULARY = 4, 1024
"""With seed 0 no random token inserted into 200 of ``sequences`` is a symbol."""
RARE = -20.0
"""Logit of every token that the data never hold."""


class Nothing(nn.Module):
    """A block that adds nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.zero = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, h: Tensor) -> Tensor:
        return h + self.zero * h


class Padded(nn.Module):
    """Logits of the symbols, and the same rare one for every other token."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.out_features = classes

    def forward(self, h: Tensor) -> Tensor:
        return F.pad(h, (0, self.out_features - h.shape[-1]), value=RARE)


class Reads(nn.Module):
    """ids -> ``state(ids)`` (N, T, D) -> a block that adds nothing -> logits."""

    def __init__(self, state, classes: int) -> None:
        super().__init__()
        self.state, self.block, self.head = state, Nothing(), Padded(classes)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.block(self.state(ids)))


def reads(state, classes: int = VOCABULARY, **settings) -> Network:
    model = Reads(state, classes)
    return Network(model, [Block("block")], layout="n t c", unit="token", head=model.head, **settings)


def bigram(classes: int = VOCABULARY, **settings) -> Network:
    """Predicts from one token alone."""
    table = torch.randn(classes, min(classes, 2 * SYMBOLS), generator=generator(5), dtype=torch.float64)
    return reads(lambda ids: table[ids], classes, **settings)


def counting(forgets: bool) -> Network:
    """Predicts the symbols by how often each stood in the context, plus ½; other tokens change nothing.

    One that ``forgets`` counts from the last other token on: what stood before it is lost for good.
    """

    def state(ids: Tensor) -> Tensor:
        one = F.one_hot(ids.clamp_max(SYMBOLS), SYMBOLS + 1).double()
        counts, other = one[..., :SYMBOLS].cumsum(1), one[..., SYMBOLS:]
        if forgets:
            counts = counts - (counts * other).cummax(1).values
        return (counts + 0.5).log()

    return reads(state)


def adapting(classes: int) -> Network:
    """The same for a vocabulary that consists of symbols alone: it learns what is inserted."""
    return reads(lambda ids: (F.one_hot(ids, classes).double().cumsum(1) + 0.05).log(), classes)


def sequences(count: int = 24, length: int = 97, symbols: int = SYMBOLS) -> Items:
    """Each draws its symbols with its own frequencies, so that a longer context predicts better."""
    draw = generator(7)
    shares = torch.randn(count, symbols, generator=draw).mul(1.5).softmax(1)
    ids = torch.multinomial(shares, length + 1, replacement=True, generator=draw)
    return Items("token", ids[:, :-1], ids[:, 1:])

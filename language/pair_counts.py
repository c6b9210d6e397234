"""Counts of token pairs: the simplest language model, and what a trained one has to compress better than."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from .encoder import Encoder

PRIOR = 20.0
"""Weight of the shares of single tokens in the counts of pairs, in tokens: about the best for a pair left out of the counts."""


def log_shares(counts: Tensor) -> Tensor:
    """Logits (V, V) of the next token from counts of pairs (V, V), with the shares of single tokens as prior."""
    counts = counts.double()
    single = counts.sum(0) + 1
    prior = PRIOR * single / single.sum()
    return ((counts + prior) / (counts.sum(1, keepdim=True) + PRIOR)).log().float()


def pair_counts(documents: Iterable[Sequence[int]], vocabulary: int) -> Tensor:
    """How often token b comes right after token a in documents of ids, (V, V) at [a, b]."""
    ids = [torch.tensor(document, dtype=torch.int64) for document in documents]
    pairs = torch.cat([one[:-1] * vocabulary + one[1:] for one in ids])
    return torch.bincount(pairs, minlength=vocabulary**2).view(vocabulary, vocabulary)


def pair_bits_per_byte(prepare: Encoder, known: Iterable[str], text: str) -> float:
    """Code length of a text by counts of token pairs, in bits per UTF-8 byte; the first token is coded uniformly.

    Args:
        prepare: text -> ids.
        known: the texts whose pairs are counted.
        text: the text to code, not empty.
    """
    shares = log_shares(pair_counts((prepare(one).tolist() for one in known), prepare.vocabulary))
    ids = prepare(text)
    nats = math.log(prepare.vocabulary) - float(shares[ids[:-1], ids[1:]].double().sum())
    return nats / math.log(2) / len(text.encode())

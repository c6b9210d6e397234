"""Compression of text, in bits per byte: by a language model, and by xz for comparison."""

from __future__ import annotations

import lzma
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from itinf import ItinfError, Network
from itinf.data.clusters import Progress, silent


def bits_per_byte(network: Network, text: str, *, progress: Progress = silent) -> tuple[float, int]:
    """Code length of a text under the network, see ``bits_per_byte_of_each``.

    Returns:
        bits per UTF-8 byte, and the number of tokens.
    """
    (bits,), tokens = bits_per_byte_of_each(network, text, lambda ids: [network.model(ids).logits], progress=progress)
    return bits, tokens


def bits_per_byte_of_each(
    network: Network, text: str, read: Callable[[Tensor], Sequence[Tensor]], *, progress: Progress = silent
) -> tuple[list[float], int]:
    """Code lengths of a text under several readouts of a network: Σ −log₂ p(token | previous tokens in the context) / bytes.

    Windows are as long as the context and move by half a context. So every token, except the first ones of the text, is
    predicted from at least half a context. The first token has no previous token; it is coded uniformly.

    Args:
        network: a token network with ``prepare`` and ``context``.
        text: a text that is not empty.
        read: ids (1, T) -> logits (1, T, V) of each readout.
        progress: called with ("compressing", tokens done, all tokens).

    Returns:
        bits per UTF-8 byte of each readout, and the number of tokens.

    Raises:
        ItinfError: the text is empty.
    """
    if not text:
        raise ItinfError("bits_per_byte was given an empty text, which has no bytes. Give one character or more.")
    assert network.prepare is not None and network.context is not None
    ids = network.prepare(text)
    nats, start, coded = np.zeros(1), 0, 1
    with torch.no_grad():
        while coded < len(ids):
            window = ids[start : start + network.context + 1]
            known = coded - 1 - start  # predictions that the previous window has already made
            targets = window[1 + known :]
            logits = [one[0, known:].float() for one in read(window[None, :-1])]  # (T, V) each
            nats = nats + [float(F.cross_entropy(one, targets, reduction="sum")) for one in logits]
            coded = start + len(window)
            start += max(network.context // 2, 1)
            progress("compressing", coded, len(ids))
    nats = nats + math.log(network.head.out_features)  # type: ignore[attr-defined]
    return list(nats / math.log(2) / len(text.encode())), len(ids)


def xz_bits_per_byte(text: str) -> float:
    """Length of a text compressed with ``xz -9e``, in bits per UTF-8 byte."""
    content = text.encode()
    return 8 * len(lzma.compress(content, preset=9 | lzma.PRESET_EXTREME)) / len(content)

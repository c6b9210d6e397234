"""Vectors that a lens reads at a state, and the network's readout of them as logits."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import ItinfError
from .network import Network


def pools_first(network: Network) -> bool:
    """Whether a lens reads one vector per image: pooling and an affine map commute where no neck stands between."""
    return network.unit != "token" and network.neck is None


def vectors(network: Network, state: Tensor) -> Tensor:
    """What a translator reads, channels last.

    Args:
        network: the network.
        state: in the network's layout.

    Returns:
        (R, D): one row per token, or per image where the network pools first; else (N, …, D), one
        vector per position, for the network's own neck and pool to follow.
    """
    rows = network.per_prediction(state)
    if network.unit == "token":
        return rows
    if pools_first(network):
        return network.pooled(rows)
    return rows.movedim(1, -1) if network.layout == "n c h w" else rows


def logits(network: Network, vectors: Tensor) -> Tensor:
    """The network's readout of vectors of the last state's width.

    Args:
        network: the network.
        vectors: as ``vectors`` gives them, translated.

    Returns:
        (R, classes), float32 at least: losses are not taken in 16 bits.
    """
    vectors = vectors.to(network.readout_dtype)  # a translator gives float32 at least
    if pools_first(network):
        with network.explained("the head", vectors):
            logits = network.logits(vectors)
    else:
        channels_first = network.layout == "n c h w"
        logits = network.readout(vectors.movedim(-1, 1) if channels_first else vectors)
    return logits.float() if logits.element_size() < 4 else logits


def require_finite(network: Network, name: str, vectors: Tensor) -> None:
    """Raises ItinfError, with the state's name, where a number is NaN or infinite."""
    if not bool(vectors.isfinite().all()):
        raise ItinfError(
            f"{network.name}: the state {name!r} holds numbers that are not finite. "
            "Look for NaN in the weights or the inputs, or use a wider --dtype."
        )


def gradient_through(
    network: Network, logits: Tensor, rows: Tensor, seed: Tensor, retain_graph: bool = False
) -> Tensor:
    """The gradient at rows that were read as logits, from the gradient ``seed`` at the logits.

    Raises:
        ItinfError: none passes through the readout, as where it is quantized or detaches.
    """
    gradient = None
    if logits.requires_grad:
        (gradient,) = torch.autograd.grad(logits, rows, seed, retain_graph=retain_graph, allow_unused=True)
    if gradient is None:
        raise ItinfError(
            f"{network.name}: no gradient passes through the readout (neck, pool, head). Is it quantized, or does it detach? "
            "Give the model in floating-point numbers, or leave out probes with gradients."
        )
    return gradient


CHUNK_BYTES = 2**25
"""Size of the float32 logits that exist at once: readouts run over as many units as fit."""


def chunks(total: int, classes: int) -> list[slice]:
    """Slices of units whose float32 logits take about ``CHUNK_BYTES``."""
    size = max(1, CHUNK_BYTES // (4 * classes))
    return [slice(i, min(i + size, total)) for i in range(0, total, size)]


def classes_of(network: Network, rows: Tensor) -> int:
    """Number of logits a readout gives."""
    with torch.no_grad():
        return network.readout(rows[:1]).shape[-1]

"""All dot products of two stacks of vectors, from one matrix product, added up in float64."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

SPLIT = 16384
"""Largest number of products that are summed in the precision of the vectors."""


def stack(tensors: Sequence[Tensor], means: Sequence[Tensor]) -> Tensor:
    """Canonical tensors and mean vectors, stacked as rows.

    Args:
        tensors: each (N, P, C, S).
        means: each (C, S).

    Returns:
        (P, len(tensors)·N + len(means), C·S).
    """
    positions = tensors[0].shape[1]
    rows = [t.transpose(0, 1).flatten(2) for t in tensors]
    rows += [m.to(tensors[0].dtype).flatten().expand(positions, 1, -1) for m in means]
    return torch.cat(rows, 1)


def products(left: Tensor, right: Tensor) -> Tensor:
    """Dot products of every row of ``left`` (P, A, K) with every row of ``right`` (P, B, K).

    Returns:
        (P, A, B) float64.
    """
    total = torch.zeros(left.shape[0], left.shape[1], right.shape[1], dtype=torch.float64, device=left.device)
    for start in range(0, left.shape[2], SPLIT):
        stop = start + SPLIT
        total += torch.bmm(left[:, :, start:stop], right[:, :, start:stop].transpose(1, 2))
    return total


def stacked_products(
    left: tuple[Sequence[Tensor], Sequence[Tensor]], right: tuple[Sequence[Tensor], Sequence[Tensor]]
) -> Tensor:
    """``products(stack(*left), stack(*right))``; a few channels at a time, so that no feature map is copied whole."""
    channels, positions = left[0][0].shape[2:]
    size = max(1, SPLIT // positions)
    total: Tensor | None = None
    for start in range(0, channels, size):
        part = slice(start, start + size)
        rows = (stack([t[:, :, part] for t in tensors], [m[part] for m in means]) for tensors, means in (left, right))
        table = products(*rows)
        total = table if total is None else total.add_(table)
    assert total is not None
    return total


def row_products(left: Tensor, right: Tensor, rows: Tensor) -> Tensor:
    """Dot products (C, m, m) float64 of every left with every right vector (N, P, C, S) of each row of row numbers (C, m)."""
    units = left.shape[0] * left.shape[1]
    return products(left.reshape(units, -1)[rows], right.reshape(units, -1)[rows])


def partner_products(left: Tensor, right: Tensor, partner: Tensor) -> Tensor:
    """(N·P,) float64: dot product of each left vector (N, P, C, S) with the partner's right one; 0 without a partner."""
    units = len(partner)
    rows, others = left.reshape(units, -1), right.reshape(units, -1)[partner.clamp_min(0)]
    return torch.bmm(rows.unsqueeze(1), others.unsqueeze(2)).flatten().double() * (partner >= 0)


def squares(tensor: Tensor) -> Tensor:
    """Sums of squares over the last axis: (N, P, C, S) -> (N, P, C) float64."""
    if tensor.shape[3] == 1:
        return tensor.squeeze(3).double().square()
    return torch.linalg.vector_norm(tensor, dim=3).double().square()


def square_norms(tensor: Tensor) -> Tensor:
    """Squared norm of every unit: (N, P, C, S) -> (N, P) float64."""
    if tensor.shape[3] == 1:
        return torch.linalg.vector_norm(tensor.squeeze(3), dim=2).double().square()
    return squares(tensor).sum(2)


def both_known(known: Tensor) -> Tensor:
    """Whether both units of a pair are known: (n, P) -> (P, n, n) bool."""
    return known.T.unsqueeze(2) & known.T.unsqueeze(1)


def between_clusters(values: Tensor, allowed: Tensor) -> Tensor:
    """Sums over the allowed pairs at every position: (P, n, n) -> (n, n)."""
    return torch.where(allowed, values, 0.0).sum(0)

"""Values of pairs of units, added up for every two clusters of a group.

Two clusters and the pairs of units between them are a *dyad*. All dyads of a batch are one tensor (groups, n, n):
the entry i, k of a group holds the pairs whose update is of cluster i and whose gradient or step is of cluster k.
The last group may be smaller; its rows and columns are filled with zeros.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def stacked(tables: Sequence[Tensor]) -> Tensor:
    """The (n, n) tables of all groups as one tensor (groups, n, n)."""
    size = max(len(table) for table in tables)
    return torch.stack([torch.nn.functional.pad(t, (0, size - len(t), 0, size - len(t))) for t in tables])


def of_partners(values: Tensor, partner: Tensor, size: int) -> Tensor:
    """The values of units with one partner each, for every dyad.

    Args:
        values: (N, P).
        partner: (N·P,) row of the partner in the same group, −1 for no partner; such units do not count.
        size: n, clusters per group.

    Returns:
        (groups, n, n) float64.
    """
    clusters, positions = values.shape
    number = -(-clusters // size)
    fits = partner >= 0
    other = torch.div(partner[fits], positions, rounding_mode="floor")
    one = torch.arange(clusters, device=partner.device).repeat_interleave(positions)[fits]
    total = torch.zeros(number * size * size, dtype=torch.float64, device=values.device)
    total.index_add_(0, one * size + other % size, values.flatten()[fits].double())
    return total.view(number, size, size)


def both_ways(dyads: Tensor) -> Tensor:
    """Each dyad with its two directions added up; pairs inside one cluster are left out."""
    total = dyads + dyads.transpose(1, 2)
    return total - torch.diag_embed(total.diagonal(dim1=1, dim2=2))


def per_cluster(dyads: Tensor, clusters: int) -> Tensor:
    """(N,): for each cluster, the sum over its dyads; every dyad is in the sums of both its clusters."""
    return dyads.sum(2).flatten()[:clusters]

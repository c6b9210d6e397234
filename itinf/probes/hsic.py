"""The unbiased Hilbert–Schmidt independence criterion of linear kernels, as numbers of units that add up."""

from __future__ import annotations

import torch
from torch import Tensor

FEWEST = 5
"""Units of a sample, at least: leaving one out must leave four, of which two pairs can be made."""


def centred_kernel(values: Tensor, known: Tensor) -> Tensor:
    """The linear kernel of every two units of a sample, doubly centred without bias (U-centring); 0 with itself.

    A shift of all values changes nothing. A sample with fewer than ``FEWEST`` known units is 0.

    Args:
        values: (B, n, C) of B samples.
        known: (B, n) bool; the others do not count.

    Returns:
        (B, n, n) float64, whose rows add up to 0.
    """
    here = enough(known).double()
    number = here.sum(1).clamp_min(FEWEST)[:, None, None]
    values = values.double() * here[:, :, None]
    values = (values - values.sum(1, keepdim=True) / number) * here[:, :, None]  # keeps the kernel's numbers small
    pairs = here[:, :, None] * here[:, None, :]
    pairs = pairs - torch.diag_embed(pairs.diagonal(dim1=1, dim2=2))
    kernel = (values @ values.mT) * pairs
    rows = kernel.sum(2, keepdim=True)
    whole = rows.sum(1, keepdim=True)
    return (kernel - (rows + rows.mT) / (number - 2) + whole / ((number - 1) * (number - 2))) * pairs


def criterion(one: Tensor, other: Tensor, known: Tensor) -> Tensor:
    """What every unit adds to the number of units times the criterion (Song et al. 2012, equation 5).

    The criterion of a sample is a mean over sets of four units. Each unit's number is that of the jackknife: n times the
    criterion of all n units minus n − 1 times that of the others. So sums over units are right, and replicates that
    weigh the units have the first-order spread that weights of the units in every kernel sum would have.

    Args:
        one, other: (B, n, n) from ``centred_kernel``.
        known: (B, n) bool, as it was there.

    Returns:
        (B, n) float64, 0 for units that do not count.
    """
    here = enough(known)
    number = here.sum(1, keepdim=True).clamp_min(FEWEST).double()
    unit = (one * other).sum(2)
    whole = unit.sum(1, keepdim=True)
    without = (whole - 2 * unit * (number - 2) / (number - 3)) / (number - 4)
    return torch.where(here, whole / (number - 3) - without, 0.0)


def enough(known: Tensor) -> Tensor:
    """The known units (B, n) of samples that have ``FEWEST`` of them."""
    return known & (known.sum(1, keepdim=True) >= FEWEST)

"""Channels of one state matched to those of another without labels, where nothing else gives them a common order."""

from __future__ import annotations

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ..moments import Moments
from ..shared import AffineMap


def matched(products: Tensor, first: Moments, second: Moments) -> AffineMap:
    """From the channels of one state to those of another that vary with them most alike.

    The assignment has the largest sum of correlations (Hungarian algorithm); then each channel is
    given the mean and scale of its partner. Constant channels become their partner's mean.

    Args:
        products: (D, D) sum over units of first × second.
        first: moments of the state whose channels are wanted; ``second``: of the one that is read.

    Returns:
        W (D, D) and b (D,) float64, from the second state to the first one's channels.
    """
    (mean, scale), (there, other) = _standard(first), _standard(second)
    covariance = products / first.n - torch.outer(mean, there)
    sizes = torch.outer(scale, other)
    correlation = torch.where(sizes > 0, covariance / sizes.clamp_min(torch.finfo(torch.float64).tiny), 0.0)
    _, partner = linear_sum_assignment(correlation.numpy(), maximize=True)
    chosen = torch.from_numpy(partner)
    factor = torch.where(other[chosen] > 0, scale / other[chosen].clamp_min(torch.finfo(torch.float64).tiny), 0.0)
    matrix = torch.zeros_like(covariance)
    matrix[torch.arange(len(chosen)), chosen] = factor
    return matrix, mean - matrix @ there


def _standard(moments: Moments) -> tuple[Tensor, Tensor]:
    return moments.mean, moments.covariance.diagonal().clamp_min(0).sqrt()

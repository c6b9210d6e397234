"""Matches the channels of one state to those of another, without labels, where no skip gives them a common order."""

from __future__ import annotations

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ..affine import AffineMap
from ..moments import Moments


def matched(products: Tensor, first: Moments, second: Moments) -> AffineMap:
    """The map from one state to another that pairs each channel with the one that varies most like it.

    The pairs have the largest sum of correlations (Hungarian algorithm). Each channel is then scaled and shifted to
    the mean and scale of its partner; a constant channel gives its partner's mean.

    Args:
        products: (D, D) sum over units of first × second.
        first: moments of the state whose channels the map gives; ``second``: of the state that it reads.

    Returns:
        W (D, D) and b (D,) float64, from the second state to the first one's channels.
    """
    (mean1, scale1), (mean2, scale2) = _mean_and_scale(first), _mean_and_scale(second)
    covariance = products / first.n - torch.outer(mean1, mean2)
    scales = torch.outer(scale1, scale2)
    correlation = torch.where(scales > 0, covariance / scales.clamp_min(torch.finfo(torch.float64).tiny), 0.0)
    _, columns = linear_sum_assignment(correlation.numpy(), maximize=True)
    partner = torch.from_numpy(columns)
    factor = torch.where(scale2[partner] > 0, scale1 / scale2[partner].clamp_min(torch.finfo(torch.float64).tiny), 0.0)
    matrix = torch.zeros_like(covariance)
    matrix[torch.arange(len(partner)), partner] = factor
    return matrix, mean1 - matrix @ mean2


def _mean_and_scale(moments: Moments) -> tuple[Tensor, Tensor]:
    return moments.mean, moments.covariance.diagonal().clamp_min(0).sqrt()

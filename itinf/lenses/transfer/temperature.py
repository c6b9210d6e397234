"""Losses of a lens at its best temperature: of π^{1−β} · q^β, renormalised, where q is the lens and π the prior."""

from __future__ import annotations

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

BETAS = (0.0, *(2.0**k for k in range(-7, 6)))
"""β of π^{1−β} · q^β: 0 is the prior alone, 1 the lens unchanged."""
GRID = 501
"""Values of β, about 2 % apart, among which the one with the lowest interpolated loss is taken."""
TINY = 1e-18
"""Smaller powers are set to 0: products of numbers that underflow are slow."""
LOWEST = -70.0
"""Smaller logarithms are raised to it: exp is a hundred times slower where it underflows."""


def exp_(logs: Tensor) -> Tensor:
    """exp in place, of logarithms up to about 0; those below ``LOWEST`` count as ``LOWEST``."""
    return logs.clamp_min_(LOWEST).exp_()


def tempered_losses(logits: Tensor, prior: Tensor, at_target: Tensor, prior_at_target: Tensor) -> Tensor:
    """Cross-entropy of π^{1−β} · q^β, renormalised, for every β of ``BETAS``.

    Args:
        logits: (M, R, classes), of q, for M cells and R units.
        prior: (classes,) log π, none −∞.
        at_target: (M, R) mean of the logits under the target; ``prior_at_target``: (R,) that of log π.

    Returns:
        (len(BETAS), M, R) float64, nats.
    """
    log_prior = prior.to(logits)
    prior_share = log_prior.exp()
    excess = logits - log_prior
    top = excess.amax(-1, keepdim=True)
    power = exp_(excess.sub_(top).mul_(BETAS[1]))
    target_excess = at_target.double() - prior_at_target.double() - top[..., 0].double()  # ≤ 0
    losses = torch.zeros(len(BETAS), *at_target.shape, dtype=torch.float64, device=logits.device)
    for row, beta in enumerate(BETAS[1:], 1):  # β doubles each time: take a square instead of an exponential
        losses[row] = (power @ prior_share).double().log() - beta * target_excess
        torch.threshold_(power.square_(), TINY, 0.0)
    return losses - prior_at_target.double()


def mixing(prior: Tensor, betas: Tensor) -> tuple[Tensor, Tensor]:
    """(1 − β) · log π, (M, 1, classes), and β, (M, 1, 1), of M cells; for ``tempered_total``."""
    beta = betas[:, None, None]
    return (1 - beta) * prior, beta


def tempered_total(logits: Tensor, shift: Tensor, scale: Tensor, buffer: Tensor | None = None) -> Tensor:
    """log Σ π^{1−β} · exp(logits)^β over classes, at one β for each cell.

    Args:
        logits: (M, R, classes); ``shift``, ``scale``: see ``mixing``.
        buffer: memory of the logits' shape to work in; it is overwritten.

    Returns:
        (M, R).
    """
    mixed = torch.addcmul(shift, logits, scale, out=buffer)
    top = mixed.amax(-1, keepdim=True)
    return exp_(mixed.sub_(top)).sum(-1).log_().add_(top[..., 0])


def best_betas(losses: Tensor) -> Tensor:
    """The β with the smallest loss: the lowest point of a cubic spline, between the neighbours of the best of ``BETAS``.

    Args:
        losses: (len(BETAS), M), sums over the same units.

    Returns:
        (M,) float64.
    """
    values = losses.cpu().numpy()
    nodes = np.arcsinh(np.array(BETAS) / BETAS[1])  # linear up to the first octave, logarithmic beyond
    grid = np.linspace(0, nodes[-1], GRID)[:, None]
    best = values.argmin(0)
    near = (grid >= nodes[np.maximum(best - 1, 0)]) & (grid <= nodes[np.minimum(best + 1, len(nodes) - 1)])
    lowest = np.where(near, CubicSpline(nodes, values)(grid[:, 0]), np.inf).argmin(0)
    return torch.from_numpy(BETAS[1] * np.sinh(grid[lowest, 0]))

"""How much a reading tells once its confidence is set right: losses of π^{1−β} · q^β, renormalised, π the prior."""

from __future__ import annotations

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

BETAS = (0.0, *(2.0**k for k in range(-7, 6)))
"""β of π^{1−β} · q^β: 0 is the prior alone, 1 the reading as it is."""
FINE = 501
"""Points at which the losses between these are looked for the lowest; about 2 % apart."""


def tempered_losses(logits: Tensor, prior: Tensor, at_target: Tensor, prior_at_target: Tensor) -> Tensor:
    """Cross-entropy of π^{1−β} · q^β, renormalised, for every β of ``BETAS``.

    Args:
        logits: (M, R, classes), of q, which M readings give for R units.
        prior: (classes,) log π, none −∞.
        at_target: (M, R) ``expected`` of the logits; ``prior_at_target``: (R,) of log π.

    Returns:
        (len(BETAS), M, R) float64, nats.
    """
    log_prior = prior.to(logits)
    share = log_prior.exp()
    excess = logits - log_prior
    top = excess.amax(-1, keepdim=True)
    power = excess.sub_(top).mul_(BETAS[1]).exp_()
    below = at_target.double() - prior_at_target.double() - top[..., 0].double()  # ≤ 0
    losses = torch.zeros(len(BETAS), *at_target.shape, dtype=torch.float64, device=logits.device)
    for place, beta in enumerate(BETAS[1:], 1):  # β doubles: a square instead of an exponential
        losses[place] = (power @ share).double().log() - beta * below
        power.square_()
    return losses - prior_at_target.double()


def mixing(prior: Tensor, betas: Tensor) -> tuple[Tensor, Tensor]:
    """(1 − β) · log π, (M, 1, classes), and β, (M, 1, 1), of M readings; for ``tempered_total``."""
    beta = betas[:, None, None]
    return (1 - beta) * prior, beta


def tempered_total(logits: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """log Σ π^{1−β} · exp(logits)^β over classes, at one β for each reading: (M, R)."""
    return log_total(torch.addcmul(shift, logits, scale))


def log_total(values: Tensor) -> Tensor:
    """log Σ exp over the last axis; the values are written over."""
    top = values.amax(-1, keepdim=True)
    return values.sub_(top).exp_().sum(-1).log_().add_(top[..., 0])


def expected(values: Tensor, targets: Tensor) -> Tensor:
    """Mean of values (M, R, classes) under targets (R,) or (R, classes): (M, R)."""
    if targets.ndim == 1:
        return values.gather(2, targets[:, None].expand(*values.shape[:2], 1))[..., 0]
    return torch.bmm(values.transpose(0, 1), targets.to(values)[..., None])[..., 0].T


def best_betas(losses: Tensor) -> Tensor:
    """The β that errs least: the lowest point of a cubic spline, between the neighbours of the best of ``BETAS``.

    Args:
        losses: (len(BETAS), M), sums over the same units.

    Returns:
        (M,) float64.
    """
    values = losses.cpu().numpy()
    nodes = np.arcsinh(np.array(BETAS) / BETAS[1])  # linear up to the first octave, logarithmic beyond
    fine = np.linspace(0, nodes[-1], FINE)[:, None]
    best = values.argmin(0)
    near = (fine >= nodes[np.maximum(best - 1, 0)]) & (fine <= nodes[np.minimum(best + 1, len(nodes) - 1)])
    lowest = np.where(near, CubicSpline(nodes, values)(fine[:, 0]), np.inf).argmin(0)
    return torch.from_numpy(BETAS[1] * np.sinh(fine[lowest, 0]))

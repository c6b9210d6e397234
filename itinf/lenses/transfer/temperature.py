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
TINY = 1e-18
LOWEST = -70.0
"""Logarithms below it count as it beside others near 0: exp is a hundred times slower where it underflows."""


def exp_(logs: Tensor) -> Tensor:
    """Of logarithms up to about 0, in place."""
    return logs.clamp_min_(LOWEST).exp_()


def tempered_losses(logits: Tensor, prior: Tensor, at_target: Tensor, prior_at_target: Tensor) -> Tensor:
    """Cross-entropy of π^{1−β} · q^β, renormalised, for every β of ``BETAS``.

    Args:
        logits: (M, R, classes), of q, which M readings give for R units.
        prior: (classes,) log π, none −∞.
        at_target: (M, R) the logits' mean under the target; ``prior_at_target``: (R,) that of log π.

    Returns:
        (len(BETAS), M, R) float64, nats.
    """
    log_prior = prior.to(logits)
    share = log_prior.exp()
    excess = logits - log_prior
    top = excess.amax(-1, keepdim=True)
    power = exp_(excess.sub_(top).mul_(BETAS[1]))
    below = at_target.double() - prior_at_target.double() - top[..., 0].double()  # ≤ 0
    losses = torch.zeros(len(BETAS), *at_target.shape, dtype=torch.float64, device=logits.device)
    for place, beta in enumerate(BETAS[1:], 1):  # β doubles: a square instead of an exponential
        losses[place] = (power @ share).double().log() - beta * below
        torch.threshold_(power.square_(), TINY, 0.0)  # products of numbers that underflow are slow, too
    return losses - prior_at_target.double()


def mixing(prior: Tensor, betas: Tensor) -> tuple[Tensor, Tensor]:
    """(1 − β) · log π, (M, 1, classes), and β, (M, 1, 1), of M readings; for ``tempered_total``."""
    beta = betas[:, None, None]
    return (1 - beta) * prior, beta


def tempered_total(logits: Tensor, shift: Tensor, scale: Tensor, room: Tensor | None = None) -> Tensor:
    """log Σ π^{1−β} · exp(logits)^β over classes, at one β for each reading.

    Args:
        logits: (M, R, classes); ``shift``, ``scale``: see ``mixing``.
        room: of the shape of the logits, to be written over.

    Returns:
        (M, R).
    """
    mixed = torch.addcmul(shift, logits, scale, out=room)
    top = mixed.amax(-1, keepdim=True)
    return exp_(mixed.sub_(top)).sum(-1).log_().add_(top[..., 0])


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

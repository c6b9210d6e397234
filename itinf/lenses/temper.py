"""How much a reading tells once its confidence is set right: losses at every temperature, against the prior."""

from __future__ import annotations

import torch
from torch import Tensor

BETAS = (0.0, *(2.0 ** (k / 2) for k in range(-10, 11)))
"""β of π^{1−β} · q^β: 0 is the prior alone, 1 the reading as it is. Steps of √2, from 1/32 to 32."""
ONE = BETAS.index(1.0)


def tempered_losses(logits: Tensor, prior: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of π^{1−β} · q^β, renormalised, for every β.

    Args:
        logits: (R, classes), of q.
        prior: (classes,) log π, none −∞.
        labels: (R,) int64.

    Returns:
        (len(BETAS), R) float64, nats.
    """
    log_prior = prior.to(logits)
    excess = logits - log_prior
    top = excess.amax(1, keepdim=True)
    at_label = (excess.gather(1, labels.unsqueeze(1)) - top).squeeze(1).double()  # ≤ 0
    share = log_prior.exp()
    losses = torch.empty(len(BETAS), len(labels), dtype=torch.float64, device=logits.device)
    losses[0] = 0.0
    for start in (1, 2):  # two chains, in each of which β doubles: a square instead of an exponential
        power = torch.exp((excess - top) * BETAS[start])
        for place in range(start, len(BETAS), 2):
            losses[place] = (power @ share).double().log() - BETAS[place] * at_label
            power = power.square_()
    return losses - prior.to(losses)[labels]

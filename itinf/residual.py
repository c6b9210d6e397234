"""The gradient of the cross-entropy by the logits, exact at every confidence.

A cosine does not change under a positive factor on a unit's loss, so what is back-propagated is the
residual softmax − target divided by its own norm. Everything is in terms of the log-odds of the
other classes against the label, so that no confidence is too high: with p = 1 − 1e-300 the
direction of the residual is still right.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .data import IGNORED


@dataclass(frozen=True)
class Residual:
    """Softmax minus target of R units.

    Attributes:
        direction: (R, classes), the residual divided by its norm, in the dtype of the logits;
            zero where the norm is exactly zero or the unit is ignored.
        norm: (R,) float64, the residual's l2 norm.
        loss: (R,) float64, cross-entropy in nats.
    """

    direction: Tensor
    norm: Tensor
    loss: Tensor


def label_residual(logits: Tensor, target: Tensor) -> Residual:
    """Residual of the cross-entropy against hard labels.

    Args:
        logits: (R, classes).
        target: (R,) int64, ``IGNORED`` where there is none.

    Returns:
        direction (R, classes), norm (R,), loss (R,).
    """
    known = target != IGNORED
    index = target.clamp_min(0).unsqueeze(1)  # (R, 1)
    z = logits.to(torch.float64, copy=True)
    own = z.gather(1, index)  # (R, 1)
    z.scatter_(1, index, -torch.inf)
    top = z.amax(1, keepdim=True)
    z.sub_(top).exp_()  # others, at most 1
    total = z.sum(1, keepdim=True)  # at least 1
    odds = total.log() - (own - top)  # log-odds of the others against the label
    z.div_(total)  # sums to 1 over the others
    length = (1 + torch.linalg.vector_norm(z, dim=1, keepdim=True).square()).sqrt()
    z.scatter_(1, index, -1.0).mul_(known.unsqueeze(1) / length)
    known = known.to(torch.float64)
    norm = (odds.sigmoid() * length).squeeze(1) * known
    return Residual(z.to(logits.dtype), norm, -F.logsigmoid(-odds).squeeze(1) * known)


def soft_residual(logits: Tensor, target: Tensor, known: Tensor) -> Residual:
    """Residual of the cross-entropy against a distribution, such as the network's final one.

    Args:
        logits: (R, classes).
        target: (R, classes) float64 log-probabilities.
        known: (R,) bool, False for ignored units.

    Returns:
        direction (R, classes), norm (R,), loss (R,): the cross-entropy, entropy of the target included.
    """
    log_p = logits.double().log_softmax(1)
    q, gap = target.exp(), log_p - target
    residual = torch.where(gap.abs() < 1, q * gap.expm1(), log_p.exp() - q)
    # p and q both round to 1 where the network is sure: the largest entry is what the others leave
    top = target.argmax(1, keepdim=True)
    residual.scatter_(1, top, 0.0)
    residual.scatter_(1, top, -residual.sum(1, keepdim=True))
    norm = torch.linalg.vector_norm(residual, dim=1, keepdim=True)
    direction = torch.where(norm > 0, residual / norm, 0.0) * known.unsqueeze(1)
    loss = -(q * log_p).sum(1)
    return Residual(direction.to(logits.dtype), norm.squeeze(1) * known, loss * known)

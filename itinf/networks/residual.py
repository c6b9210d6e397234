"""The gradient of the cross-entropy by the logits, exact at every confidence.

A positive factor on a unit's loss does not change a cosine, so we back-propagate the residual
softmax − target divided by its own norm. We compute it from the log-odds of the other classes against
the label, so that its direction is right at any confidence, even at p = 1 − 1e-300.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.dataset import IGNORED

PIECE_BYTES = 2**22
"""About how many bytes float64 work on logits uses at once; few enough to stay in cache and to reuse memory."""
SMALLEST = torch.finfo(torch.float32).tiny
"""Smaller entries of float32 directions are set to 0: denormal numbers make matrix products ten times slower."""
RUN = 1024
"""Classes that ``top1`` looks at together."""


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
    return _by_rows(_label_residual, logits, target)


def soft_residual(logits: Tensor, target: Tensor, known: Tensor) -> Residual:
    """Residual of the cross-entropy against a distribution, such as the network's final one.

    Args:
        logits: (R, classes).
        target: (R, classes) float64 log-probabilities.
        known: (R,) bool, False for ignored units.

    Returns:
        direction (R, classes), norm (R,), loss (R,): the cross-entropy, entropy of the target included.
    """
    return _by_rows(_soft_residual, logits, target, known)


def top1(logits: Tensor) -> Tensor:
    """Index (R,) of each unit's largest logit, of (R, classes)."""
    classes = logits.shape[1]
    # torch's argmax is ten times slower than its amax on a CPU, so it looks through one run only
    run = torch.stack([x.amax(1) for x in logits.split(RUN, 1)], 1).argmax(1, keepdim=True)  # (R, 1)
    within = torch.arange(min(RUN, classes), device=logits.device)
    index = (run * RUN + within).clamp_max(classes - 1)
    return index.gather(1, logits.gather(1, index).argmax(1, keepdim=True)).squeeze(1)


def _by_rows(residual: Callable[..., Residual], logits: Tensor, *others: Tensor) -> Residual:
    """The residual, a few units at a time."""
    norm, loss = (torch.empty(len(logits), dtype=torch.float64, device=logits.device) for _ in range(2))
    whole = Residual(torch.empty_like(logits), norm, loss)
    size = max(1, PIECE_BYTES // (8 * logits.shape[1]))
    smallest = min(SMALLEST, torch.finfo(logits.dtype).tiny)
    for start in range(0, len(logits), size):
        part = slice(start, start + size)
        piece = residual(logits[part], *(x[part] for x in others))
        whole.direction[part] = F.hardshrink(piece.direction, smallest)
        norm[part], loss[part] = piece.norm, piece.loss
    return whole


def _label_residual(logits: Tensor, target: Tensor) -> Residual:
    known = target != IGNORED
    index = target.clamp_min(0).unsqueeze(1)  # (R, 1)
    z = logits.to(torch.float64, copy=True)
    own = z.gather(1, index)  # (R, 1)
    z.scatter_(1, index, -torch.inf)
    top = z.amax(1, keepdim=True)
    z.sub_(top).exp_()  # others, at most 1
    total = z.sum(1, keepdim=True)  # at least 1
    odds = total.log() - (own - top)  # log-odds of the others against the label
    length = (1 + (torch.linalg.vector_norm(z, dim=1, keepdim=True) / total).square()).sqrt()
    unit = known.unsqueeze(1) / length
    z.mul_(unit / total).scatter_(1, index, -unit)
    norm = (odds.sigmoid() * length).squeeze(1) * known
    return Residual(z, norm, -F.logsigmoid(-odds).squeeze(1) * known)


def _soft_residual(logits: Tensor, target: Tensor, known: Tensor) -> Residual:
    log_p = logits.double().log_softmax(1)
    q = target.exp()
    residual = log_p.exp() - q
    # p and q both round to 1 where the network is sure: the largest entry is what the others leave
    top = target.argmax(1, keepdim=True)
    residual.scatter_(1, top, 0.0)
    residual.scatter_(1, top, -residual.sum(1, keepdim=True))
    norm = torch.linalg.vector_norm(residual, dim=1, keepdim=True)
    direction = torch.where(norm > 0, residual / norm, 0.0) * known.unsqueeze(1)
    loss = -(q * log_p).sum(1)
    return Residual(direction, norm.squeeze(1) * known, loss * known)

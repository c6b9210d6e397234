"""Losses of a lens at other temperatures: of π^{1−β} · q^β, renormalised, where q is the lens and π the prior.

A pilot reads some units at all of ``BETAS``. From it, each cell gets a window of a few β around its best one, and all
units are read at these. The loss between them is interpolated.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

from ...statistics.bootstrap import Array

BETAS = (0.0, *(2.0**k for k in range(-12, 6)))
"""β of π^{1−β} · q^β that the pilot reads: 0 is the prior alone, 1 the lens unchanged."""
POWERS = (2, 3, 4, 6, 8, 12, 16, 24)
"""β of a window, as multiples of its ``unit``: after the first two, each is twice the one before the last."""
BEST = 8
"""The multiple that is placed at the pilot's best β."""
SPREADS = 6
"""The window reaches at least so many standard errors of the pilot above the pilot's best β."""
LARGEST_UNIT = BETAS[-1] / POWERS[-1]
"""No window goes beyond the last of ``BETAS``."""
GRID = 501
"""Values of β, about 2 % apart, among which the pilot chooses."""
WINDOW_GRID = 64
"""Values of β, from 0 to the largest of a window, among which a half chooses."""
PILOT_CHUNK = 4096
"""Columns whose best β is looked for at once."""
TINY = 1e-18
"""Smaller powers are set to 0: products of numbers that underflow are slow."""
LOWEST = -70.0
"""Smaller logarithms are raised to it: exp is a hundred times slower where it underflows."""
UNDERFLOW = -80.0
"""exp of what is smaller may underflow."""
ROOT_LOWEST = -41.0
"""The same for a power that is only multiplied: what is smaller is below ``TINY`` in every product."""
AFRESH = 8
"""After so many squares of a power, the next one is a new exponential: a square doubles the relative error."""


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
    excess.sub_(top)
    target_excess = at_target.double() - prior_at_target.double() - top[..., 0].double()  # ≤ 0
    losses = torch.zeros(len(BETAS), *at_target.shape, dtype=torch.float64, device=logits.device)
    power = torch.empty_like(excess)
    for row, beta in enumerate(BETAS[1:], 1):  # β doubles each time: take a square instead of an exponential
        if row % AFRESH == 1:
            exp_(torch.mul(excess, beta, out=power))
        else:
            torch.threshold_(power.square_(), TINY, 0.0)
        losses[row] = (power @ prior_share).double().log() - beta * target_excess
    return losses - prior_at_target.double()


def best_betas(losses: Tensor) -> Tensor:
    """The β with the smallest loss: the lowest point of a cubic spline, between the neighbours of the best of ``BETAS``.

    Args:
        losses: (len(BETAS), M), sums over the same units.

    Returns:
        (M,) float64.
    """
    values = losses.cpu().numpy()
    if values.shape[1] > PILOT_CHUNK:
        return torch.cat([best_betas(part) for part in losses.split(PILOT_CHUNK, 1)])
    nodes = np.arcsinh(np.array(BETAS) / BETAS[1])  # linear up to the first octave, logarithmic beyond
    grid = np.linspace(0, nodes[-1], GRID)[:, None]
    best = values.argmin(0)
    near = (grid >= nodes[np.maximum(best - 1, 0)]) & (grid <= nodes[np.minimum(best + 1, len(nodes) - 1)])
    lowest = np.where(near, CubicSpline(nodes, values)(grid[:, 0]), np.inf).argmin(0)
    return torch.from_numpy(BETAS[1] * np.sinh(grid[lowest, 0]))


def window_units(losses: Tensor) -> Tensor:
    """The unit of each cell's window: its β are ``POWERS`` times the unit.

    The window is as wide where a cell tells much. Where it tells next to nothing, the best β is uncertain, and the
    window reaches from 0 to well above what the pilot's replicates chose.

    Args:
        losses: (len(BETAS), M, 1 + R), sums over the pilot's units, plainly and in R replicates.

    Returns:
        (M,) float64.
    """
    _, cells, replicates = losses.shape
    best = best_betas(losses.flatten(1)).reshape(cells, replicates)
    reach = best[:, 0] + SPREADS * best[:, 1:].std(1)
    largest = torch.maximum(best[:, 0] * (POWERS[-1] / BEST), reach)
    return (largest / POWERS[-1]).clamp(BETAS[1], LARGEST_UNIT)


def mixing(prior: Tensor, units: Tensor) -> tuple[Tensor, Tensor]:
    """−unit · log π, (M, 1, classes), and the unit, (M, 1, 1), of M cells; for ``window_totals``."""
    scale = units[:, None, None]
    return -scale * prior, scale


def window_totals(logits: Tensor, prior_share: Tensor, shift: Tensor, scale: Tensor, buffers: Tensor) -> Tensor:
    """log Σ π^{1−β} · exp(logits)^β over classes, at the β of each cell's window.

    Args:
        logits: (M, R, classes); ``prior_share``: (classes,) π; ``shift``, ``scale``: see ``mixing``.
        buffers: (2, M, R, classes) memory to work in; it is overwritten.

    Returns:
        (len(POWERS), M, R).
    """
    one, two = buffers
    excess = torch.addcmul(shift, logits, scale, out=one)
    top = excess.amax(-1, keepdim=True)
    excess.sub_(top)
    lowest = (
        float(excess.amin()) if excess.device.type == "cpu" else 0.0
    )  # an accelerator is as fast where it underflows
    if lowest < ROOT_LOWEST:
        excess.clamp_min_(ROOT_LOWEST)
    root = excess.exp_()
    powers = torch.mul(root, root, out=two), root  # the second is multiplied below
    sums = logits.new_empty(len(POWERS), *logits.shape[:2])
    for row, times in enumerate(POWERS):
        power = powers[row % 2]
        if row == 1:
            power.mul_(powers[0])
        elif row > 1:
            power.square_()
        if 2 * times * lowest < UNDERFLOW and row + 2 < len(POWERS):  # the next square would underflow
            torch.threshold_(power, TINY, 0.0)
        sums[row] = power @ prior_share
    multiples = torch.tensor(POWERS, dtype=sums.dtype, device=sums.device)[:, None, None]
    return sums.log_().addcmul_(multiples, top[None, ..., 0])


def _spline() -> Array:
    """(WINDOW_GRID, 1 + len(POWERS)): losses at β = 0 and at those of a window -> losses in between.

    Points are evenly spaced on a scale that is linear for small β and logarithmic for large ones.
    """
    nodes = np.arcsinh(2 / BEST * np.array((0, *POWERS)))
    return np.asarray(CubicSpline(nodes, np.eye(len(nodes)))(np.linspace(0, nodes[-1], WINDOW_GRID)))


BETWEEN = _spline()


def crosswise(losses: Array) -> tuple[Array, bool]:
    """The loss at the best β, which each half of the clusters chooses for the other, anew in every replicate.

    So the spread over replicates contains that of the choice. Where β is chosen by the units that are scored, the loss
    is too small: by kV/2 on average, with k its curvature in β and V the variance of the chosen β. Crosswise it is too
    large by kV, since the halves' choices vary twice as much. So two parts of the first and one of the second are
    right on average, also where β = 0 is best.

    Args:
        losses: (2, 1 + len(POWERS), 1 + B) sums over each half, at β = 0 and at those of the window.

    Returns:
        (1 + B,) the sum over both halves, and whether a half chose the largest β of the window.
    """
    one, two = (BETWEEN @ half for half in losses)
    first, second = (curve.argmin(0)[None] for curve in (one, two))
    crossed = np.take_along_axis(one, second, 0) + np.take_along_axis(two, first, 0)
    return (2 * (one + two).min(0) + crossed[0]) / 3, WINDOW_GRID - 1 in (first[0, 0], second[0, 0])

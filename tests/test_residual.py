"""Softmax minus target, against 500-digit arithmetic."""

from __future__ import annotations

import mpmath
import pytest
import torch
from torch import Tensor

from itinf import IGNORED
from itinf.networks.residual import label_residual, soft_residual
from oracles import normal
from tolerance import rounding

mpmath.mp.dps = 500


def softmax(logits: Tensor) -> list[list[mpmath.mpf]]:
    rows = []
    for row in logits.double().tolist():
        powers = [mpmath.exp(mpmath.mpf(z)) for z in row]
        total = mpmath.fsum(powers)
        rows.append([p / total for p in powers])
    return rows


def worst(given: Tensor, exact: list[list[mpmath.mpf]]) -> float:
    """Largest relative error of any entry."""
    pairs = [
        (g, e) for row, want in zip(given.double().tolist(), exact, strict=True) for g, e in zip(row, want, strict=True)
    ]
    return max(float(abs((mpmath.mpf(g) - e) / e)) for g, e in pairs)


def confident(p_label: float, classes: int = 10) -> Tensor:
    """Logits of one unit that gives label 0 this probability, and the others unequal shares."""
    z = normal(1, classes)
    gap = mpmath.log(mpmath.mpf(p_label) / (1 - mpmath.mpf(p_label)))
    z[0, 0] = z[0, 1:].logsumexp(0) + float(gap)
    return z


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize("logits", [4 * normal(6, 10), confident(1 - 1e-9), confident(1e-9), 12 * normal(6, 10)])
def test_residual_is_softmax_minus_onehot_at_every_entry(logits, dtype, bound):
    logits = logits.to(dtype)
    target = torch.arange(len(logits)) % 10
    found = label_residual(logits, target)
    exact = softmax(logits)
    for row, label in zip(exact, target.tolist(), strict=True):
        row[label] = -mpmath.fsum(p for c, p in enumerate(row) if c != label)
    assert worst(found.direction.double() * found.norm[:, None], exact) < bound
    assert worst(found.norm[:, None], [[mpmath.norm(row)] for row in exact]) < 1e-12
    losses = [[-mpmath.log(row[label])] for row, label in zip(softmax(logits), target.tolist(), strict=True)]
    assert worst(found.loss[:, None], losses) < 1e-12


@pytest.mark.parametrize("gap", [1000.0, -1000.0])
def test_direction_survives_any_confidence(gap):
    logits = torch.tensor([[gap, 0.0, 0.0, -1.0]], dtype=torch.float64)
    found = label_residual(logits, torch.tensor([0]))
    shares = torch.tensor([1.0, 1.0, float(mpmath.exp(-1))], dtype=torch.float64)
    expected = torch.cat([torch.tensor([-1.0]), shares / shares.sum()])
    torch.testing.assert_close(found.direction[0], expected / expected.norm(), rtol=1e-14, atol=0)
    assert found.loss.item() == pytest.approx(max(-gap, 0.0), abs=2)


def test_ignored_units_give_nothing():
    found = label_residual(normal(2, 5), torch.tensor([IGNORED, 1]))
    assert not found.direction[0].any() and found.norm[0] == 0 and found.loss[0] == 0
    assert found.direction[1].norm() == pytest.approx(1)
    soft = soft_residual(normal(2, 5), normal(2, 5, seed=1).log_softmax(1), torch.tensor([False, True]))
    assert not soft.direction[0].any() and soft.norm[0] == 0 and soft.loss[0] == 0


@pytest.mark.parametrize("sharp", [1.0, 30.0])
@pytest.mark.parametrize("apart", [1.0, 1e-6])
def test_residual_against_a_distribution(sharp, apart):
    goal = sharp * normal(4, 6)
    logits = goal + apart * normal(4, 6, seed=1)
    found = soft_residual(logits, goal.log_softmax(1), torch.ones(4, dtype=torch.bool))
    p, q = softmax(logits), softmax(goal)
    # a difference of logits is ``apart``, and each of the two sums of exponentials is rounded as the logits are
    bound = rounding(torch.float64, 12, goal.abs().max()) / apart
    exact = [[a - b for a, b in zip(x, y, strict=True)] for x, y in zip(p, q, strict=True)]
    for row, length in zip(exact, found.norm.tolist(), strict=True):
        size = mpmath.norm(row)
        assert abs(length - size) < bound * size
    directions = torch.tensor([[float(e / mpmath.norm(row)) for e in row] for row in exact], dtype=torch.float64)
    torch.testing.assert_close(found.direction, directions, rtol=0, atol=bound)
    losses = [-mpmath.fsum(b * mpmath.log(a) for a, b in zip(x, y, strict=True)) for x, y in zip(p, q, strict=True)]
    wanted = torch.tensor([float(e) for e in losses], dtype=torch.float64)
    torch.testing.assert_close(found.loss, wanted, rtol=1e-12, atol=rounding(torch.float64, 6))


def test_a_distribution_that_is_met_has_no_direction():
    goal = normal(2, 5)
    found = soft_residual(goal, goal.log_softmax(1), torch.ones(2, dtype=torch.bool))
    assert not found.direction.any() and not found.norm.any()

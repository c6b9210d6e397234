"""Losses of π^{1−β} · q^β against float64 worked out directly; the best β against a minimiser."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from itinf.lenses.transfer.temperature import BETAS, best_betas, tempered_losses
from oracles import generator, normal

ONE = BETAS.index(1.0)


def direct(logits, prior, targets, betas):
    """(len(betas), M, R), targets (R,) or (R, classes)."""
    q, prior = logits.double().log_softmax(-1), prior.double()
    goal = torch.nn.functional.one_hot(targets, len(prior)) if targets.ndim == 1 else targets
    return torch.stack([-(((1 - b) * prior + b * q).log_softmax(-1) * goal).sum(-1) for b in betas])


def expected(values, targets):
    """Mean of values (…, R, classes) under targets (R,) or (R, classes): (…, R)."""
    goal = torch.nn.functional.one_hot(targets, values.shape[-1]) if targets.ndim == 1 else targets
    return (values * goal).sum(-1)


def every(logits, prior, targets):
    return tempered_losses(logits, prior, expected(logits, targets), expected(prior.expand(len(targets), -1), targets))


def drawn(readings=3, rows=20, classes=7, seed=0, scale=3.0, soft=False):
    prior = normal(classes, seed=seed + 1).log_softmax(0)
    labels = torch.randint(classes, (rows,), generator=generator(seed))
    goal = (3 * normal(rows, classes, seed=seed + 2)).softmax(1) if soft else labels
    return scale * normal(readings, rows, classes, seed=seed), prior, goal


def tolerance(logits, betas):
    """Per β, absolute: rounding of an exponent that is multiplied by β, and of powers that are squared."""
    eps = torch.finfo(logits.dtype).eps
    size = float(logits.abs().max()) + 10
    return torch.tensor([eps * (8 * beta * size + 64 * beta + 8 * size) for beta in betas], dtype=torch.float64)


DTYPES = [torch.float32, torch.float64]


@given(st.integers(2, 40), st.integers(0, 99), st.floats(0.01, 30), st.sampled_from(DTYPES), st.booleans())
@settings(deadline=None, max_examples=60)
def test_every_temperature(classes, seed, scale, dtype, soft):
    logits, prior, targets = drawn(3, 20, classes, seed, scale, soft)
    logits = logits.to(dtype)
    found, wanted = every(logits, prior, targets), direct(logits, prior, targets, BETAS)
    assert found.dtype == torch.float64 and found.shape == wanted.shape
    assert ((found - wanted).abs().amax((1, 2)) <= tolerance(logits, BETAS)).all()


def test_the_tolerance_is_small_where_it_counts():
    logits, prior, labels = drawn()
    error = (every(logits.float(), prior, labels) - direct(logits.float(), prior, labels, BETAS)).abs().amax((1, 2))
    bound = tolerance(logits.float(), BETAS)
    assert (error <= bound).all() and bound[ONE] < 1e-4 and bound.max() < 1e-3


def test_the_ends():
    logits, prior, labels = drawn()
    found = every(logits, prior, labels)
    assert BETAS[0] == 0 and BETAS[-1] == 32
    assert torch.equal(found[0], -prior[labels].expand(3, -1))
    wanted = [torch.nn.functional.cross_entropy(z, labels, reduction="none") for z in logits]
    torch.testing.assert_close(found[ONE], torch.stack(wanted))


def test_a_reading_that_says_the_prior_is_the_prior_at_every_temperature():
    _, prior, labels = drawn()
    found = every(prior.expand(1, 20, -1) + 5, prior, labels)
    torch.testing.assert_close(found, -prior[labels].expand(len(BETAS), 1, -1))


def test_a_scaled_reading_is_the_same_at_another_temperature():
    logits, _, labels = drawn()
    flat = torch.full((7,), 1 / 7, dtype=torch.float64).log()
    once, twice = every(logits, flat, labels), every(2 * logits, flat, labels)
    for place, beta in enumerate(BETAS[:-1]):
        torch.testing.assert_close(once[BETAS.index(2 * beta)], twice[place])


@pytest.mark.parametrize("dtype", DTYPES)
def test_saturated_logits(dtype):
    prior = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64).log()
    logits = torch.tensor([[[1000.0, 0.0, -1000.0]] * 3], dtype=dtype)
    labels = torch.tensor([0, 1, 2])
    found = every(logits, prior, labels)
    wanted = direct(logits, prior, labels, BETAS)
    assert ((found - wanted).abs().amax((1, 2)) <= 1e-6 + tolerance(logits, BETAS)).all()
    for place, beta in enumerate(BETAS):
        if beta >= 1:  # then class 0 has all the weight
            by_hand = beta * torch.tensor([0.0, 1000.0, 2000.0]) + (1 - beta) * (prior[0] - prior[labels])
            torch.testing.assert_close(wanted[place, 0], by_hand, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rarity", [1e-6, 1e-37])
def test_a_prior_of_almost_nothing(dtype, rarity):
    """A label which the reading knows and the prior hardly does: all is readable, none at β = 0."""
    prior = torch.tensor([1 - rarity, rarity], dtype=torch.float64).log()
    logits, label = torch.tensor([[[0.0, 300.0]]], dtype=dtype), torch.tensor([1])
    found = every(logits, prior, label)[:, 0, 0]
    assert found[0] == pytest.approx(-math.log(rarity), rel=1e-6)
    bound = 1e-6 + tolerance(logits, BETAS)
    assert found[ONE].abs() < bound[ONE] < 1e-3 and found[-1].abs() < bound[-1] < 0.02


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("share", [0.1, 0.4, 1.2])
def test_best_temperatures_against_a_minimiser(share, soft):
    lost = []
    for seed, scale in enumerate((0.07, 0.3, 0.7, 1.3, 4, 10, 17)):
        logits, prior, _ = drawn(1, 300, 7, seed)
        p = ((1 - share) * prior + share * logits[0]).softmax(1)  # what is true is read at β = share / scale
        targets = p if soft else torch.multinomial(p, 1, generator=generator(seed))[:, 0]
        logits = logits * scale

        def loss(beta, *given):
            return float(direct(*given, [beta]).sum())

        given = logits, prior, targets
        best = minimize_scalar(loss, bounds=(0, 32), args=given, method="bounded", options={"xatol": 1e-7})
        found = float(best_betas(every(*given).sum(2))[0])
        lost.append((loss(found, *given) - best.fun) / (loss(0, *given) - best.fun))
        assert found == pytest.approx(best.x, rel=0.2, abs=0.003)
    assert max(lost) < 0.06 and np.median(lost) < 0.001


def test_what_misleads_at_every_temperature_is_not_read():
    logits, prior, _ = drawn(2, 500)
    labels = logits[0].argmin(1)
    found = best_betas(every(logits, prior, labels).sum(2))
    assert found[0] == 0
    assert best_betas(torch.zeros(len(BETAS), 1))[0] == 0  # nothing to choose

"""Losses at every temperature against π^{1−β} · q^β worked out directly in float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from itinf.lenses.temper import BETAS, ONE, tempered_losses
from oracles import generator, normal


def direct(logits, prior, labels):
    """(len(BETAS), R)."""
    q, prior = logits.double().log_softmax(1), prior.double()
    rows = [((1 - beta) * prior + beta * q).log_softmax(1) for beta in BETAS]
    return -torch.stack([row.gather(1, labels[:, None]).squeeze(1) for row in rows])


def drawn(rows=50, classes=7, seed=0, scale=3.0):
    prior = normal(classes, seed=seed + 1).log_softmax(0)
    labels = torch.randint(classes, (rows,), generator=generator(seed))
    return scale * normal(rows, classes, seed=seed), prior, labels


def tolerance(logits):
    """Per β, absolute: rounding of an exponent that is multiplied by β, and of powers that are squared."""
    eps = torch.finfo(logits.dtype).eps
    size = float(logits.abs().max()) + 10
    return torch.tensor([eps * (8 * beta * size + 64 * beta + 8) for beta in BETAS], dtype=torch.float64)


@given(st.integers(2, 40), st.integers(0, 99), st.floats(0.01, 30), st.sampled_from([torch.float32, torch.float64]))
@settings(deadline=None, max_examples=60)
def test_every_temperature(classes, seed, scale, dtype):
    logits, prior, labels = drawn(20, classes, seed, scale)
    logits = logits.to(dtype)
    found, wanted = tempered_losses(logits, prior, labels), direct(logits, prior, labels)
    assert found.dtype == torch.float64 and found.shape == wanted.shape
    assert ((found - wanted).abs().amax(1) <= tolerance(logits)).all()


def test_the_tolerance_is_small_where_it_counts():
    logits, prior, labels = drawn()
    error = (tempered_losses(logits.float(), prior, labels) - direct(logits.float(), prior, labels)).abs().amax(1)
    assert error[ONE] < 1e-5 and error.max() < 1e-3


def test_the_ends():
    logits, prior, labels = drawn()
    found = tempered_losses(logits, prior, labels)
    assert BETAS[0] == 0 and BETAS[ONE] == 1 and BETAS[-1] == 32
    assert torch.equal(found[0], -prior[labels])
    torch.testing.assert_close(found[ONE], torch.nn.functional.cross_entropy(logits, labels, reduction="none"))


def test_a_reading_that_says_the_prior_is_the_prior_at_every_temperature():
    _, prior, labels = drawn()
    found = tempered_losses(prior.expand(50, -1) + 5, prior, labels)
    torch.testing.assert_close(found, -prior[labels].expand(len(BETAS), -1))


def test_a_scaled_reading_is_the_same_at_another_temperature():
    logits, _, labels = drawn()
    flat = torch.full((7,), 1 / 7, dtype=torch.float64).log()
    once, twice = tempered_losses(logits, flat, labels), tempered_losses(2 * logits, flat, labels)
    for place, beta in enumerate(BETAS[:-2]):
        torch.testing.assert_close(once[BETAS.index(2 * beta)], twice[place])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_saturated_logits(dtype):
    prior = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64).log()
    logits = torch.tensor([[1000.0, 0.0, -1000.0]] * 3, dtype=dtype)
    labels = torch.tensor([0, 1, 2])
    found = tempered_losses(logits, prior, labels)
    torch.testing.assert_close(found, direct(logits, prior, labels), rtol=1e-6, atol=1e-6)
    for place, beta in enumerate(BETAS):
        if beta >= 1:  # then class 0 has all the weight
            by_hand = beta * torch.tensor([0.0, 1000.0, 2000.0]) + (1 - beta) * (prior[0] - prior[labels])
            torch.testing.assert_close(found[place], by_hand, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_prior_of_almost_nothing(dtype):
    """A label in a million, which the reading knows: 14 nats are readable, none at β = 0."""
    prior = torch.tensor([1 - 1e-6, 1e-6], dtype=torch.float64).log()
    found = tempered_losses(torch.tensor([[0.0, 40.0]], dtype=dtype), prior, torch.tensor([1]))[:, 0]
    assert found[0] == pytest.approx(13.8155, abs=1e-4)
    assert found[ONE] == pytest.approx(0, abs=1e-6) and found[-1] == pytest.approx(0, abs=1e-6)

"""The closed form against torch.linalg.lstsq on collected vectors."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from itinf import ItinfError
from itinf.lenses.affine import FLOOR, RIDGES, best, error, require_units, solutions, solve
from itinf.lenses.fit import fit
from itinf.lenses.fit_statistics import fit_statistics, is_held_out
from itinf.lenses.moments import Moments
from itinf.lenses.translator import Translator
from oracles import normal
from reference import Images
from shipped import shipped
from test_moments import images, parts
from tiny import gpt2, tokens
from tolerance import rounding


def straight(x, y):
    """Least squares with an intercept; the smallest change from the identity where widths agree."""
    inner, goal = x - x.mean(0), y - y.mean(0)
    square = x.shape[1] == y.shape[1]
    found = torch.linalg.lstsq(inner, goal - inner if square else goal, driver="gelsd").solution.T
    matrix = found + torch.eye(x.shape[1], dtype=x.dtype) if square else found
    return matrix, y.mean(0) - matrix @ x.mean(0)


def same(found, wanted, tolerance=1e-6):
    for a, b in zip(found, wanted, strict=True):
        assert (a - b).norm() <= tolerance * b.norm()


def related(n=400, width=6, target=6, seed=0):
    x = normal(n, width, seed=seed) + 3
    return x, x @ normal(width, target, seed=seed + 1) + normal(n, target, seed=seed + 2)


def penalised(x, y, matrix, bias, ridge, target_scale=1.0):
    """What ``solve`` says that it minimises."""
    variance = x.var(0, correction=0)
    weight = variance + FLOOR * variance.mean()
    change = matrix - target_scale * torch.eye(*matrix.shape, dtype=x.dtype) if len(matrix) == x.shape[1] else matrix
    return (y - x @ matrix.T - bias).square().sum(1).mean() + ridge * (weight * change.square()).sum()


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_closed_form_is_least_squares(width, target, seed):
    x, y = related(60, width, target, seed)
    same(solve(Moments.of(x, y), 0.0), straight(x, y), 1e-9)


@pytest.mark.parametrize("spread", [1.0, 1e3])
def test_badly_scaled_channels(spread):
    x, y = related()
    scale = torch.logspace(-4, 4, 6, dtype=torch.float64)
    matrix, bias = solve(Moments.of(x * scale * spread, y), 0.0)
    wanted, offset = straight(x, y)
    # maps are found as changes of the identity, which beside them is as large as the largest channel is beside 1;
    # moments are sums over 400 units of mean square 10
    same((matrix * scale * spread, bias), (wanted, offset), rounding(torch.float64, 400, 10 * scale.max() * spread))


def test_a_dead_channel_keeps_the_identity_and_disturbs_none():
    x, y = related()
    x[:, 2] = 1000.1
    alive = [0, 1, 3, 4, 5]
    for ridge in (0.0, 1e-6):
        matrix, bias = solve(Moments.of(x, y), ridge)
        torch.testing.assert_close(matrix[:, 2], torch.eye(6, dtype=torch.float64)[2], rtol=0, atol=1e-9)
        torch.testing.assert_close(y.mean(0), matrix @ x.mean(0) + bias)
    matrix, _ = solve(Moments.of(x, y), 0.0)
    inner = x[:, alive] - x[:, alive].mean(0)
    same((matrix[:, alive],), (torch.linalg.lstsq(inner, y - y.mean(0)).solution.T,))


@pytest.mark.parametrize("value", [0.0, 0.1, 1000.1])
def test_a_state_that_never_varies_reads_the_mean(value):
    x, y = torch.full((50, 6), value, dtype=torch.float64), normal(50, 6)
    for ridge in (0.0, 1e-3):
        matrix, bias = solve(Moments.of(x, y), ridge)
        torch.testing.assert_close(matrix @ x[0] + bias, y.mean(0))


def test_linear_dependent_channels_change_as_little_as_needed():
    x, y = related()
    x[:, 3] = x[:, 1] + x[:, 0]
    matrix, bias = solve(Moments.of(x, y), 0.0)
    wanted, offset = straight(x, y)
    torch.testing.assert_close(x @ matrix.T + bias, x @ wanted.T + offset, rtol=1e-9, atol=1e-9)


@given(st.sampled_from(RIDGES[1:]), st.sampled_from([4, 6]), st.sampled_from([0.0, 1.0]), st.integers(0, 20))
@settings(deadline=None, max_examples=40)
def test_what_is_minimised_has_no_slope(ridge, target, towards, seed):
    x, y = related(50, 6, target, seed)
    x[:, 0] *= 100  # an outlier channel
    x[:, 1] = 2.0  # a dead one
    matrix, bias = (t.requires_grad_() for t in solve(Moments.of(x, y), ridge, towards))
    slope, offset = torch.autograd.grad(penalised(x, y, matrix, bias, ridge, towards), (matrix, bias))
    assert (slope.norm(dim=0) <= 1e-8 * (y.T @ x / 25).norm(dim=0)).all()  # by channel, against that of no map
    assert offset.norm() <= 1e-8 * y.mean(0).norm()


def test_a_ridge_pulls_towards_the_identity():
    x, y = related()
    eye = torch.eye(6, dtype=torch.float64)
    distances = [(solve(Moments.of(x, y), ridge)[0] - eye).norm() for ridge in (0.0, 1e-2, 1.0, 1e2, 1e8)]
    assert sorted(distances, reverse=True) == distances and distances[-1] < 1e-6 < 0.1 < distances[0]
    assert solve(Moments.of(x, y), 1e8, target_scale=0.0)[0].norm() < 1e-6
    assert solve(Moments.of(x, y[:, :4]), 1e8)[0].norm() < 1e-6  # widths differ


def test_outlier_channels_do_not_set_the_ridge_of_others():
    x, y = related()
    plain = solve(Moments.of(x, y), 1e-2)[0]
    x[:, 0] *= 30  # FLOOR of the mean variance, now owned by one channel, is 15 % of the others' own
    loud = solve(Moments.of(x, y), 1e-2)[0]
    assert (loud[:, 1:] - plain[:, 1:]).norm() < 0.02 * plain[:, 1:].norm()
    variance = x.var(0, correction=0)
    mean_diagonal = torch.linalg.solve(
        torch.cov(x.T, correction=0) + 1e-2 * variance.mean() * torch.eye(6, dtype=torch.float64),
        Moments.of(x, y).cross_covariance,
    ).T
    assert (mean_diagonal[:, 1:] - plain[:, 1:]).norm() > 0.2 * plain[:, 1:].norm()  # what one mean ridge would do


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_error_is_the_mean_square_of_what_is_left(width, target, seed):
    x, y = related(30, width, target, seed)
    matrix, bias = normal(target, width, seed=seed), normal(target, seed=seed + 1)
    wanted = (y - x @ matrix.T - bias).square().sum(1).mean()
    assert error(Moments.of(x, y), matrix, bias) == pytest.approx(float(wanted), rel=1e-10)


def test_the_ridge_chosen_errs_least_on_other_units():
    x, y = related(40, 30, 30)
    fitted, held_out = Moments.of(x[:34], y[:34]), Moments.of(*related(500, 30, 30, 7))
    errors = [error(held_out, *solve(fitted, ridge)) for ridge in RIDGES]
    chosen = RIDGES[errors.index(min(errors))]
    assert chosen > 0 and torch.equal(best(fitted, held_out)[0], solve(fitted, chosen)[0])
    x, y = related(5000)
    most, rest = Moments.of(x[:4000], y[:4000]), Moments.of(x[4000:], y[4000:])
    assert any(torch.equal(best(most, rest)[0], solve(most, ridge)[0]) for ridge in RIDGES if ridge <= 1e-3)
    # units on which the identity is right, and units on which it is wrong
    few, same_again = Moments.of(x[:8], x[:8] + y[:8] / 10), Moments.of(x, x)
    assert torch.equal(best(few, same_again)[0], solve(few, RIDGES[-1])[0])
    assert torch.equal(best(few, Moments.none(6, 6))[0], solve(few, 0.0)[0])


def test_all_ridges_share_one_decomposition(monkeypatch):
    x, y = related()
    calls, eigh = [], torch.linalg.eigh
    monkeypatch.setattr(torch.linalg, "eigh", lambda matrix: calls.append(1) or eigh(matrix))
    found = list(solutions(Moments.of(x, y), RIDGES))
    assert len(calls) == 2  # without a ridge, and with one
    for ridge, one in zip(RIDGES, found, strict=True):
        same(solve(Moments.of(x, y), ridge), one, 1e-12)
        gradient = torch.autograd.functional.jacobian(lambda m: penalised(x, y, m, one[1], ridge), one[0])  # noqa: B023
        assert gradient.norm() < 1e-9 * x.norm()


def test_a_network_s_lens_is_least_squares_on_its_states():
    network, _ = shipped("cifar-resnet20")
    found = fit_statistics(network, parts(images(150, 8), 50))
    batch = images(150, 8)
    with torch.no_grad():
        states = Images(network.model, batch.inputs, batch.targets).states
    kept = ~is_held_out(batch.keys)
    seen = [h.mean((2, 3))[kept] for h in states]
    for x, moments in zip(seen, found.fitted, strict=True):
        matrix, bias = solve(moments, 0.0)
        wanted, offset = straight(x, seen[-1])
        torch.testing.assert_close(x @ matrix.T + bias, x @ wanted.T + offset, rtol=1e-6, atol=1e-6)


def test_too_few_units_say_how_many_are_needed():
    moments = Moments.of(*related(13))
    with pytest.raises(ItinfError, match=r"here: 13 units cannot fit a translator of width 6; it takes at least 14"):
        require_units(moments.n, len(moments.x), "here")
    require_units(14, 6, "here")
    with pytest.raises(ItinfError, match=r"'before transformer\.h\.0'.*at least 66.*Give more units"):
        fit(gpt2(), tokens(4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_identity_translator_changes_no_bit(dtype):
    x = normal(40, 6).to(dtype) * torch.logspace(-30, 30, 40).to(dtype)[:, None]
    assert torch.equal(Translator.identity(6)(x), x)


@pytest.mark.parametrize("target", [4, 6])
def test_a_translator_is_its_map(target):
    matrix, bias, x = normal(target, 6), normal(target, seed=1), normal(9, 6, seed=2)
    translator = Translator.of(matrix, bias)
    torch.testing.assert_close(translator(x), x @ matrix.T + bias, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(translator.matrix.double(), matrix, rtol=1e-6, atol=1e-6)
    assert (target == 6) == translator.square

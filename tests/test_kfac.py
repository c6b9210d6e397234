"""Steps of K-FAC: Newton's on a quadratic, shorter where vectors hardly vary, folded into a translator."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from itinf.lenses import kfac
from itinf.lenses.affine import solve
from itinf.lenses.kfac import KFAC, inverse
from itinf.lenses.moments import Moments
from itinf.lenses.translator import Translator


@given(st.integers(0, 2**31), st.integers(2, 8), st.integers(2, 8))
@settings(deadline=None, max_examples=25)
def test_without_a_ridge_a_step_of_one_ends_a_quadratic(seed, width, target):
    """Least squares with curvature H of the output: one whole step of K-FAC is Newton's."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(200, width, generator=draw) * torch.logspace(-1, 2, width) + 5
    y = torch.randn(200, target, generator=draw) * 3
    half = torch.randn(target, target, generator=draw)
    curvature = half @ half.T + torch.eye(target)
    moments = Moments.of(x, y)
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        for name in ("RIDGE", "FLOOR", "MOMENTUM"):
            patch.setattr(kfac, name, 0.0)
        learner = KFAC(Translator(torch.zeros(target, width), torch.zeros(target)), x.mean(0), torch.device("cpu"))
        learner.curvature = [curvature, torch.cov(x.T, correction=0)]
        learner.add_gradient(x, (learner(x) - y) @ curvature / len(x))
        learner.step(1.0)
        matrix, bias = (part.float() for part in solve(moments, 0.0))
        assert (learner(x) - x @ matrix.T - bias).norm() < 1e-3 * (x.norm() + y.norm())


def test_a_state_that_never_varies_still_learns_a_bias():
    learner = KFAC(Translator(torch.zeros(2, 3), torch.zeros(2)), torch.full((3,), 2.0), torch.device("cpu"))
    x, slope = torch.full((50, 3), 2.0), torch.randn(50, 2, generator=torch.Generator().manual_seed(0)) + 1
    learner.add_curvature(x, slope, len(x))
    learner.add_gradient(x, slope / len(x))
    learner.step(0.1)
    assert (learner.weight == 0).all() and (learner.bias < 0).all()


def test_a_ridge_shortens_steps_where_vectors_hardly_vary():
    x = torch.randn(500, 3, generator=torch.Generator().manual_seed(0)).double()
    x[:, 1] = x[:, 0] + 1e-3 * x[:, 1]
    x[:, 2] = 2.0
    covariance = Moments.of(x, x).covariance
    found = inverse(covariance)
    assert found.isfinite().all() and torch.linalg.cond(found[:2, :2]) < 5 < 1e5 < torch.linalg.cond(covariance[:2, :2])


@given(st.integers(0, 2**31), st.sampled_from([(4, 4), (3, 5)]), st.floats(0.1, 1))
@settings(deadline=None, max_examples=20)
def test_a_change_folds_into_a_translator(seed, shape, share):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(50, shape[1], generator=draw) * 3 + 1
    start = Translator(torch.randn(shape, generator=draw), torch.randn(shape[0], generator=draw))
    learner = KFAC(start, x.mean(0), torch.device("cpu"))
    learner.weight.normal_(generator=draw)
    learner.bias.normal_(generator=draw)
    with torch.no_grad():
        whole, base = learner(x), start(x)
        wanted = base + share * (whole - base)
        torch.testing.assert_close(learner.translator(share)(x), wanted, rtol=1e-4, atol=1e-4)
    assert learner.translator(0) is start

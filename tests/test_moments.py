"""Moments against collected vectors, and one pass over networks against states written out by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import itinf
from itinf import IGNORED, Batch, ItinfError
from itinf.data.clusters import cluster_key
from itinf.lenses.fit_statistics import HELD_OUT, fit_statistics, is_held_out
from itinf.lenses.moments import Moments
from oracles import Chain, normal, opened
from reference import Images, Tokens
from shipped import settle, shipped

counts, widths, seeds = st.integers(1, 9), st.integers(1, 5), st.integers(0, 99)


def close(a, b, tolerance=1e-12):
    for name in ("n", "x", "y", "xx", "xy", "yy"):
        torch.testing.assert_close(
            torch.as_tensor(getattr(a, name)), torch.as_tensor(getattr(b, name)), rtol=tolerance, atol=tolerance
        )


def drawn(n, width, target, seed):
    return normal(n, width, seed=seed) + 1, normal(n, target, seed=seed + 100) - 2


@given(counts, counts, widths, widths, seeds)
@settings(deadline=None, max_examples=40)
def test_halves_add_up_to_the_whole(n, m, width, target, seed):
    x, y = drawn(n + m, width, target, seed)
    close(Moments.of(x[:n], y[:n]) + Moments.of(x[n:], y[n:]), Moments.of(x, y))
    close(Moments.none(width, target) + Moments.of(x, y), Moments.of(x, y))
    close(Moments.of(x, y).times(3), Moments.of(x.repeat(3, 1), y.repeat(3, 1)))


@given(counts, widths, widths, widths, seeds)
@settings(deadline=None, max_examples=40)
def test_mapped_moments_are_those_of_mapped_vectors(n, width, target, mapped, seed):
    x, y = drawn(n, width, target, seed)
    matrix, bias = normal(mapped, width, seed=seed + 1), normal(mapped, seed=seed + 2)
    close(Moments.of(x, y).mapped(matrix, bias), Moments.of(x @ matrix.T + bias, y), 1e-11)


@given(st.integers(2, 9), widths, widths, seeds)
@settings(deadline=None, max_examples=40)
def test_covariances_are_those_of_the_vectors(n, width, target, seed):
    x, y = drawn(n, width, target, seed)
    both = torch.cov(torch.cat([x, y], 1).T, correction=0).reshape(width + target, -1)
    found = Moments.of(x, y)
    torch.testing.assert_close(found.mean, x.mean(0))
    torch.testing.assert_close(found.covariance, both[:width, :width], rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(found.cross_covariance, both[:width, width:], rtol=1e-11, atol=1e-12)


def test_a_constant_channel_has_no_covariance_at_all():
    x, y = drawn(50, 3, 2, 0)
    left = []
    for k in range(20):
        x[:, 1] = 1000.1 + k / 7  # its square is not a float64: the sums leave a rounding that is no variance
        found = Moments.of(x, y)
        left.append(float((found.xx / 50 - torch.outer(found.mean, found.mean))[1, 1]))
        assert (found.covariance[1] == 0).all() and (found.covariance[:, 1] == 0).all()
        assert (found.cross_covariance[1] == 0).all()
        assert (found.covariance[::2, ::2] != 0).all()
    assert any(left)  # of which of them, the processor decides


# one pass over a network


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def keyed(inputs, targets):
    keys = [cluster_key("by hand", str(i)) for i in range(len(inputs))]
    return Batch(inputs, targets, np.array(keys, dtype=np.uint64))


def parts(batch, size, order=None):
    order = range(len(batch)) if order is None else order
    index = np.array(list(order))
    for start in range(0, len(index), size):
        some = index[start : start + size]
        yield Batch(batch.inputs[some], batch.targets[some], batch.keys[some])


def by_hand(batch, states, final, prediction):
    """Checks a collection of ``batch`` against (N, P, D) vectors of each state and of the last one, and (N, P, classes)."""
    held = torch.from_numpy(is_held_out(batch.keys))
    assert held.any() and not held.all()
    known = batch.targets.reshape(len(batch), -1) != IGNORED

    def check(found):
        assert len(found.sites) == len(states)
        for k, x in enumerate(states):
            y = final if x.shape[:2] == final.shape[:2] else final.mean(1, keepdim=True)
            for moments, chosen in ((found.fitted[k], ~held), (found.held_out[k], held)):
                rows = known[chosen] if x.shape[1] == known.shape[1] else torch.ones(x[chosen].shape[:2]).bool()
                close(moments, Moments.of(x[chosen][rows], y[chosen][rows]), 1e-9)
        for row, chosen in enumerate((~held, held)):
            labels = batch.targets.reshape(len(batch), -1)[chosen][known[chosen]]
            assert found.targets[row].tolist() == np.bincount(labels, minlength=found.targets.shape[1]).tolist()
        torch.testing.assert_close(found.final, prediction[~held][known[~held]].softmax(1).sum(0))
        assert found.units == known.sum()

    return check


def images(count, side):
    return keyed(normal(count, 3, side, side, seed=4), torch.arange(count) % 10)


def test_gpt2_also_inside_its_blocks():
    network, _ = shipped("gpt2")
    ids = torch.randint(0, 101, (20, 7), generator=torch.Generator().manual_seed(3))
    targets = ids[:, 1:].clone()
    targets[:3, :2] = IGNORED
    batch = keyed(ids[:, :-1], targets)
    reference = Tokens(network.model, batch.inputs, targets)
    last, middles = reference.states[-1], [h + a for h, a in zip(reference.states, reference.attention, strict=False)]
    check = by_hand(batch, reference.states, last, reference.final)
    check(fit_statistics(network, [batch]))
    inside = [x for pair in zip(reference.states, middles, strict=False) for x in pair] + [last]
    found = fit_statistics(network, [batch], parts=True)
    by_hand(batch, inside, last, reference.final)(found)
    assert [p.name for p in found.sites][:3] == ["before transformer.h.0", "transformer.h.0.mlp", "transformer.h.0"]
    assert [p.depth for p in found.sites] == pytest.approx([k / 6 for k in range(7)])
    # neither batch size nor order matters, and halves add up
    for size, order in ((7, range(20)), (4, reversed(range(20)))):
        check(fit_statistics(network, parts(batch, size, order)))
    check(
        fit_statistics(network, parts(batch, 20, range(11))) + fit_statistics(network, parts(batch, 20, range(11, 20)))
    )


def test_a_residual_network_that_pools_first():
    network, _ = shipped("cifar-resnet20")
    batch = images(20, 8)
    reference = Images(network.model, batch.inputs, batch.targets)
    pooled = [h.mean((2, 3)).unsqueeze(1) for h in reference.states]
    found = fit_statistics(network, parts(batch, 6))
    by_hand(batch, pooled, pooled[-1], reference.final)(found)
    assert [p.segment for p in found.sites] == [0] * 4 + [1] * 3 + [2] * 3


def test_a_pre_activation_network_at_every_position():
    network = itinf.network("cifar-preresnet", depth=14).to("cpu", torch.float64)
    settle(network.model, normal(6, 3, 8, 8))
    batch, model = images(20, 8), network.model
    states = [F.conv2d(batch.inputs, model.conv1.weight, padding=1)]
    for block in (b for stage in (model.layer1, model.layer2, model.layer3) for b in stage):
        h = states[-1]
        inner = F.relu(block.bn2(block.conv1(F.relu(block.bn1(h)))))
        states.append(block.conv2(inner) + block.shortcut(h))
    last = states[-1]
    prediction = model.linear(F.relu(model.bn(last)).mean((2, 3))).unsqueeze(1)

    def positions(h):  # those of the last state's resolution; the mean of others
        return h.flatten(2).transpose(1, 2) if h.shape[2:] == last.shape[2:] else h.mean((2, 3)).unsqueeze(1)

    found = fit_statistics(network, parts(batch, 6))
    by_hand(batch, [positions(h) for h in states], positions(last), prediction)(found)
    assert found.fitted[-1].n == 4 * found.fitted[0].n  # 2 × 2 positions


def test_inception_with_its_bridges():
    network, _ = shipped("googlenet")
    model, batch = network.model, images(12, 48)
    h = model.conv3(model.conv2(model.maxpool1(model.conv1(batch.inputs))))
    states = [model.maxpool2(h)]
    for name in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        if name in ("4a", "5a"):
            states.append((model.maxpool3 if name == "4a" else model.maxpool4)(states[-1]))
        states.append(getattr(model, f"inception{name}")(states[-1]))
    pooled = [h.mean((2, 3)).unsqueeze(1) for h in states]
    prediction = model.fc(pooled[-1][:, 0]).unsqueeze(1)
    found = fit_statistics(network, parts(batch, 5))
    by_hand(batch, pooled, pooled[-1], prediction)(found)
    assert [p.name for p in found.sites][:5] == [
        "before inception3a",
        "inception3a",
        "inception3b",
        "before inception4a",
        "inception4a",
    ]
    shared = [{p.name[-2:] for p in found.sites if p.segment == s} for s in range(found.sites[-1].segment + 1)]
    assert {"4a", "4b", "4c"} in shared and {"5b"} in shared


def test_collections_of_other_states_do_not_add():
    network, batch = shipped("gpt2")
    with pytest.raises(ItinfError, match="different states"):
        fit_statistics(network, [batch]) + fit_statistics(network, [batch], parts=True)


def test_no_data_says_so():
    with pytest.raises(ItinfError, match="no data"):
        fit_statistics(shipped("gpt2")[0], [])


class Overflow(nn.Module):
    """Infinite for positive inputs."""

    def forward(self, h):
        return torch.where(h > 0, torch.inf, h)


def test_a_state_that_is_not_finite_is_named():
    # the next block squashes it, so that neither logits nor losses show it
    network = opened(Chain([nn.Tanh(), Overflow(), nn.Tanh()], nn.Linear(4, 3)))
    with pytest.raises(ItinfError, match=r"'blocks\.1' holds numbers that are not finite"):
        fit_statistics(network, [keyed(normal(6, 4, 1, 1), torch.zeros(6, dtype=torch.int64))])


def test_a_share_of_the_clusters_is_held_out():
    keys = np.array([cluster_key("data", str(i)) for i in range(4000)], dtype=np.uint64)
    held = is_held_out(keys)
    assert abs(held.mean() - 1 / HELD_OUT) < 4 * (HELD_OUT * 4000) ** -0.5
    assert (is_held_out(keys[::-1]) == held[::-1]).all()

"""Prediction space: gain and movement, and the nulls, against the formulas themselves."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import oracles
from itinf import IGNORED, trace
from itinf.networks.trace import Trace
from itinf.probes.prediction_space import gain_and_movement
from itinf.probes.steps import merged_steps
from itinf.statistics.bootstrap import poisson_weights
from itinf.statistics.nulls import neighbours, same_target
from measured import steps
from oracles import normal, part_of
from shipped import shipped


def bits(before: Tensor, after: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
    """Gain and movement of (R, classes) logits against distributions ``goal``, from probabilities."""
    p, q = before.softmax(1), after.softmax(1)
    return (goal * (q / p).log2()).sum(1), (p * (p / q).log2()).sum(1)


def logits_of(network, seen: Trace) -> list[Tensor]:
    with torch.no_grad():
        return [network.readout(network.per_prediction(s)) for s in seen.states]


@pytest.mark.parametrize("goal", ["hard", "soft", "extreme"])
def test_gain_and_movement_add_up_to_the_slope(goal):
    before, after = (10 if goal == "extreme" else 2) * normal(50, 12), 2 * normal(50, 12, seed=1)
    label = torch.arange(50) % 12
    target = label if goal != "soft" else normal(50, 12, seed=2).softmax(1)
    hot = torch.nn.functional.one_hot(label, 12).double() if goal != "soft" else target
    gain, movement = gain_and_movement(before, after, target)
    slope = ((after - before) * (hot - before.softmax(1))).sum(1)
    torch.testing.assert_close(gain + movement, slope, rtol=1e-12, atol=1e-12)
    assert (movement > 0).all() and (gain < 0).any() and (gain > 0).any()
    expected = bits(before, after, hot)
    torch.testing.assert_close((gain / math.log(2), movement / math.log(2)), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("target", ["label", "model"])
@pytest.mark.parametrize("name", ["cifar-isotropic", "gpt2", "predictive"])
def test_steps_by_brute_force(name, target):
    network, batch = shipped(name)
    seen = trace(network, batch, gradients=False)
    z = logits_of(network, seen)
    known = seen.known.flatten()
    hot = torch.nn.functional.one_hot(seen.targets.flatten().clamp_min(0), z[0].shape[1]).double()
    goal = hot if target == "label" else z[-1].softmax(1)
    n, p = seen.targets.shape
    partners = {"pairing": neighbours((n, p), 32), "same-target": same_target(seen.targets.numpy(), seen.keys)}
    found = steps(seen, [target], partners)
    assert {b for b, _, _ in found} == {0, 1, 2}
    for (b, _, null), step in found.items():
        assert step.gain.shape == (n, p)
        if null == "order-shuffled":
            continue
        move = z[b + 1] - z[b]
        who = torch.arange(n * p) if null == "observed" else torch.from_numpy(partners[null])
        here = known & (who >= 0)
        assert torch.equal(step.known.flatten(), here)
        gain, movement = bits(z[b], z[b] + move[who.clamp_min(0)], goal)
        torch.testing.assert_close(step.gain.flatten()[here], gain[here], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(step.movement.flatten()[here], movement[here], rtol=1e-9, atol=1e-9)
    total = sum(found[b, target, "observed"].gain for b in range(3)).flatten()
    first, last = ((goal * z[i].log_softmax(1)).sum(1) / math.log(2) for i in (0, -1))
    torch.testing.assert_close(total[known], (last - first)[known], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["cifar-isotropic", "gpt2", "predictive"])
def test_shuffled_increments_are_the_own_ones_in_another_order(name):
    network, batch = shipped(name)
    seen = trace(network, batch, gradients=False)
    found = [steps(seen, seed=seed) for seed in range(8)]
    observed = sum(found[0][b, "label", "observed"].gain for b in range(3))
    orders = set()
    for one in found:
        shuffled = torch.stack([one[b, "label", "order-shuffled"].gain for b in range(3)])
        torch.testing.assert_close(shuffled.sum(0), observed, rtol=1e-9, atol=1e-9)
        orders.add(tuple(shuffled[:, 0, -1].tolist()))  # nothing is earlier than the first position
    assert len(orders) > 2
    # brute force: some order of the increments gives each unit's gains, the same for all units of a cluster
    z = logits_of(network, seen)
    moves = [z[b + 1] - z[b] for b in range(3)]
    shuffled = [found[0][b, "label", "order-shuffled"].gain for b in range(3)]
    p = seen.targets.shape[1]
    for cluster in range(2):
        rows = slice(cluster * p, (cluster + 1) * p)
        known, label = seen.known[cluster], seen.targets[cluster].clamp_min(0)
        fits = 0
        for order in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)):
            here, right = z[0][rows], True
            for place, b in enumerate(order):
                gain, _ = gain_and_movement(here, here + moves[b][rows], label)
                right &= torch.allclose(shuffled[place][cluster][known] * math.log(2), gain[known])
                here = here + moves[b][rows]
            fits += right
        assert fits == 1


def test_orders_do_not_depend_on_the_batch():
    network, batch = shipped("cifar-isotropic")
    whole = steps(trace(network, batch, gradients=False))
    second = steps(trace(network, part_of(batch, 1, 2), gradients=False))
    for key, step in second.items():
        torch.testing.assert_close(step.gain, whole[key].gain[1:], rtol=1e-9, atol=1e-9)


def test_orders_know_nothing_of_the_bootstraps_weights():
    network = oracles.noise(width=4, blocks=3)
    n = 4000
    batch = oracles.batch(normal(n, 4, 1, 1), torch.arange(n) % 4)
    seen = trace(network, batch, gradients=False)
    found = steps(seen)
    z = logits_of(network, seen)
    first = [gain_and_movement(z[0], z[0] + z[b + 1] - z[b], seen.targets[:, 0])[0] / math.log(2) for b in range(3)]
    leads = torch.stack([(found[0, "label", "order-shuffled"].gain[:, 0] - f).abs() for f in first]).argmin(0).numpy()
    weights = poisson_weights(seen.keys, 0, 16).astype(float)
    shares = np.array([[weights[leads == b, r].sum() / weights[:, r].sum() for b in range(3)] for r in range(16)])
    assert np.bincount(leads, minlength=3).min() > n / 4
    assert np.abs(shares - shares.mean(0)).max() < 5 * math.sqrt(2 / 9 / n)


def test_ignored_units_take_no_part():
    network, batch = shipped("gpt2")
    assert (batch.targets == IGNORED).any()
    found = steps(trace(network, batch, gradients=False))
    for step in found.values():
        assert torch.equal(step.known, batch.targets != IGNORED)


def test_no_step_where_the_readout_does_not_fit_and_no_order_across_a_bridge():
    network, batch = shipped("googlenet")
    assert not steps(trace(network, batch, gradients=False))  # only the last state has the readout's width
    network = oracles.careless()
    found = steps(trace(network, oracles.batch(normal(3, 4, 2, 2)), gradients=False))
    assert {(b, null) for b, _, null in found} == {(b, "observed") for b in range(3)}


def chain(blocks: int, bridge: int = 0) -> Trace:
    """States of blocks in a row; before block ``bridge`` stands one more."""
    before, after = [0], [1]
    for block in range(1, blocks):
        before.append(after[-1] + (block == bridge))
        after.append(before[-1] + 1)
    network = oracles.opened(oracles.Chain([nn.Identity() for _ in range(blocks)], nn.Linear(1, 1)))
    nothing = torch.zeros(1, 1, dtype=torch.int64)
    states = [torch.zeros(1)] * (after[-1] + 1)
    return Trace(network, states, before, after, [], [], {}, nothing, np.zeros(1, np.uint64), nothing, nothing)


def test_fifteen_blocks_in_six_steps():
    assert [s.block for s in merged_steps(chain(15), range(16), 6)] == [1, 4, 6, 9, 11, 14]
    assert merged_steps(chain(15), range(16), 1) == merged_steps(chain(15), [0, 15], 6) != []
    assert merged_steps(chain(3), [2], 6) == []
    # a bridge belongs to the step after it: the state before block 2 is number 3
    assert [(s.start, s.end) for s in merged_steps(chain(4, bridge=2), range(6), 2)] == [(0, 2), (2, 5)]


@given(st.integers(1, 40), st.integers(1, 12), st.sets(st.integers(0, 40)))
def test_merged_steps_follow_each_other_and_are_about_equal(blocks, number, hidden):
    readable = [k for k in range(blocks + 1) if k not in hidden]
    found = merged_steps(chain(blocks), readable, number)
    if len(readable) < 2:
        assert not found
        return
    assert [found[0].start, found[-1].end] == [readable[0], readable[-1]]
    assert all(a.end == b.start and a.block < b.block for a, b in pairwise(found))
    assert all(s.end == s.block + 1 and s.start < s.end for s in found)
    if not hidden:
        assert len(found) == min(number, blocks)
    depth = readable[-1] - readable[0]
    for k in range(number + 1):
        goal = readable[0] + depth * k / number
        nearest = min(abs(r - goal) for r in readable)
        assert nearest == min(abs(s - goal) for s in (found[0].start, *(s.end for s in found)))

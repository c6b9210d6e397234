"""Estimation errors against paths known by construction, explicit orders, and what the plain error says of the same paths."""

from __future__ import annotations

from itertools import pairwise, permutations

import pytest
import torch

import itinf
from itinf import trace
from itinf.probes.estimation_error import references
from measured import measure, view
from oracles import normal
from segment_oracles import by_depth, numbers, path_batch, path_network, walk
from shipped import shipped

PROBE = itinf.EstimationError()


def of(measure: str, form: str = "raw", null: str = "observed") -> tuple[str, str, str]:
    return measure, form, null


def test_a_straight_line_keeps_its_direction():
    step = normal(64, 5, seed=1)
    found = numbers(PROBE, normal(64, 5), [step] * 4)
    for form in ("raw", "centred"):
        assert found[of("error_over_walk", form)] == pytest.approx([4, 3, 2, 1])
        assert found[of("error_over_order", form)] == pytest.approx([1, 1, 1, 1])
        assert found[of("straightness", form)] == pytest.approx([1])
        assert found[of("straightness", form, "random-walk")] == pytest.approx([1 / 2])


def test_a_random_walk_and_what_the_plain_error_says_of_it():
    """The error of a random walk falls at every step, too: that errors fall says nothing."""
    start, steps = walk(6400, 6, 4)
    found = numbers(PROBE, start, steps)
    assert found[of("error_over_walk")] == pytest.approx([1] * 4, abs=0.03)
    assert found[of("error_over_order")] == pytest.approx([1] * 4, abs=0.03)
    assert found[of("estimation_bias")] == pytest.approx([0] * 4, abs=0.05)
    naive = found[of("estimation_error")]
    assert naive == pytest.approx([4 / 5, 3 / 5, 2 / 5, 1 / 5], abs=0.03)
    assert found[of("estimation_error", null="random-walk")] == pytest.approx(naive, abs=0.03)


def test_a_drift_that_all_units_share_is_no_persistence_of_a_unit():
    start, steps = walk(6400, 6, 4)
    drifting = numbers(PROBE, start, [step + 2 for step in steps])
    # |D|² = 6 + 24; of m steps together 6 m + 24 m²
    assert drifting[of("error_over_walk")] == pytest.approx([(1 + 4 * m) / 5 for m in (4, 3, 2, 1)], abs=0.05)
    assert drifting[of("error_over_walk", "centred")] == pytest.approx([1] * 4, abs=0.03)
    assert drifting[of("estimation_bias")] == pytest.approx([2 * m**0.5 for m in (4, 3, 2, 1)], abs=0.05)


def test_an_estimator_that_homes_in():
    """States are a + ε/√l with fresh noise, as estimates from l observations: unbiased, and steps take back each other."""
    goal, last = normal(6400, 6), 6
    states = [goal + normal(6400, 6, seed=k) / k**0.5 for k in range(1, last)] + [goal]
    found = numbers(PROBE, states[0], [b - a for a, b in pairwise(states)])
    assert found[of("estimation_error")] == pytest.approx([1 / k for k in range(1, last)], abs=0.03)
    # |D|² of the step from l to l + 1 is 6 (1/l + 1/(l + 1)), of the last one 6/5
    steps = [1 / k + 1 / (k + 1) for k in range(1, last - 1)] + [1 / (last - 1)]
    expected = [1 / (k * sum(steps[k - 1 :])) for k in range(1, last)]
    assert found[of("error_over_walk")] == pytest.approx(expected, abs=0.02)
    assert max(found[of("error_over_walk")][:-1]) < 0.5
    # random order takes such steps, which undo each other, apart: their sums are larger than these
    assert max(found[of("error_over_order")][1:]) < 1
    assert found[of("estimation_bias")] == pytest.approx([0] * 5, abs=0.05)


def test_large_steps_first_are_fewer_errors_than_in_random_order():
    start, steps = walk(640, 6, 4)
    sizes = (2.0, 1.0, 0.5, 0.25)
    first = numbers(PROBE, start, [size * step for size, step in zip(sizes, steps, strict=True)])
    later = numbers(PROBE, start, [size * step for size, step in zip(reversed(sizes), steps, strict=True)])
    name = of("error_over_order")
    assert max(first[name][1:]) < 0.6 and min(later[name][1:]) > 1.2
    assert first[name][0] == pytest.approx(1) and later[name][0] == pytest.approx(1)


def test_random_orders_in_closed_form_are_all_permutations():
    steps = normal(5, 3, 4)  # five steps of three units
    squares = [step.square().sum(1, keepdim=True) for step in steps]
    whole = steps.sum(0).square().sum(1, keepdim=True)
    walks, orders = references(squares, whole)
    for place in range(5):
        left = [torch.stack([steps[k] for k in order[place:]]).sum(0) for order in permutations(range(5))]
        expected = torch.stack([x.square().sum(1, keepdim=True) for x in left]).mean(0)
        torch.testing.assert_close(orders[place], expected)
        torch.testing.assert_close(walks[place], torch.stack(squares[place:]).sum(0))
    (only,), (alone,) = references(squares[:1], squares[0])
    assert torch.equal(only, squares[0]) and torch.equal(alone, squares[0])


def test_centred_errors_are_what_is_not_carried():
    network, given = shipped("cifar-resnet20")
    found = by_depth(measure(view(network, trace(network, given)), [PROBE, itinf.VarianceShares()]).values)
    carried = found[of("carried_share")]
    assert found[of("estimation_error", "centred")] == pytest.approx([1 - share for share in carried])


def test_bias_and_straightness_by_hand():
    start, steps = normal(20, 4), [normal(20, 4, seed=s) + 1 for s in (1, 2)]
    found = numbers(PROBE, start, steps)
    for state, error in enumerate((steps[0] + steps[1], steps[1])):
        spread = error.var(0).sum()
        squared = error.mean(0).square().sum() - spread / 20  # without the noise of the mean
        assert found[of("estimation_bias")][state] == pytest.approx(float((squared / spread).sqrt()))
    path = sum(step.norm(dim=1).sum() for step in steps)
    whole = (steps[0] + steps[1]).norm(dim=1).sum()
    assert found[of("straightness")] == pytest.approx([float(whole / path)])
    walks = (steps[0].square().sum(1) + steps[1].square().sum(1)).sqrt().sum()
    assert found[of("straightness", null="random-walk")] == pytest.approx([float(walks / path)])


def test_a_bias_that_chance_makes_negative_has_an_interval_about_it():
    start, steps = walk(96, 3, 2, seed=3)
    network, given = _study(start, steps)
    table = itinf.probe(network, given, [PROBE], replicates=200, batch=96).table
    rows = table[(table.measure == "estimation_bias") & (table.form == "raw")]
    assert (rows.lo < 0).all() and (rows.hi > 0).all() and (rows["mean"].abs() < 0.5).all()
    assert ((rows.lo <= rows["mean"]) & (rows["mean"] <= rows.hi)).all()


def _study(start, steps):
    given = path_batch(start, steps)
    return path_network(start.shape[1], len(steps)), [
        (x, int(y)) for x, y in zip(given.inputs, given.targets, strict=True)
    ]

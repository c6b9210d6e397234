"""Indices of iterative convergence on a network that is a recurrence, on ones that are not, and what naive signs say of them."""

from __future__ import annotations

import pytest
import torch

import itinf
import oracles
from itinf import Batch, Network, trace
from itinf.probes.convergence import ROWS
from measured import measure, view
from oracles import normal
from segment_oracles import path_batch, path_network

Found = dict[tuple[str, str], float]


def indices(network: Network, batch: Batch) -> Found:
    """(measure, form) -> index."""
    values = measure(view(network, trace(network, batch)), [itinf.Convergence()]).values
    return {(row.measure, row.form): value for row, value in values.items()}


def test_equal_steps_of_descent_converge_in_any_order_and_go_on():
    network, batch = oracles.descent(blocks=8, step=2.0), oracles.descent_batch()
    found = indices(network, batch)
    assert set(found) == set(ROWS)
    assert found["convergence_index", "loss"] > 0.2
    assert found["recurrence_index", "swap"] == pytest.approx(1, abs=1e-12)
    assert found["recurrence_index", "again"] == pytest.approx(1, abs=1e-12)
    assert found["divergence_index", "loss"] < -0.02
    longer = indices(oracles.descent(blocks=32, step=2.0), batch)
    assert longer["convergence_index", "loss"] > found["convergence_index", "loss"]
    # by hand: the loss of the states, and of as many more steps
    far = trace(oracles.descent(blocks=16, step=2.0), batch)
    losses = [float(torch.nn.functional.cross_entropy(network.readout(h).detach(), batch.targets)) for h in far.states]
    share = [(loss - losses[8]) / (losses[0] - losses[8]) for loss in losses]
    area = sum((share[k] + share[k + 1]) / 2 for k in range(8)) / 8
    assert found["convergence_index", "loss"] == pytest.approx(1 - 2 * area, abs=1e-9)
    assert found["divergence_index", "loss"] == pytest.approx(share[16], abs=1e-9)


def path(steps: list[float]) -> tuple[Network, Batch]:
    """Every block adds its own share of one code for the label; nothing in it depends on the state."""
    network = path_network(4, len(steps))
    with torch.no_grad():
        network.model.head.weight.copy_(torch.eye(4))
        network.model.head.bias.zero_()
    code = 6 * torch.nn.functional.one_hot(torch.arange(40) % 4, 4).double()
    made = path_batch(0.1 * normal(40, 4), [step * code for step in steps])
    return network, Batch(made.inputs, torch.arange(40) % 4, made.keys)


def test_where_the_last_block_does_it_all_nothing_converges():
    late, early = indices(*path([0, 0, 0, 0, 1.0])), indices(*path([1.0, 0, 0, 0, 0]))
    for form in ("loss", "error"):
        assert late["convergence_index", form] == pytest.approx(-1 + 1 / 5, abs=1e-6)
        assert early["convergence_index", form] == pytest.approx(1 - 1 / 5, abs=1e-6)


def test_blocks_that_only_add_change_places_and_are_no_steps():
    """Naive signs of a recurrence: neighbours change places at no cost, and one block can be left out. Only a block in the place
    of the next tells that each holds something of its own."""
    network = path_network(4, 4)
    with torch.no_grad():
        network.model.head.weight.copy_(torch.eye(4))
        network.model.head.bias.zero_()
    labels = torch.arange(40) % 4
    own = [4.0 * ((labels == k)[:, None] * torch.eye(4)[k]) for k in range(4)]  # block k knows class k
    made = path_batch(0.1 * normal(40, 4), [step.double() for step in own])
    found = indices(network, Batch(made.inputs, labels, made.keys))
    assert found["recurrence_index", "swap"] == pytest.approx(1, abs=1e-12)
    assert found["recurrence_index", "again"] < 0.5
    gone = measure(
        view(network, trace(network, Batch(made.inputs, labels, made.keys))), [itinf.Lesion(nulls=())]
    ).values
    stays = [value for row, value in gone.items() if (row.measure, row.null) == ("agreement", "observed")]
    assert min(stays) >= 0.7


def test_where_nothing_is_gained_two_of_them_have_no_value():
    found = indices(*path([-0.1, -0.1]))
    for measure_ in ("convergence_index", "divergence_index"):
        assert found[measure_, "loss"] != found[measure_, "loss"]
    assert found["recurrence_index", "swap"] == pytest.approx(1, abs=1e-9)

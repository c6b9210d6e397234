"""Persistence against answers known by construction, against torch's hooks alone, and under each gauge."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import itinf
import oracles
from gauges import regauged
from itinf import Batch, Network, trace
from itinf.probes.nudges import fixed
from itinf.results.measures import STATE_MEASURES
from itinf.results.row import Row
from measured import Measured, measure, view
from oracles import normal
from persistence_oracles import CLASSES, WIDTH, Quadratic, carrying, chain, head, plain_persistence
from shipped import shipped
from test_lens_steps import lens_of

ALL = itinf.Persistence(one_in=1, finite_one_in=1)


def batch(n: int = 24) -> Batch:
    return oracles.batch(normal(n, WIDTH, 1, 1), torch.arange(n) % CLASSES)


def measured(network: Network, given: Batch | None = None, probe: itinf.Persistence = ALL) -> Measured:
    return measure(view(network, trace(network, given or batch())), [probe])


def numbers(found: Measured, measure: str, target: str = "label", form: str = "") -> dict[int, float]:
    """State -> number."""
    chosen = {"measure": measure, "target": target, "form": form, "null": "observed"}
    rows = [r for r in found.values if all(getattr(r, k) == v for k, v in chosen.items())]
    return {row.state: found.values[row] for row in sorted(rows, key=lambda row: row.state)}


def units(found: Measured, measure: str = "persistence", target: str = "label", form: str = "") -> dict[int, Tensor]:
    """State -> (N, P) numbers of the units; NaN for those that are not measured."""
    chosen = {"measure": measure, "target": target, "form": form}
    rows = [r for r in found.units if all(getattr(r, k) == v for k, v in chosen.items())]
    return {row.state: found.units[row] for row in sorted(rows, key=lambda row: row.state)}


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("target", ["label", "wrong", "random"])
def test_what_is_only_carried_persists_as_carried_alone(target, norm):
    readout = nn.Sequential(nn.LayerNorm(WIDTH), head()) if norm else head()
    found = measured(carrying(readout))
    later, alone = (units(found, m, target) for m in ("persistence", "carried_alone"))
    assert set(later) == set(range(6))  # a bridge stands between every two blocks
    for state, values in later.items():
        torch.testing.assert_close(values, alone[state], rtol=1e-9, atol=1e-12)
        if not norm:
            torch.testing.assert_close(values, torch.ones_like(values))
    assert not norm or abs(numbers(found, "carried_alone", target)[0] - 1) > 0.1
    for values in (numbers(found, "kept", target).values(), [later[5][0, 0], alone[5][0, 0]]):
        assert list(map(float, values)) == pytest.approx([1] * len(values), rel=1e-9)


def test_where_a_relu_is_closed_there_is_no_nudge():
    """Every block adds nothing and ends in a ReLU: what is open stays open, and a nudge of it arrives as it is."""
    found = measured(chain([torch.relu, torch.relu, torch.relu]))
    states = units(found, "persistence")
    for state in (1, 2, 3):  # every nudge of the closed half of the entries would be lost
        torch.testing.assert_close(states[state], torch.ones_like(states[state]))
    assert not torch.allclose(states[0], torch.ones_like(states[0]))  # before the first ReLU no entry is exactly zero


def test_carried_alone_by_hand():
    """A final norm that divides by the size of the state: what is carried fades with its growth."""

    class Norm(nn.Module):
        def forward(self, h: Tensor) -> Tensor:
            return h / h.norm(dim=-1, keepdim=True)

    network = chain([lambda h: 3 * h.roll(1, 1)] * 2, nn.Sequential(Norm(), head()))
    found, given = measured(network), batch()
    w = network.head[1].weight.detach()
    for unit in range(3):
        h = given.inputs[unit, :, 0, 0]
        rows = w[unit % CLASSES] - w.mean(0)

        def gradient(at: Tensor, rows: Tensor = rows) -> Tensor:
            """Of ⟨rows, h/|h|⟩."""
            return (rows - at * (rows @ at) / (at @ at)) / at.norm()

        for state in range(3):
            d = gradient(3**state * h.roll(state))
            end = gradient(9 * h.roll(2))
            later = 3 ** (2 - state) * end.roll(state - 2)  # through blocks that are 3 times a rotation
            square = float(d @ d)
            assert float(units(found)[state][unit]) == pytest.approx(float(later @ d) / square, rel=1e-6)
            alone = float(units(found, "carried_alone")[state][unit])
            assert alone == pytest.approx(float(end @ d) / square, rel=1e-6)


def test_gradient_descent_on_a_quadratic_forgets_what_it_read():
    network = oracles.opened(oracles.Chain([Quadratic(0.3, 1.5) for _ in range(4)], head()))
    expected = {state: 0.55 ** (4 - state) for state in range(5)}
    for target in ("label", "wrong", "random"):
        found = measured(network)
        assert numbers(found, "persistence", target) == pytest.approx(expected)
        assert numbers(found, "carried_alone", target) == pytest.approx(dict.fromkeys(range(5), 1.0))
    # the blocks are linear, so a whole nat does what a small nudge does
    assert numbers(found, "persistence", "wrong", "finite") == pytest.approx(expected)
    assert numbers(found, "finite_same_sign", "wrong", "finite") == dict.fromkeys(range(5), 1.0)


def test_rotations_leave_the_cosine_of_their_angle():
    angle = 0.4
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=torch.float64)
    every = torch.block_diag(*[turn] * (WIDTH // 2))
    found = measured(chain([lambda h: h @ every.T] * 5))
    expected = {state: math.cos(angle * (5 - state)) for state in range(6)}
    assert numbers(found, "persistence") == pytest.approx(expected)
    assert numbers(found, "kept", "random") == pytest.approx(expected)


def rows_of(found: Measured) -> list[Row]:
    return [row for row in found.values if row.measure in STATE_MEASURES]


@pytest.mark.parametrize("name", ["cifar-isotropic", "cifar-resnet20", "gpt2"])
def test_no_number_changes_with_the_gauge(name):
    network, given = shipped(name)
    changed = regauged(network)
    a, b = (measured(of, given) for of in (network, changed))
    assert rows_of(a) and rows_of(a) == rows_of(b)
    for row in rows_of(a):
        assert b.values[row] == pytest.approx(a.values[row], rel=1e-6, abs=1e-9), row
    assert {row.form for row in rows_of(a)} == {"", "finite"}
    if name != "gpt2":  # the plain direction is no property of the function
        plain = [numbers(measured(replace(of, gauge=None), given), "persistence") for of in (network, changed)]
        assert max(abs(plain[0][state] - plain[1][state]) for state in plain[0]) > 0.01


def test_a_lens_cannot_nudge_what_layernorm_does_not_see():
    """The part along the all-ones vector can have any size in a network with LayerNorm; a nudge has none."""
    network, _ = shipped("gpt2")
    d = normal(5, 32)
    found = fixed(network, d, None)
    torch.testing.assert_close(found.sum(1), torch.zeros(5, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(found - found.mean(1, keepdim=True), d - d.mean(1, keepdim=True))


@pytest.mark.parametrize("name", ["cifar-isotropic", "gpt2"])
def test_by_hooks_alone(name):
    network, given = shipped(name)
    plain = replace(network, gauge=None)
    found, model = measured(plain, given), network.model
    blocks = [model.get_submodule(block.name) for block in network.blocks]
    for cluster in range(len(given)):
        per_unit = units(found)
        position = int(per_unit[0][cluster].isfinite().nonzero()[0])  # one position of every sequence is measured
        assert int(per_unit[0][cluster].isfinite().sum()) == 1
        if name == "gpt2":
            unit, readout = (slice(0, 1), position), lambda rows: model.lm_head(model.transformer.ln_f(rows))
        else:
            unit, readout = (slice(0, 1),), lambda rows: model.linear(rows.mean((2, 3)))
        label = int(given.targets.reshape(len(given), -1)[cluster, position])
        for state in range(len(blocks) + 1):
            inputs = given.inputs[cluster : cluster + 1]
            later, alone = plain_persistence(model, lambda m, x: m(x), readout, blocks, inputs, unit, label, state)
            assert float(per_unit[state][cluster, position]) == pytest.approx(later, rel=1e-5)
            carried = units(found, "carried_alone")[state][cluster, position]
            assert float(carried) == pytest.approx(alone, rel=1e-5)


def test_classes_are_those_that_are_believed_at_each_state():
    """Logits are the state itself and blocks turn channels round, so that every state believes another class."""
    from persistence_oracles import Reading

    network = chain([lambda h: 2 * h.roll(1, 1), lambda h: h.roll(1, 1) * torch.arange(1.0, WIDTH + 1)], Reading())
    given = oracles.batch(normal(9, WIDTH, 1, 1), torch.arange(9) % WIDTH)
    seen = trace(network, given)
    opened = view(network, seen)
    found = measure(opened, [ALL])
    for state, z in enumerate(s[:, :, 0, 0] for s in seen.states):
        wrong = z.scatter(1, given.targets[:, None], -torch.inf).argmax(1)
        partner = opened.partners["pairing"]
        sums = {"own": [0.0, 0.0], "pairing": [0.0, 0.0]}
        for unit in range(9):
            theirs = int(wrong[partner[unit]])
            for name, v in (("own", int(wrong[unit])), ("pairing", theirs)):
                if theirs != given.targets[unit]:
                    later, square = by_channels(v, state)
                    sums[name][0] += later
                    sums[name][1] += square
        kept = {name: a / b for name, (a, b) in sums.items()}
        row = Row("selectivity", 0, "image", "ratio", target="wrong", state=state)
        assert found.values[row] == pytest.approx(kept["pairing"] - kept["own"], abs=1e-6)
        row = replace(row, measure="persistence", null="pairing")
        assert found.values[row] == pytest.approx(kept["pairing"], rel=1e-6)


def by_channels(v: int, state: int) -> tuple[float, float]:
    """⟨g, d⟩ and |d|² for the class v of the network above."""
    d = torch.full((WIDTH,), -1 / WIDTH, dtype=torch.float64)
    d[v] += 1
    nudged = d.clone()
    for block in range(state, 2):
        nudged = nudged.roll(1) * (2 if block == 0 else torch.arange(1.0, WIDTH + 1))
    return float(nudged[v] - nudged.mean()), float(d @ d)


def test_states_that_cannot_be_read_or_carried_have_a_reason():
    network, given = shipped("cifar-resnet20")
    run = itinf.probe(
        network, [(x, int(y)) for x, y in zip(given.inputs, given.targets, strict=True)], [ALL], replicates=4
    )
    rows = run.table[(run.table.measure == "persistence") & (run.table.target == "label") & (run.table.form == "")]
    reasons = rows[rows.statistic == "ratio"].set_index("state_index").reason_code.to_dict()
    assert {k for k, why in reasons.items() if why == "no_readout"} == set(range(7))
    assert set(reasons) == set(range(10))
    names = rows.drop_duplicates("state_index").set_index("state_index").state
    assert (names[0], names[9]) == (f"before {network.blocks[0].name}", network.blocks[-1].name)
    assert rows.block_index.isna().all() and (rows.block == "").all()


def test_a_lens_reads_and_nudges_and_the_end_is_the_networks_own():
    network, given = shipped("gpt2")
    seen = trace(network, given)
    own, logit = measured(network, given), measured(network, given, replace(ALL, lens=lens_of(network, seen, "logit")))
    assert {row.lens for row in rows_of(logit)} == {"logit"}
    for row in rows_of(own):
        assert logit.values[replace(row, lens="logit")] == pytest.approx(own.values[row], rel=1e-9)
    lens = lens_of(network, seen)
    found = units(measured(network, given, replace(ALL, lens=lens)))
    unit = int(found[1][0].isfinite().nonzero()[0])
    x = seen.states[3][0, unit].clone().requires_grad_()
    label, z = int(given.targets[0, unit]), network.readout(x[None])[0]
    (g,) = torch.autograd.grad(z[label] - z.mean(), x)
    translator = copy.deepcopy(lens.translators[3]).double()
    z = network.readout(translator(x[None]))[0]
    (d,) = torch.autograd.grad(z[label] - z.mean(), x)
    d = d - d.mean()
    assert float(found[3][0, unit]) == pytest.approx(float(g @ d / (d @ d)), rel=1e-6)

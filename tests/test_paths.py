"""Gradients by path length against answers known by construction, and against every single path."""

from __future__ import annotations

from math import comb

import pytest
import torch
from torch import nn

import itinf
import oracles
import tiny
from itinf import Block, Network, trace
from itinf.networks.path_lengths import _orders, longest, path_lengths
from itinf.probes.paths import first_states
from measured import measure, view
from oracles import Chain, Residual, normal, opened
from path_oracles import ReluBlock, Times, by_length, chain, given, head, linear, of_all_paths, require_equal, vjp
from tiny import Items, images, probed, tokens

ROUNDING = {torch.float64: 1e-12, torch.float32: 1e-5}
DTYPES = pytest.mark.parametrize("dtype", list(ROUNDING))


def numbers(network, batch, **settings):
    """(measure, state) -> numbers by length; the effective length alone."""
    found = measure(view(network, trace(network, batch)), [itinf.Paths(**settings)]).values
    table = {}
    for row, value in found.items():
        table.setdefault((row.measure, row.state), []).append(value)
    return table


@DTYPES
@pytest.mark.parametrize("kind", ["image", "token"])
@pytest.mark.parametrize("parts", [False, True])
def test_shares_of_all_lengths_add_up_to_one(kind, parts, dtype):
    network, data = tiny.opened(kind, 5)
    network.to("cpu", dtype)
    seen = trace(network, oracles.batch(data.inputs.to(dtype) if kind == "image" else data.inputs, data.targets))
    states = first_states(seen)
    assert states == ([0, 3, 5] if kind == "image" else [0])
    found = path_lengths(seen, torch.arange(5), states, parts)
    assert {state: len(each.dots) - 1 for state, each in found.items()} == longest(seen, states, parts)
    assert longest(seen, states, parts) == ({0: 6, 3: 3, 5: 1} if kind == "image" else {0: 4 if parts else 2})
    for each in found.values():
        assert float((each.dots.sum(0) / each.whole - 1).abs().max()) < ROUNDING[dtype]


@pytest.mark.parametrize("factor", [0.5, -0.3, 2.0])
def test_branches_that_multiply_by_c_have_binomial_shares(factor):
    """share_k = C(B, k) c^k / (1 + c)^B, so that the effective length is B c / (1 + c)."""
    found, blocks = numbers(linear([factor] * 5), given()), 5
    expected = [comb(blocks, k) * factor**k / (1 + factor) ** blocks for k in range(blocks + 1)]
    assert found["path_share", 0] == pytest.approx(expected, rel=1e-12)
    assert found["path_norm", 0] == pytest.approx([*map(abs, expected), sum(map(abs, expected))], rel=1e-12)
    assert found["effective_path_length", 0] == pytest.approx([blocks * factor / (1 + factor)], rel=1e-12)
    assert found["sampled_path_norm", 0] == pytest.approx(found["path_norm", 0][:-1], rel=1e-12)


def test_without_branches_all_is_at_length_zero():
    found = numbers(linear([0.0] * 4), given())
    assert found["path_share", 0] == [1, 0, 0, 0, 0] and found["effective_path_length", 0] == [0]


def test_a_branch_that_does_not_know_the_state_carries_nothing():
    found = numbers(oracles.noise(width=6), oracles.batch(normal(4, 6, 2, 2), torch.arange(4)))
    assert found["path_share", 0] == [1, 0, 0]


def test_sampled_paths_count_what_cancels():
    """Branches +c and −c by turns: all paths of length 1 cancel, and the sampled ones add up to B·c."""
    c, blocks = 0.4, 4
    found = numbers(linear([c, -c] * 2), given())
    whole = (1 - c * c) ** 2  # (1 + c)(1 − c)(1 + c)(1 − c)
    assert found["path_share", 0] == pytest.approx([1 / whole, 0, -2 * c**2 / whole, 0, c**4 / whole], abs=1e-12)
    sampled = [comb(blocks, k) * c**k / whole for k in range(blocks + 1)]
    assert found["sampled_path_norm", 0] == pytest.approx(sampled, rel=1e-12)
    assert found["path_norm", 0][-1] < 0.8 * sum(found["sampled_path_norm", 0])


@pytest.mark.parametrize("post", [False, True])
@pytest.mark.parametrize("state", [0, 2])
def test_small_relu_networks_equal_the_enumeration_of_all_paths(post, state):
    blocks = [ReluBlock(10 * place, post).double() for place in range(6)]
    network, batch = chain(blocks), given()
    seen = trace(network, batch)
    states = [h.flatten(1) for h in seen.states]
    ways = [
        [torch.stack(matrices) for matrices in zip(*map(block.jacobians, x), strict=True)]
        for block, x in zip(blocks[state:], states[state:], strict=False)
    ]
    ways = [tuple(lambda v, J=J: torch.einsum("nij,ni->nj", J, v) for J in pair) for pair in ways]
    expected = of_all_paths(seen.gradients["label"].states[-1].flatten(1), ways)
    assert len(expected) == 7 - state
    require_equal(seen, state, expected, by_length(network, batch, state))


@pytest.mark.parametrize("family", ["cifar-resnet", "cifar-preresnet"])
@pytest.mark.parametrize("shortcut", ["A", "projection"])
def test_stages_equal_the_enumeration_of_all_paths(family, shortcut):
    """The skip of a block that changes the shape is its shortcut; a ReLU after the addition is on every path."""
    network = itinf.network(family, weights="random:1", shortcut=shortcut, depth=8).to("cpu", torch.float64)
    data = images(4)
    batch = oracles.batch(data.inputs.double(), data.targets)
    seen, ways = trace(network, batch), []
    for number, described in enumerate(network.blocks):
        block, x, y = network.model.get_submodule(described.name), seen.states[number], seen.states[number + 1]
        mask = (y > 0) if family == "cifar-resnet" else torch.ones_like(y)
        through = _post if family == "cifar-resnet" else _pre
        back = [vjp(block.shortcut, x), vjp(lambda h, b=block, f=through: f(b, h), x)]
        ways.append(tuple(lambda v, each=each, m=mask: each(m * v) for each in back))
    expected = of_all_paths(seen.gradients["label"].states[-1], ways)
    require_equal(seen, 0, expected, by_length(network, batch))


def _post(block, h):
    return block.bn2(block.conv2(block.bn1(block.conv1(h)).relu()))


def _pre(block, h):
    return block.conv2(block.bn2(block.conv1(block.bn1(h).relu())).relu())


@pytest.mark.parametrize("parts", [False, True])
def test_transformer_blocks_equal_the_enumeration_of_all_paths(parts):
    network = tiny.gpt2().to("cpu", torch.float64)
    data = tokens(3)
    batch = oracles.batch(data.inputs, data.targets)
    seen, ways = trace(network, batch), []
    network.model.eval()
    for number, block in enumerate(network.model.transformer.h):
        x = seen.states[number]
        if not parts:
            ways.append((lambda v: v, vjp(lambda h, b=block: b(h) - h, x)))
            continue
        attention, mlp = (lambda h, b=block: b.attn(b.ln_1(h))[0]), (lambda h, b=block: b.mlp(b.ln_2(h)))
        ways.append((lambda v: v, vjp(attention, x)))
        ways.append((lambda v: v, vjp(mlp, x + attention(x))))
    expected = of_all_paths(seen.gradients["label"].states[-1], ways)
    require_equal(seen, 0, expected, by_length(network, batch, parts=parts))


def test_what_stands_between_blocks_is_on_every_path():
    """States and branches are worked on in place, bridges multiply by ½, and every block ends with a tanh."""
    network, batch = oracles.careless(), oracles.batch(normal(4, 4, 2, 2), torch.arange(4) % 3)
    seen, ways = trace(network, batch), []
    for number, block in enumerate(network.model.blocks):
        x, y = seen.states[seen.before[number]], seen.states[seen.after[number]]
        slope = (1 - y.square()) * (1.0 if number == 0 else 0.5)
        back = vjp(block.branch, x)
        ways.append((lambda v, s=slope: s * v, lambda v, s=slope, b=back: b(s * v)))
    expected = of_all_paths(seen.gradients["label"].states[-1], ways)
    require_equal(seen, 0, expected, by_length(network, batch))


class _TwoNorms(nn.Module):
    """norm(x + M(x)) with x = norm(h + A(h)): no sum has the state before the block as a summand."""

    def __init__(self):
        super().__init__()
        self.a, self.m, self.norms = Times(0.5), nn.Conv2d(4, 4, 1), nn.ModuleList(nn.GroupNorm(1, 4) for _ in range(2))

    def forward(self, h):
        x = self.norms[0](h + self.a(h))
        return self.norms[1](x + self.m(x))


def test_a_block_without_a_known_skip_leaves_the_states_before_it_undefined():
    network = opened(Chain([_TwoNorms(), Residual(Times(0.1))], head()))
    rows = probed(network, Items("image", normal(24, 4, 1, 1), torch.arange(24) % 3), probes=[itinf.Paths()]).table
    assert set(rows.measure) == {"path_share", "path_norm", "effective_path_length"}
    assert set(rows.reason_code) == {"no_skip_path"} and rows["mean"].isna().all()


def test_a_network_without_skips_has_no_lengths():
    network, data = itinf.network("cifar-isotropic-plain", weights="random:0", blocks=2), images(24)
    rows = probed(network, data, probes=[itinf.Paths()]).table
    assert set(rows.reason_code) == {"no_skip_path"}


class _Layer(nn.Module):
    """A layer without a skip, beside which something else is multiplied."""

    def __init__(self, given):
        super().__init__()
        self.conv, self.gate = nn.Conv2d(given, 4, 1), nn.Conv2d(4, 4, 1)

    def forward(self, h):
        out = self.conv(h)
        return out * self.gate(out).sigmoid()


def test_every_path_takes_the_branch_of_a_block_without_a_skip():
    quarter = [Residual(Times(0.25)), Residual(Times(0.25))]
    network = opened(Chain([_Layer(2), quarter[0], _Layer(4), quarter[1]], head()))
    found = numbers(network, oracles.batch(normal(5, 2, 1, 1), torch.arange(5) % 3))
    assert found["path_share", 0] == pytest.approx([0, 0, 0.64, 0.32, 0.04])
    assert found["path_share", 1] == pytest.approx([0, 0.64, 0.32, 0.04])


def test_a_branch_tells_the_skip_where_no_sum_shows_it():
    """Skips scaled by ½ are no summand of the block; its branch then tells them."""

    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.branch = Times(0.25)

        def forward(self, h):
            return 0.5 * h + self.branch(h)

    model = Chain([Half(), Half()], head()).double()
    blocks = [Block(f"blocks.{i}", branch="branch") for i in range(2)]
    network = Network(model, blocks, layout="n c h w", head=model.head, pool=oracles.mean)
    assert numbers(network, given())["path_share", 0] == pytest.approx([4 / 9, 4 / 9, 1 / 9])


def test_a_sampled_path_takes_the_branches_that_stand_first_in_its_order():
    """Each unit has a random order of its own, and its path of length k takes the first k steps of it."""
    blocks = [ReluBlock(10 * place, post=False).double() for place in range(4)]
    network, batch = chain(blocks), given()
    seen = trace(network, batch)
    found = path_lengths(seen, torch.arange(5), {0}, seed=3)[0].sampled
    orders = _orders(batch.keys, 3, 4)
    assert len({tuple(order) for order in orders}) > 1 and all(sorted(order) == [0, 1, 2, 3] for order in orders)
    for unit, order in enumerate(orders):
        for length in range(5):
            v = seen.gradients["label"].states[-1][unit].flatten()
            for step, place in enumerate(order):  # the last block is the first step
                skip, branch = blocks[3 - step].jacobians(seen.states[3 - step][unit].flatten())
                v = (branch if place < length else skip).T @ v
            assert float(found[length, unit]) == pytest.approx(float(v.detach().square().sum()), rel=1e-9)

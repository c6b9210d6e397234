"""Recording: what it sees is what the network computes, and nothing of it stays."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import itinf
import oracles
from itinf import Block, ItinfError, Network, trace
from itinf.data.clusters import load_batch
from itinf.networks.hooks import recorded
from oracles import normal
from shipped import NAMES, RESIDUAL, by_hand, shipped
from tiny import images, resnet
from tolerance import rounding


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules())


def asked(model: nn.Module) -> dict[str, bool]:
    return {name: p.requires_grad for name, p in model.named_parameters()}


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_outputs_stay_bit_identical(name, gradients):
    network, batch = shipped(name, torch.float32)
    with torch.no_grad():
        alone = network.model(batch.inputs)
    with torch.set_grad_enabled(gradients), recorded(network):
        seen = network.model(batch.inputs)
    alone, seen = getattr(alone, "logits", alone), getattr(seen, "logits", seen)
    assert torch.equal(seen.detach(), alone)


def convolved(values: Tensor) -> float:
    """What rounding does to sums over 9 pixels of 512 channels, the longest in any of these networks."""
    return rounding(values.dtype, 9 * 512, values.abs().max())


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("name", RESIDUAL)
def test_branches_and_states_are_what_the_modules_compute(name, gradients):
    network, batch = shipped(name)
    with torch.set_grad_enabled(gradients), recorded(network) as recording:
        network.forward(batch.inputs)
    with torch.no_grad():
        for block, before, after, branch, parts in zip(
            network.blocks, recording.befores, recording.afters, recording.branches, recording.parts, strict=True
        ):
            module = network.model.get_submodule(block.name)
            expected = by_hand(module, before)
            found = {"": branch} if branch is not None else parts
            assert found.keys() == expected.keys()
            for key in found:
                torch.testing.assert_close(found[key].detach(), expected[key], rtol=0, atol=convolved(expected[key]))
            whole = module(before.clone())
            torch.testing.assert_close(after.detach(), whole, rtol=0, atol=convolved(whole))


@pytest.mark.parametrize("name", ["cifar-plain20", "cifar-isotropic-plain", "googlenet"])
def test_networks_without_skips_have_no_branch(name):
    network, batch = shipped(name)
    seen = trace(network, batch)
    assert seen.branches == [None] * len(network.blocks) and not any(seen.parts)


def test_bridges_part_the_states():
    network, batch = shipped("googlenet")
    seen = trace(network, batch)
    bridged = [network.blocks[b].name for b in range(1, 9) if seen.before[b] != seen.after[b - 1]]
    assert bridged == ["inception4a", "inception5a"]
    assert len(seen.states) == 9 + 1 + 2


@pytest.mark.parametrize("gradients", [True, False])
def test_a_network_that_works_in_place_everywhere(gradients):
    network = oracles.careless()
    inputs = normal(3, 4, 2, 2)
    batch = oracles.batch(inputs.clone())
    h, states, branches = inputs, [], []
    with torch.no_grad():
        for place, block in enumerate(network.model.blocks):
            states.append(h if place == 0 else h * 0.5)
            branches.append(block.branch(states[-1]))
            h = (branches[-1] + states[-1]).tanh()
            states.append(h)
        logits = network.model.head(oracles.mean(h.relu()))
    seen = trace(network, batch, gradients=gradients)
    assert torch.equal(batch.inputs, inputs)
    assert (seen.before, seen.after) == ([0, 2, 4], [1, 3, 5])
    for found, expected in zip([*seen.states, *seen.branches], [*states, *branches], strict=True):
        torch.testing.assert_close(found, expected)
    assert (h < 0).any()
    torch.testing.assert_close(network.readout(seen.states[-1]).detach(), logits)
    with torch.no_grad():
        torch.testing.assert_close(network.model(inputs.clone()), logits)


def test_a_neck_that_works_in_place_leaves_the_state():
    width = 4
    model = oracles.Chain([oracles.Residual(nn.Conv2d(width, width, 1))], nn.Linear(width, 3))
    network = oracles.opened(model, branch="branch")
    network.neck = nn.ReLU(inplace=True)
    inputs = normal(3, width, 2, 2)
    seen = trace(network, oracles.batch(inputs))
    with torch.no_grad():
        torch.testing.assert_close(seen.states[1], model.blocks[0](inputs))


@pytest.mark.parametrize("when", ["never", "inside", "in a block"])
def test_nothing_stays_behind(when):
    network = oracles.smooth()
    network.model.head.weight.requires_grad_(False)
    before = asked(network.model)
    inputs = oracles.smooth_batch().inputs
    if when == "in a block":
        inputs = inputs[:, :3]
    try:
        with recorded(network):
            assert hooks(network.model) > 0 and not any(asked(network.model).values())
            network.forward(inputs)
            if when == "inside":
                raise KeyError("by the user")
    except (KeyError, RuntimeError):
        assert when != "never"
    else:
        assert when == "never"
    assert hooks(network.model) == 0 and asked(network.model) == before


def test_nothing_stays_behind_a_refusal():
    network = oracles.repeated([None])
    before = asked(network.model)
    with pytest.raises(ItinfError):
        trace(network, oracles.batch(normal(2, 4, 2, 2)))
    assert hooks(network.model) == 0 and asked(network.model) == before


def test_parameters_get_no_gradient():
    network = oracles.smooth()
    trace(network, oracles.smooth_batch())
    assert all(p.grad is None and p.requires_grad for p in network.model.parameters())


def test_a_module_called_twice_is_refused_with_the_count():
    with pytest.raises(ItinfError, match=r"'block' ran 3 times .*call=1\) … Block\('block', call=3"):
        trace(oracles.repeated([None], times=3), oracles.batch(normal(2, 4, 2, 2)))


def test_calls_of_one_module_are_blocks_of_their_own():
    inputs = normal(2, 4, 2, 2)
    network = oracles.repeated([1, 2])
    seen = trace(network, oracles.batch(inputs))
    block = network.model.block
    with torch.no_grad():
        first = block(inputs)
        for found, expected in zip(seen.states, [inputs, first, block(first)], strict=True):
            torch.testing.assert_close(found, expected)
        torch.testing.assert_close(seen.branches[1], block.branch(first))


def test_one_call_of_a_module_can_be_the_only_block():
    inputs = normal(2, 4, 2, 2)
    network = oracles.repeated([2], times=3)
    network.trunk = lambda model, x: model.block(model.block(x))
    seen = trace(network, oracles.batch(inputs))
    with torch.no_grad():
        torch.testing.assert_close(seen.states[0], network.model.block(inputs))
    assert len(seen.states) == 2


def test_blocks_that_did_not_run_or_ran_in_another_order():
    network = oracles.smooth()
    batch = oracles.smooth_batch()
    network.trunk = lambda model, x: model.blocks[0](x)
    with pytest.raises(ItinfError, match=r"'blocks\.1' did not run"):
        trace(network, batch)
    network.trunk = lambda model, x: [x := b(x) for b in reversed(model.blocks)]
    with pytest.raises(ItinfError, match=r"another order than listed: blocks\.3, blocks\.2"):
        trace(network, batch)


def test_a_branch_that_did_not_run():
    network = oracles.smooth()
    block = network.model.blocks[2]
    block.forward = lambda h: h + block.branch[2](block.branch[1](block.branch[0](h)))
    with pytest.raises(ItinfError, match=r"'branch' of block 'blocks\.2' did not run"):
        trace(network, oracles.smooth_batch())


def test_a_call_that_never_comes():
    with pytest.raises(ItinfError, match="another order"):
        trace(oracles.repeated([1, 5]), oracles.batch(normal(2, 4, 2, 2)))


class _Wrapped(nn.Module):
    """Takes its state by keyword and gives it back inside a container."""

    def __init__(self, inner: nn.Module, kind: type) -> None:
        super().__init__()
        self.inner, self.kind = inner, kind

    def forward(self, *, flag: str, state: Tensor) -> object:
        out = self.inner(state)
        return {"state": out} if self.kind is dict else self.kind((None, out))


class _Unwrapping(nn.Module):
    def __init__(self, blocks: list[nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.blocks, self.head = nn.ModuleList(blocks), head

    def forward(self, h: Tensor) -> Tensor:
        for block in self.blocks:
            out = block(flag="x", state=h)
            h = out["state"] if isinstance(out, dict) else out[1]
        return self.head(oracles.mean(h))


@pytest.mark.parametrize("kind", [tuple, list, dict])
def test_one_rule_for_every_container(kind):
    plain = oracles.smooth()
    wrapped = copy.deepcopy(plain)
    model = _Unwrapping([_Wrapped(b, kind) for b in wrapped.model.blocks], wrapped.model.head)
    network = Network(
        model,
        [Block(f"blocks.{i}", branch="inner.branch") for i in range(4)],
        layout="n c h w",
        head=model.head,
        pool=oracles.mean,
    )
    batch = oracles.smooth_batch()
    a, b = trace(plain, batch), trace(network, batch)
    for x, y in zip(
        [*a.states, *a.gradients["label"].branches], [*b.states, *b.gradients["label"].branches], strict=True
    ):
        assert torch.equal(x, y)


@pytest.mark.parametrize("what", ["trace", "check", "probe", "fit", "transfer", "a failure"])
def test_a_measurement_is_in_eval_mode_and_leaves_every_mode_as_it_was(what):
    """As inside a training loop: BatchNorm statistics of the user's model do not move, and one frozen module stays so."""
    network, data = resnet(), images(320)
    expected = itinf.trace(network, part_of(data, 8), gradients=False).loss
    lens = itinf.fit(network, data, "affine", units=200)
    network.model.train()
    next(m for m in network.model.modules() if isinstance(m, nn.BatchNorm2d)).eval()
    modes = {name: module.training for name, module in network.model.named_modules()}
    assert len(set(modes.values())) == 2
    before = {name: value.clone() for name, value in network.model.state_dict().items()}
    if what == "trace":
        assert torch.equal(itinf.trace(network, part_of(data, 8), gradients=False).loss, expected)
    elif what == "check":
        assert itinf.check(network, part_of(data, 4)).ok
    elif what == "probe":
        itinf.probe(network, data, units=64, replicates=4, calibration=8, untrained=1)
    elif what == "fit":
        again = itinf.fit(network, data, "affine", units=200)
        assert torch.equal(again.translators[0].weight, lens.translators[0].weight)
    elif what == "transfer":
        itinf.transfer(network, lens, data, units=64, replicates=4, precision=1.0)
    else:
        with pytest.raises(itinf.ItinfError):
            itinf.trace(network, replace(part_of(data, 4), targets=torch.full((4,), 99)))
    assert {name: module.training for name, module in network.model.named_modules()} == modes
    assert all(torch.equal(value, before[name]) for name, value in network.model.state_dict().items())


def part_of(data, count):
    """A batch of the first items."""
    return load_batch(data, range(count))

"""The gradients of a trace, against finite differences, another toolkit, and identities they must satisfy."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from captum.attr import LayerGradientXActivation
from torch import Tensor, nn

import oracles
from itinf import IGNORED, Batch, Network, trace
from itinf.networks.trace import concatenate, updates
from itinf.probes.gradients import gradient
from itinf.probes.readouts import read
from oracles import part_of
from shipped import NAMES, RESIDUAL, out_of_place, shipped
from tolerance import rounding


def losses(network: Network, batch: Batch, model: nn.Module | None = None) -> Tensor:
    """(N,) summed cross-entropy per cluster, by the model itself."""
    options = {"use_cache": False} if network.unit == "token" else {}
    logits = (model or network.model)(batch.inputs, **options)
    logits = getattr(logits, "logits", logits)
    flat = nn.functional.cross_entropy(
        logits.flatten(0, -2), batch.targets.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return flat.reshape(len(batch), -1).sum(1)


def by_scale(network: Network, batch: Batch, path: str, e: float) -> Tensor:
    """(N,) losses with the output of a module multiplied by 1 + e."""

    def hook(module: nn.Module, args: object, output: object) -> object:
        if isinstance(output, tuple):
            return (output[0] * (1 + e), *output[1:])
        return output * (1 + e)

    handle = network.model.get_submodule(path).register_forward_hook(hook)
    try:
        with torch.no_grad():
            return losses(network, batch)
    finally:
        handle.remove()


def slope(network: Network, vector: Tensor, direction: Tensor, scale: Tensor) -> Tensor:
    """(N,) ⟨vector, gradient of the loss⟩."""
    v, g = network.canonical(vector), network.canonical(direction)
    dots = (v * g).sum((2, 3))  # (N, P)
    return dots.sum(1) * scale[:, 0]


@pytest.mark.parametrize("name", RESIDUAL)
def test_slope_of_the_loss_by_a_branchs_scale(name):
    network, batch = shipped(name)
    seen = trace(network, batch)
    places = range(len(network.blocks))
    for b in places if len(places) < 10 else (0, 1, len(places) // 2, len(places) - 1):
        block = network.blocks[b]
        paths = {"": block.branch} if block.branch else dict(block.parts)
        for part, path in paths.items():
            update = "part" if part else "branch"
            g = gradient(seen, {}, b, update, part, "output", "label")
            found = slope(network, updates(seen, b)[update, part], g.direction, g.scale)
            e = 1e-8  # so small that hardly a ReLU changes sides
            ends = [by_scale(network, batch, f"{block.name}.{path}", s * e) for s in (1, -1)]
            lost = rounding(torch.float64, 50, ends[0].max()) / (2 * e)  # each of the two losses, in fifty layers
            assert found == pytest.approx((ends[0] - ends[1]) / (2 * e), rel=1e-4, abs=lost), (b, part)


EMBEDDING = {"gpt2": "transformer.drop", "llama": "model.embed_tokens"}
"""What gives the first state; of ``predictive`` no module does."""
LAST = {"attn": "attn.resid_dropout", "self_attn": "self_attn.o_proj"}
"""The last module of an attention, which itself gives a tuple."""


@pytest.mark.filterwarnings("ignore:Input Tensor")
@pytest.mark.parametrize("name", NAMES)
def test_gradients_equal_captums(name):
    network, batch = shipped(name)
    seen = trace(network, batch)
    found = seen.gradients["label"]
    model = out_of_place(network)

    def captum(path: str, enter: bool = False) -> Tensor:
        tool = LayerGradientXActivation(
            lambda x: losses(network, Batch(x, batch.targets, batch.keys), model),
            model.get_submodule(path),
            multiply_by_inputs=False,
        )
        inputs = batch.inputs.clone()
        result = tool.attribute(inputs, attribute_to_layer_input=enter)
        assert isinstance(result, Tensor)
        return result

    def same(direction: Tensor, path: str, enter: bool = False) -> None:
        expected = captum(path, enter)
        size = found.scale[:, :1].reshape(-1, *[1] * (direction.ndim - 1))
        error = (direction * size - expected).abs().max() / expected.abs().max()
        assert error < 1e-9, (path, float(error))

    last = len(network.blocks) - 1
    for b in sorted({0, last // 2, last}):
        block = network.blocks[b]
        if network.unit == "image":
            same(found.states[seen.before[b]], block.name, enter=True)
        elif b or name in EMBEDDING:  # captum takes no None among a block's arguments
            same(found.states[seen.before[b]], network.blocks[b - 1].name if b else EMBEDDING[name])
        same(found.states[seen.after[b]], block.name)
        if block.branch is not None:
            same(found.branches[b], f"{block.name}.{block.branch}")
        for part, path in block.parts.items():
            path = LAST.get(path, path)
            same(found.parts[b][part], f"{block.name}.{path}")


def test_what_first_order_leaves_is_of_second_order():
    network, batch = oracles.smooth(), oracles.smooth_batch()
    seen = trace(network, batch)
    found = seen.gradients["label"]
    for b in range(len(network.blocks)):
        first = slope(network, seen.branches[b], found.branches[b], found.scale).sum()
        ratios = []
        for e in (1e-2, 1e-3, 1e-4):
            moved = by_scale(network, batch, f"blocks.{b}.branch", e).sum()
            ratios.append(float(moved - seen.loss.sum() - e * first) / e**2)
        assert np.ptp(ratios) < 0.02 * abs(ratios[-1])


def test_gradients_weighted_by_the_models_own_probabilities_cancel():
    network = oracles.smooth()
    inputs = oracles.smooth_batch().inputs
    with torch.no_grad():
        p = network.model(inputs).softmax(1)  # (N, 10)
    totals: list[Tensor] = []
    sizes: list[Tensor] = []
    for c in range(10):
        seen = trace(network, oracles.batch(inputs, torch.full((len(inputs),), c)))
        found = seen.gradients["label"]
        factor = (p[:, c] * found.scale[:, 0])[:, None, None, None]
        weighted = [factor * g for g in found.states]
        totals = [t + w for t, w in zip(totals, weighted, strict=True)] if totals else weighted
        sizes = (
            [s.maximum(w.abs().amax()) for s, w in zip(sizes, weighted, strict=True)]
            if sizes
            else [w.abs().amax() for w in weighted]
        )
    assert len(totals) == 5
    for total, size in zip(totals, sizes, strict=True):
        assert size > 1e-3 and total.abs().max() < rounding(torch.float64, 10 * 6, 10 * size)  # classes, channels


def test_gradients_of_gpt2_are_blind_to_the_all_ones_vector():
    network, batch = shipped("gpt2", torch.float32)
    seen = trace(network, batch)
    found = [*seen.gradients["label"].states]
    found += [r.gradients["label"][0] for r in read(seen).values() if r.gradients]
    assert len(found) == 4 + 3 + 3
    for g in found:
        g = g.double()[seen.known]
        assert ((g.sum(1) / (g.norm(dim=1) * g.shape[1] ** 0.5)).abs() < 1e-5).all()


@pytest.mark.parametrize("name", ["cifar-resnet20", "cifar-preresnet20", "resnet50", "googlenet", "gpt2", "predictive"])
def test_last_readout_is_the_models_own(name):
    network, batch = shipped(name, torch.float32)
    seen = trace(network, batch)
    with torch.no_grad():
        own = network.model(batch.inputs)
        logits = network.readout(network.per_prediction(seen.states[-1]))
    own = getattr(own, "logits", own)
    torch.testing.assert_close(logits, own.reshape(logits.shape), rtol=1e-4, atol=1e-4)
    last = read(seen)[len(seen.states) - 1]
    torch.testing.assert_close(last.loss, seen.loss)
    torch.testing.assert_close(seen.loss.sum(1), losses(network, batch).detach().double(), rtol=1e-5, atol=1e-5)
    assert torch.equal(last.answer, own.argmax(-1).reshape(last.answer.shape))


@pytest.mark.parametrize("name", ["cifar-isotropic", "gpt2", "predictive"])
def test_changes_of_the_readout_telescope(name):
    network, batch = shipped(name, torch.float32)
    seen = trace(network, batch)
    found = read(seen)
    steps = [found[a].loss - found[b].loss for b, a in zip(seen.before, seen.after, strict=True)]
    assert len(steps) == 3
    first = network.readout(network.per_prediction(seen.states[0])).detach().double()
    first_loss = nn.functional.cross_entropy(first, seen.targets.flatten(), ignore_index=IGNORED, reduction="none")
    total = first_loss.reshape(seen.targets.shape) + sum(steps)
    torch.testing.assert_close(total, seen.loss, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("target", ["label", "answer", "model"])
@pytest.mark.parametrize("name", ["cifar-preresnet20", "gpt2"])
def test_readout_gradient_skips_the_later_blocks(name, target):
    network, batch = shipped(name)
    seen = trace(network, batch, ["label", "answer"])
    goals = {
        "label": seen.targets.flatten(),
        "answer": seen.answer.flatten().masked_fill(~seen.known.flatten(), IGNORED),
    }
    with torch.no_grad():
        goals["model"] = network.readout(network.per_prediction(seen.states[-1])).softmax(1)
    for where, readout in read(seen, [target]).items():
        if not readout.gradients:
            continue
        if isinstance(where, tuple):
            block, part = where
            assert part == "mlp"
            state = seen.states[seen.before[block]] + seen.parts[block]["attention"]
        else:
            state = seen.states[where]
        rows = network.per_prediction(state).clone().requires_grad_()
        loss = nn.functional.cross_entropy(
            network.readout(rows), goals[target], ignore_index=IGNORED if target != "model" else -1, reduction="none"
        )
        (expected,) = torch.autograd.grad((loss * seen.known.flatten()).sum(), rows)
        direction, scale = readout.gradients[target]
        size = scale.flatten().reshape(-1, *[1] * (rows.ndim - 1))
        torch.testing.assert_close(network.per_prediction(direction) * size, expected, rtol=1e-9, atol=1e-12)


def test_the_networks_own_answer_as_target():
    network, batch = shipped("cifar-resnet20")
    seen = trace(network, batch, ["label", "answer"])
    other = trace(network, dataclasses.replace(batch, targets=seen.answer.flatten()))
    assert not torch.equal(seen.answer, seen.targets)
    for a, b in zip(seen.gradients["answer"].states, other.gradients["label"].states, strict=True):
        assert torch.equal(a, b)


def test_three_gradients_of_each_part():
    """attention is added to h_{l−1}, the MLP to that plus attention; what each sum's gradient is follows."""
    network, batch = shipped("gpt2")
    seen = trace(network, batch)
    reads = read(seen)
    found = seen.gradients["label"]
    for b in range(3):
        take = lambda update, part, which, b=b: gradient(seen, reads, b, update, part, which, "label")  # noqa: E731
        assert take("part", "attention", "input").direction is found.states[seen.before[b]]
        torch.testing.assert_close(take("part", "mlp", "output").direction, found.states[seen.after[b]])
        # the state that the MLP reads is the sum that attention is added to
        assert take("part", "mlp", "input").direction is take("part", "attention", "output").direction
        assert take("part", "mlp", "readout").direction is reads[b, "mlp"].gradients["label"][0]
        parts = updates(seen, b)
        torch.testing.assert_close(parts["part", "attention"] + parts["part", "mlp"], parts["update", ""])


@pytest.mark.parametrize("name", ["cifar-resnet20", "gpt2", "predictive"])
def test_batches_joined_are_the_whole(name):
    network, batch = shipped(name)
    whole = trace(network, batch, ["label", "answer"])
    joined = concatenate([trace(network, part_of(batch, i, i + 1), ["label", "answer"]) for i in range(2)])
    pairs = [(whole.loss, joined.loss), *zip(whole.states, joined.states, strict=True)]
    for target in ("label", "answer"):
        a, b = whole.gradients[target], joined.gradients[target]
        pairs += [(a.scale, b.scale), *zip(a.states, b.states, strict=True)]
    for x, y in pairs:
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-11)
    assert (whole.keys == joined.keys).all() and torch.equal(whole.targets, joined.targets)

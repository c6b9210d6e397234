"""Wrong descriptions of networks: each is refused, and the message leads to the right one."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

import itinf
from itinf import Block, ItinfError, Network
from itinf.networks.opening import open_model
from test_opening import Repeated, batch_of, gemma, gpt2, neox, of_timm, vision
from tiny import images, tokens


def found(make, example=None):
    """A network that itinf opened by itself, and a batch for it."""
    model, example = made if isinstance(made := make(), tuple) else (made, example)
    network = open_model(model, example)
    return network, batch_of(network, example)


def with_(make, **values):
    """The same with other fields, given as values or as functions of the network."""
    network, batch = found(make)
    values = {
        key: value(network) if callable(value) and key != "pool" and not isinstance(value, nn.Module) else value
        for key, value in values.items()
    }
    return replace(network, **values), batch


def with_blocks(make, **values):
    """The same with other branches or parts in every block."""
    network, batch = found(make)
    blocks = [
        Block(**{"name": b.name, "parts": b.parts, "branch": b.branch, "parallel": b.parallel} | values)
        for b in network.blocks
    ]
    return replace(network, blocks=blocks), batch


def square(make, layout):
    """A layout with the axes swapped, on a batch where both have the same size."""
    network, batch = found(make)
    return replace(network, layout=layout), itinf.Batch(batch.inputs[:, :3], batch.targets[:, :3], batch.keys)


class Noise(nn.Module):
    def __init__(self, kind) -> None:
        super().__init__()
        self.stem, self.block, self.head = nn.Conv2d(3, 4, 1), Inner(kind), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.block(self.stem(x)).mean((2, 3)))


class Inner(nn.Module):
    def __init__(self, kind) -> None:
        super().__init__()
        self.kind, self.conv, self.norm = kind, nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)

    def forward(self, h):
        if self.kind == "dropout":
            return h + nn.functional.dropout(self.conv(h))
        return h + self.norm(self.conv(h)) if self.kind == "statistics" else h * 2 + self.conv(h)


def noisy(kind):
    torch.manual_seed(0)
    model = Noise(kind)
    branch = {"dropout": None, "statistics": "norm", "doubled": "conv"}[kind]
    network = Network(model, [Block("block", branch=branch)], "n c h w", model.head, pool=lambda h: h.mean((2, 3)))
    return network, batch_of(network, torch.zeros(2, 3, 5, 5))


def plain_with_a_branch():
    network = itinf.network("cifar-plain8")
    return replace(network, blocks=[Block(b.name, branch="bn2") for b in network.blocks]), batch_of(
        network, torch.zeros(2, 3, 32, 32)
    )


def idle_regauge():
    network = itinf.network("cifar-resnet8")
    return replace(network, regauge=lambda *_: None), batch_of(network, torch.zeros(2, 3, 32, 32))


def confident():
    """Gemma 2 with logits that its soft cap changes."""
    model = gemma()
    model.model.norm.weight.data += 100
    return model


def described(model, blocks, **values):
    return Network(
        model, [Block(name) for name in blocks], **{"layout": "n t c", "head": model.lm_head, "unit": "token"} | values
    )


def resnet():
    """ResNet-18 whose norms are not the identity."""
    model, example = vision("resnet18")
    generator = torch.Generator().manual_seed(0)
    for norm in [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]:
        norm.weight.data = 0.5 + torch.rand(norm.weight.shape, generator=generator)
        norm.bias.data = torch.rand(norm.bias.shape, generator=generator)
    return model, example


GPT2_BLOCKS = ("transformer.h.0", "transformer.h.1")
READS_LN_F = "After the last block run: transformer.ln_f, lm_head"

WRONG = {
    "GPT-2 as parallel": (partial(with_blocks, gpt2, parallel=True), "use parallel=False"),
    "NeoX as sequential": (partial(with_blocks, neox, parallel=False), "use parallel=True"),
    "ViT as parallel": (
        partial(with_blocks, partial(of_timm, "vit_tiny_patch16_224", 32, img_size=32, patch_size=8, depth=2), parallel=True),
        "use parallel=False",
    ),
    "names swapped": (partial(with_blocks, gpt2, parts={"mlp": "attn", "attention": "mlp"}), "are the names swapped"),
    "order swapped": (
        partial(with_blocks, gpt2, parts={"mlp": "mlp", "attention": "attn"}),
        "in the order in which they are added",
    ),
    "parts before their norms": (
        partial(with_blocks, gemma, parts={"attention": "self_attn", "mlp": "mlp"}),
        "Seen there: parts={'attention': 'post_attention_layernorm', 'mlp': 'post_feedforward_layernorm'}",
    ),
    "a part is missing": (
        partial(with_blocks, gpt2, parts={"attention": "attn"}),
        "Seen there: parts={'attention': 'attn', 'mlp': 'mlp'}",
    ),
    "a norm as branch": (
        partial(with_blocks, gpt2, parts={}, branch="ln_1"),
        "Seen there: parts={'attention': 'attn', 'mlp': 'mlp'}",
    ),
    "the first norm as branch": (partial(with_blocks, resnet, branch="bn1"), "Seen there: branch='bn2'"),
    "the convolution as branch": (partial(with_blocks, resnet, branch="conv2"), "Seen there: branch='bn2'"),
    "a branch without a skip": (plain_with_a_branch, "its output is made by"),
    "a skip that is doubled": (partial(noisy, "doubled"), "so something else is added"),
    "the neck forgotten": (partial(with_, gpt2, neck=None), READS_LN_F),
    "the soft cap forgotten": (
        partial(with_, confident, head=lambda n: n.model.lm_head),
        "After the last block run: model.norm, lm_head, div, tanh, mul",
    ),
    "the pool by the largest": (partial(with_, resnet, pool=lambda h: h.amax((2, 3))), "After the last block run: avgpool, fc"),
    "another head": (partial(with_, resnet, head=nn.Linear(512, 5)), "After the last block run: avgpool, fc"),
    "the last block forgotten": (partial(with_, gpt2, blocks=lambda n: n.blocks[:1]), f"After the last block run: transformer.h.1, {READS_LN_F[26:]}"),
    "batch and time swapped": (partial(square, gpt2, "t n c"), "Are layout and unit those of the model?"),
    "channels last": (partial(with_, resnet, layout="n h w c"), "layout"),
    "channels first": (partial(with_, partial(vision, "swin_t"), layout="n c h w"), "layout"),
    "scales of LayerNorm": (partial(with_, gpt2, gauge="channel-scale"), "'ln_1' reads the state and cannot absorb a change of basis"),
    "all rotations of LayerNorm": (partial(with_, gpt2, gauge="orthogonal"), "'ln_1' reads the state and cannot absorb"),
    "rotations of a ReLU": (partial(with_, resnet, gauge="orthogonal"), "Give gauge=None"),
    "rotations of a norm that is added": (
        partial(with_, gemma, gauge="orthogonal"),
        "what 'post_attention_layernorm' writes to the state cannot absorb",
    ),
    "a regauge that does nothing": (idle_regauge, "is not the changed one"),
    "blocks in another order": (partial(with_, gpt2, blocks=lambda n: n.blocks[::-1]), "ran in another order than listed: transformer.h.0"),
    "a block that does not exist": (lambda: described(gpt2(), ("transformer.h.7",)), "transformer.h.7"),
    "a block that is called three times": (
        lambda: (Network(model := Repeated(), [Block("block")], "n c", model.head), batch_of(open_model(model), torch.zeros(2, 6))),
        "name the call, e.g. Block('block', call=1)",
    ),
    "tokens as images": (lambda: described(gpt2(), GPT2_BLOCKS, unit="image"), "a network of images needs a pool"),
    "tokens that are pooled": (lambda: described(gpt2(), GPT2_BLOCKS, pool=lambda h: h.mean(1)), "a token network has layout"),
    "dropout that stays on": (partial(noisy, "dropout"), "the forward pass is random"),
    "statistics of the batch": (partial(noisy, "statistics"), "leave batch statistics alone"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_description_is_refused_and_leads_to_the_right_one(name):
    make, message = WRONG[name]
    try:
        network, batch = make()
    except ItinfError as refused:
        said = str(refused)
    else:
        report = itinf.check(network, batch)
        said = repr(report)
        assert not report.ok, said
    assert message in said, said


def test_nothing_that_failed_a_proof_is_measured(tmp_path):
    """By any command: each proves the description before its first number."""
    right, _ = found(gpt2)
    data = tokens(12)
    lens = itinf.fit(right, data)
    wrong = replace(right, blocks=[replace(block, parallel=True) for block in right.blocks])
    for measure in (
        lambda: itinf.probe(wrong, data, units=32),
        lambda: itinf.fit(wrong, data),
        lambda: itinf.transfer(wrong, lens, data, units=32),
        lambda: itinf.probe(wrong, data, units=32, out=tmp_path / "probe"),
    ):
        with pytest.raises(ItinfError, match=r"is not what its description says.*use parallel=False.*See itinf check"):
            measure()


def test_a_description_is_proven_once_for_every_network():
    network, _ = found(resnet)
    assert not network.proven
    itinf.probe(network, images(12, side=64, classes=5), units=8, untrained=0)
    assert network.proven and not copy.copy(network).named("other").proven

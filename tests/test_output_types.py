"""Blocks, branches, parts and heads that take and put out containers: the state is found there, or refused by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from transformers.utils import ModelOutput

import itinf
from itinf import Block, Network
from itinf.networks.containers import only_tensor, replaced, state_in
from tiny import tokens
from tolerance import rounding

WIDTH, CLASSES = 8, 61


class Named(NamedTuple):
    flag: str
    h: Tensor
    total: Tensor


@dataclass
class Plain:
    h: Tensor
    total: Tensor
    flag: str = "kept"


@dataclass
class Output(ModelOutput):
    h: Tensor | None = None
    total: Tensor | None = None


CONTAINERS = {
    "tensor": (lambda h: h, lambda out: out),
    "tuple": (lambda h: (h, h.sum()), lambda out: out[0]),
    "list, after a mask": (lambda h: [torch.ones(4, 4), h], lambda out: out[1]),
    "dict": (lambda h: {"ids": torch.arange(3), "h": h}, lambda out: out["h"]),
    "NamedTuple": (lambda h: Named("x", h, h.sum()), lambda out: out.h),
    "dataclass": (lambda h: Plain(h, h.sum()), lambda out: out.h),
    "ModelOutput": (lambda h: Output(h=h, total=h.sum()), lambda out: out.h),
    "nested": (lambda h: ("x", {"inner": [h]}), lambda out: out[1]["inner"][0]),
}
CALLS = {
    "by position": lambda block, h: block(h),
    "by keyword": lambda block, h: block(mask=torch.ones(3, 3), h=h),
    "in a dict": lambda block, h: block({"h": h, "n": 3}),
}


class ContainerBlock(nn.Module):
    """h + tanh(F h), in a container; ``inner`` puts out its branch in the same kind of container."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.inner, self.kind = Inner(kind), kind

    def forward(self, h: Any, mask: Tensor | None = None) -> Any:
        h = h["h"] if isinstance(h, dict) else h
        pack, unpack = CONTAINERS[self.kind]
        return pack(h + unpack(self.inner(h)))


class Inner(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.linear, self.pack = nn.Linear(WIDTH, WIDTH), CONTAINERS[kind][0]

    def forward(self, h: Tensor) -> Any:
        return self.pack(self.linear(h).tanh())


class ContainerModel(nn.Module):
    def __init__(self, kind: str, call: str = "by position") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.head = nn.Embedding(CLASSES, WIDTH), nn.Linear(WIDTH, CLASSES)
        self.blocks = nn.ModuleList(ContainerBlock(kind) for _ in range(2))
        self.kind, self.call, self.types = kind, call, set()

    def forward(self, ids: Tensor) -> Any:
        h = self.embed(ids)
        for block in self.blocks:
            out = CALLS[self.call](block, h)
            self.types.add(type(out))
            h = CONTAINERS[self.kind][1](out)
        return {"loss": h.sum(), "logits": self.head(h)}


def opened(kind: str, call: str = "by position", **options: Any) -> Network:
    model = ContainerModel(kind, call)
    blocks = [Block(f"blocks.{i}", branch="inner", **options) for i in range(2)]
    return Network(model, blocks, "n t c", unit="token", head=model.head)


@pytest.mark.parametrize(
    "kind, call", [*((kind, "by position") for kind in CONTAINERS), *(("tensor", c) for c in CALLS)]
)
def test_a_container_changes_nothing(kind, call):
    """States, branches and gradients are those of the plain model; the model gets back its own type of container."""
    plain, network = opened("tensor"), opened(kind, call)
    data = tokens(4)
    batch = itinf.Batch(data.inputs, data.targets, torch.arange(4).numpy().astype("uint64"))
    expected, found = itinf.trace(plain, batch), itinf.trace(network, batch)
    for one, other in zip(
        [*expected.states, *expected.branches, *expected.gradients["label"].states],
        [*found.states, *found.branches, *found.gradients["label"].states],
        strict=True,
    ):
        assert torch.equal(one, other)
    assert network.model.types == {type(CONTAINERS[kind][0](torch.ones(1)))}
    report = itinf.check(network, batch)
    assert report.ok, report


@pytest.mark.parametrize("kind", ["NamedTuple", "ModelOutput"])
def test_the_loss_of_a_study_is_that_of_the_model(kind):
    network, data = opened(kind), tokens(16)
    table = itinf.probe(network, data, [itinf.Performance(), itinf.UpdateNorm()], replicates=4).table
    with torch.no_grad():
        logits = network.model(data.inputs)["logits"]
        loss = float(nn.functional.cross_entropy(logits.flatten(0, 1).double(), data.targets.flatten()))
    assert table[table.measure == "loss"]["mean"].item() == pytest.approx(loss, abs=rounding(torch.float32, WIDTH, 9.0))


def test_the_state_among_several_of_its_shape_has_to_be_named():
    h, skip = torch.zeros(2, 3, 4), torch.ones(2, 3, 4)
    with pytest.raises(itinf.ItinfError, match="several tensors of shape"):
        state_in((skip, h), 3)
    assert state_in((skip, h), 3, named=1) == ((1,), h)
    assert state_in({"skip": skip, "h": h}, 3, named="h")[1] is h
    with pytest.raises(itinf.ItinfError, match="no tensor 'x'; its tensors: 'h'"):
        state_in({"h": h}, 3, named="x")
    assert state_in((h, h), 3)[1] is h, "one tensor twice is no doubt"
    assert state_in((h, skip[:1]), 3)[1] is h and state_in((h, [skip]), 3)[1] is h, "another shape, further inside"
    assert state_in((torch.arange(4), torch.ones(3, 3)), 3) is None
    assert state_in({"h": torch.zeros(2, 3, 4, dtype=torch.int64)}, 3, named="h") is None


class Two(nn.Module):
    """Takes and puts out a stream and its skip, both of one shape."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(WIDTH, WIDTH)

    def forward(self, skip: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return skip, h + self.linear(h)


class TwoStreams(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.blocks, self.head = nn.ModuleList([Two(), Two()]), nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        skip, h = 2 * x, x
        for block in self.blocks:
            skip, h = block(skip, h)
        return self.head(h)


def test_a_block_with_two_streams():
    model = TwoStreams()
    batch = itinf.Batch(torch.randn(4, WIDTH), torch.arange(4), torch.arange(4).numpy().astype("uint64"))
    names = ["blocks.0", "blocks.1"]
    for options, message in (
        ({}, "input=…"),
        ({"input": 1}, "output=…"),
        ({"input": "h", "output": 1}, "no tensor 'h'"),
    ):
        with pytest.raises(itinf.ItinfError, match=message):
            itinf.trace(Network(model, [Block(name, **options) for name in names], "n c", head=model.head), batch)
    network = Network(model, [Block(name, input=1, output=1) for name in names], "n c", head=model.head)
    seen = itinf.trace(network, batch)
    first = batch.inputs + model.blocks[0].linear(batch.inputs)
    torch.testing.assert_close(seen.states, [batch.inputs, first, first + model.blocks[1].linear(first)])
    assert itinf.check(network, batch).ok


def test_what_holds_no_state_is_refused_with_its_shapes():
    network = opened("tensor")
    network.model.blocks[1].forward = lambda h: {"pooled": h.mean(1), "n": h.sum()}
    with pytest.raises(itinf.ItinfError, match=r"pooled \(4, 8\), n \(\); expected .* 3 axes, as layout 'n t c' says"):
        itinf.trace(network, itinf.Batch(*(tokens(4).inputs,) * 2, torch.arange(4).numpy().astype("uint64")))


def test_the_rest_of_a_container_is_shared():
    other, h, new = [1, 2], torch.zeros(2), torch.ones(2)
    for value, path in (
        ([other, h], (1,)),
        ((other, h), (1,)),
        ({"o": other, "h": h}, ("h",)),
        (Named(other, h, h), ("h",)),
    ):
        changed = replaced(value, path, new)
        assert type(changed) is type(value) and changed is not value
        kept = list(changed.values()) if isinstance(changed, dict) else list(changed)
        assert kept[0] is other and kept[1] is new and (value.h if isinstance(value, Named) else h) is h
    assert replaced(((other, [h]), 3), (0, 1, 0), new)[0][0] is other
    output = replaced(Output(h=h, total=new), ("h",), new)
    assert isinstance(output, Output) and output.h is new and output["h"] is new and output[0] is new


class HeadOutput(nn.Linear):
    def __init__(self, make: Any) -> None:
        torch.manual_seed(0)
        super().__init__(WIDTH, CLASSES)
        self.make = make

    def forward(self, h: Tensor) -> Any:
        return self.make(super().forward(h))


@pytest.mark.parametrize(
    "make", [lambda z: {"logits": z, "p": z.softmax(-1)}, lambda z: (z,), lambda z: [z, z.argmax(-1)]]
)
def test_heads_that_put_out_a_container(make):
    plain, network = opened("tensor"), opened("tensor")
    plain.head, network.head = HeadOutput(lambda z: z), HeadOutput(make)
    batch = itinf.Batch(tokens(4).inputs, tokens(4).targets, torch.arange(4).numpy().astype("uint64"))
    for model in (plain, network):
        model.model.head = nn.Identity()
    assert torch.equal(itinf.trace(plain, batch).loss, itinf.trace(network, batch).loss)


def test_a_head_with_two_outputs_is_refused():
    with pytest.raises(itinf.ItinfError, match="the head puts out 0 \\(2, 3\\), 1 \\(2, 3\\); expected one tensor"):
        only_tensor((torch.zeros(2, 3), torch.zeros(2, 3)), "the head")

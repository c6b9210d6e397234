"""What the default probes cost beside one forward and one backward, and whether memory grows with the data.

    python benchmarks/probe_cost.py            GPT-2 small and ResNet-50, random weights; half an hour on 2 cores
    python benchmarks/probe_cost.py --quick    small shapes, seconds; a smoke test, its ratios say little
    python benchmarks/probe_cost.py --only resnet50 --turns 7 --threads 1

All rows of a table come from one process and take turns. A ratio is the median, over turns, of a row's
time by that of the bare pass of the same turn.

* bare pass: forward, cross-entropy in float32 over whole logits, backward to the first block's input,
  parameters frozen: what any method has to pay.
* captum: LayerGradientXActivation at the same blocks, in one call, and block by block.
* probes: alignment, update norm and gain, every form, pairing null; calibration excluded, bootstrap included.
* readout floor: float32 cross-entropy of the readout at every state a block or part begins at, forward
  and backward, whole logits. The probes that read are judged against 1.25 × bare pass + floor.
* untrained: what one random initialisation adds, on a quarter of the units, calibration excluded.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from captum.attr import LayerGradientXActivation
from torch import Tensor

import itinf
from itinf.accumulator import Accumulator
from itinf.data import load_batch
from itinf.probes import Probe
from itinf.readouts import StateId, part_input, readable, state_at
from itinf.statistics import Sums
from itinf.study import Settings, _Study
from itinf.tap import frozen
from itinf.trace import Target
from itinf.vectors import GradientName

GROUP = 32
REPLICATES = 400


@dataclass(frozen=True)
class Case:
    """A network at one shape; ``clusters`` go through it at once."""

    name: str
    clusters: int
    shape: tuple[int, ...]
    classes: int
    options: dict[str, Any] = field(default_factory=dict)


FULL = [Case("gpt2", 4, (256,), 50257), Case("resnet50", 16, (3, 224, 224), 1000)]
QUICK = [
    Case("gpt2", 4, (64,), 2048, {"n_layer": 3, "n_embd": 96, "n_head": 4, "vocab_size": 2048}),
    Case("resnet50", 4, (3, 64, 64), 1000, {"in_size": 64}),
]


@dataclass
class Noise:
    """Random items, each made when it is asked for, the same every time."""

    unit: str
    length: int
    shape: tuple[int, ...]
    classes: int
    name: str = "noise"
    note: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.length

    def key(self, index: int) -> str:
        return str(index)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        random = torch.Generator().manual_seed(index)
        if self.unit == "image":
            return torch.randn(self.shape, generator=random), torch.randint(self.classes, (), generator=random)
        ids = torch.randint(self.classes, (self.shape[0] + 1,), generator=random)
        return ids[:-1], ids[1:]


@dataclass
class Bench:
    """One case, opened: each method below is one row's work."""

    case: Case

    def __post_init__(self) -> None:
        self.network = itinf.network(self.case.name, weights="random:0", **self.case.options)
        made = Noise(self.network.unit, self.case.clusters, self.case.shape, self.case.classes)
        batch = load_batch(made, range(self.case.clusters))
        self.inputs, self.targets = batch.inputs, batch.targets
        self.data = list(zip(batch.inputs, batch.targets, strict=True))

    def loss(self, inputs: Tensor) -> Tensor:
        """(N,) cross-entropy per cluster."""
        out = self.network.model(inputs)
        logits = out if isinstance(out, Tensor) else out.logits
        each = F.cross_entropy(logits.flatten(0, -2), self.targets.flatten(), reduction="none")
        return each.reshape(len(inputs), -1).sum(1)

    def bare(self) -> None:
        starts: list[Tensor] = []

        def cut(module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
            starts.append(args[0].detach().requires_grad_())
            return (starts[0], *args[1:])

        first = self.network.model.get_submodule(self.network.blocks[0].name)
        handle = first.register_forward_pre_hook(cut)
        with frozen(self.network.model):
            torch.autograd.grad(self.loss(self.inputs).sum(), starts)
        handle.remove()

    def captum(self, at_once: bool) -> None:
        layers = [self.network.model.get_submodule(b.name) for b in self.network.blocks]
        for layer in [layers] if at_once else layers:
            LayerGradientXActivation(self.loss, layer).attribute(self.inputs)

    def study(self, gradients: tuple[GradientName, ...], targets: tuple[Target, ...] = ("label",), share: int = 1) -> Callable[[], None]:
        """Measures the batch, or its first 1/share, as a study does; calibrates now."""
        probes: list[Probe] = [
            itinf.Alignment(gradients, targets, nulls=("pairing",)),
            itinf.UpdateNorm(),
            itinf.Gain(gradients, targets),
        ]
        settings = Settings(group=GROUP, replicates=REPLICATES)
        study = _Study(self.network, itinf.data.as_data(self.data, self.network.unit), probes, settings, 32, lambda *_: None)
        means = study._calibrate(self.network, study.order)

        def measure() -> None:
            into = Accumulator(Sums(0, REPLICATES))
            study._measure(self.network, study.order, slice(0, max(1, self.case.clusters // share)), means, into)
            into.sums.flush()

        return measure

    def floor(self) -> Callable[[], int]:
        """Reads every state that a block or part begins at; returns how many those are."""
        network = self.network
        seen = itinf.trace(network, load_batch(itinf.data.as_data(self.data, network.unit), range(len(self.data))), gradients=False)
        fits = readable(network, seen)
        begins: dict[StateId, Tensor] = {i: seen.states[i] for i in seen.before if fits[i]}
        for block, parts in enumerate(seen.parts):
            begins |= {w: state_at(network, seen, w) for w in (part_input(network, seen, block, p) for p in parts)}

        def read() -> int:
            with frozen(network.model):
                for state in begins.values():
                    rows = network.rows(state).detach().requires_grad_()
                    loss = F.cross_entropy(network.readout(rows), self.targets.flatten(), reduction="sum")
                    torch.autograd.grad(loss, rows)
            return len(begins)

        return read

"""Benchmark: the time of the default probes, compared with one forward and backward pass, and their peak memory.

    python benchmarks/probe_cost.py            GPT-2 small and ResNet-50, random weights; a quarter of an hour on 2 cores
    python benchmarks/probe_cost.py --specimens  the specimens, at the batches of `itinf demo`
    python benchmarks/probe_cost.py --quick    small shapes, seconds; a smoke test, its ratios say little
    python benchmarks/probe_cost.py --only resnet50 --turns 7 --threads 1

One process measures all rows of a table in turns. A ratio is the median over turns of the time of a row divided by the
time of a bare pass right after it. On a machine that others use, processor time varies less than wall time.

* bare pass: forward, cross-entropy in float32 over whole logits, backward to the input of the first block,
  parameters frozen. Every method needs at least this time.
* captum: LayerGradientXActivation at the same blocks, in one call, and block by block.
* probes: alignment, update norm and gain, every form, pairing null; calibration excluded, bootstrap included.
* readout floor: float32 cross-entropy of the readout at every state where a block or part begins, forward
  and backward, whole logits. The time of probes with readouts is compared with 1.25 × bare pass + floor.
* untrained: the extra time of one untrained network, on a quarter of the units, calibration excluded.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from captum.attr import LayerGradientXActivation
from torch import Tensor

import itinf
from itinf.data.clusters import keyed_order, load_batch, silent
from itinf.data.items import as_data
from itinf.networks.measuring import evaluating
from itinf.networks.states import part_input, readable
from itinf.networks.trace import Target
from itinf.probes import Probe
from itinf.probes.gradients import GradientName
from itinf.results.sums import StudySums
from itinf.statistics.bootstrap import Sums
from itinf.studies.probe_pass import ProbePass

WITHOUT: tuple[GradientName, ...] = ("input", "output")
WITH: tuple[GradientName, ...] = ("input", "output", "readout")
BARE, FLOOR, READ = "bare pass", "readout floor", "probes (input, output, readout)"
GROUP = 32
REPLICATES = 400

Row = Callable[[], None]


@dataclass(frozen=True)
class Case:
    """A network and the shape of its input; a batch has ``clusters`` clusters."""

    name: str
    clusters: int
    shape: tuple[int, ...]
    classes: int
    options: dict[str, Any] = field(default_factory=dict)
    weights: str = "random:0"


FULL = [Case("gpt2", 4, (256,), 50257), Case("resnet50", 8, (3, 224, 224), 1000)]
QUICK = [
    Case("gpt2", 4, (64,), 2048, {"n_layer": 3, "n_embd": 96, "n_head": 4, "vocab_size": 2048}),
    Case("resnet50", 4, (3, 64, 64), 1000, {"in_size": 64}),
]
SPECIMENS = [
    *(
        Case(name, 64, (3, 32, 32), 46, weights="specimen")
        for name in ("resnet", "resnet-isotropic", "plain-isotropic")
    ),
    Case("inception", 64, (3, 64, 64), 46, weights="specimen"),
    Case("gpt2", 64, (256,), 2048, weights="specimen"),
]


@dataclass
class Noise:
    """Random items, made when they are read; an item is always the same."""

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
    """An opened case; each of its measured methods is the work of one row."""

    case: Case

    def __post_init__(self) -> None:
        self.network = itinf.network(self.case.name, weights=self.case.weights, **self.case.options)
        made = Noise(self.network.unit, self.case.clusters, self.case.shape, self.case.classes)
        self.batch = load_batch(made, range(self.case.clusters))
        self.data = as_data(list(zip(self.batch.inputs, self.batch.targets, strict=True)), self.network.unit)

    def loss(self, inputs: Tensor) -> Tensor:
        """(N,) cross-entropy of each cluster."""
        out = self.network.model(inputs)
        logits = out if isinstance(out, Tensor) else out.logits
        each = F.cross_entropy(logits.flatten(0, -2), self.batch.targets.flatten(), reduction="none")
        return each.reshape(len(inputs), -1).sum(1)

    def bare(self) -> None:
        starts: list[Tensor] = []

        def cut(module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
            starts.append(args[0].detach().requires_grad_())
            return (starts[0], *args[1:])

        first = self.network.model.get_submodule(self.network.blocks[0].name)
        handle = first.register_forward_pre_hook(cut)
        with evaluating(self.network):
            torch.autograd.grad(self.loss(self.batch.inputs).sum(), starts)
        handle.remove()

    def captum(self, at_once: bool) -> None:
        layers = [self.network.model.get_submodule(b.name) for b in self.network.blocks]
        for layer in [layers] if at_once else layers:
            LayerGradientXActivation(self.loss, layer).attribute(self.batch.inputs)

    def probes(
        self, gradients: tuple[GradientName, ...], targets: tuple[Target, ...] = ("label",), share: int = 1
    ) -> Row:
        """Work that measures the batch as a study does, or the first 1/share of it; calibrates before the work."""
        chosen: list[Probe] = [
            itinf.Alignment(gradients, targets, nulls=("pairing",)),
            itinf.UpdateNorm(),
            itinf.Gain(gradients, targets),
        ]
        measurement = ProbePass(self.data, chosen, GROUP, GROUP, seed=0)
        order = keyed_order(self.data, None, seed=0)
        means = measurement.calibrate(self.network, order, silent)

        def measure() -> None:
            into = StudySums(Sums(0, REPLICATES))
            measurement.measure(self.network, order, slice(0, max(1, self.case.clusters // share)), means, into)
            into.sums.flush()

        return measure

    def states(self, inside: bool) -> list[Tensor]:
        """States that the readout fits and at which a block begins; with ``inside`` also those at which a part begins."""
        network, states = self.network, {}
        seen = itinf.trace(network, self.batch, gradients=False)
        fits = readable(seen)
        for block, before in enumerate(seen.before):
            if fits[before]:
                names = seen.parts[block] if inside else ()
                for where in [before, *(part_input(seen, block, name) for name in names)]:
                    states[where] = seen.state(where)
        return list(states.values())

    def floor(self, states: list[Tensor]) -> None:
        with evaluating(self.network):
            for state in states:
                rows = self.network.per_prediction(state).detach().requires_grad_()
                loss = F.cross_entropy(self.network.readout(rows), self.batch.targets.flatten(), reduction="sum")
                torch.autograd.grad(loss, rows)

    def rows(self) -> dict[str, Row]:
        """Name of a row -> its work, in the order of the table."""
        within, plain = self.states(inside=True), self.states(inside=False)
        rows: dict[str, Row] = {
            BARE: self.bare,
            "captum, one call": lambda: self.captum(at_once=True),
            "captum, block by block": lambda: self.captum(at_once=False),
            "probes (input, output)": self.probes(WITHOUT),
            f"{FLOOR}, {len(within)} states": lambda: self.floor(within),
        }
        if len(plain) < len(within):
            rows[f"{FLOOR}, {len(plain)} states, none inside a block"] = lambda: self.floor(plain)
        return rows | {
            READ: self.probes(WITH),
            "… and target answer": self.probes(WITH, ("label", "answer")),
            "one untrained network adds": self.probes(WITH, share=4),
        }


def timed(work: Row) -> tuple[float, float]:
    """Wall time and processor time of the work, in seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def compare(case: Case, turns: int, only: str) -> None:
    """Runs the rows of a case in turns and prints the table."""
    bench = Bench(case)
    rows = {name: row for name, row in bench.rows().items() if only in name}
    times: dict[str, list[tuple[float, float, float]]] = {name: [] for name in rows}
    bench.bare()  # warm up; the probes have warmed up during calibration
    for _ in range(turns):
        for name, row in rows.items():
            (wall, cpu), (bare_wall, bare_cpu) = timed(row), timed(bench.bare)
            times[name].append((wall, wall / bare_wall, cpu / bare_cpu))
    shape = "×".join(map(str, case.shape))
    print(f"\n{case.name}, {case.clusters} × {shape}, {torch.get_num_threads()} threads, {turns} turns")
    print(f"  {'':46s} {'':10s}  × bare pass: time, processor time")
    ratios: dict[str, list[float]] = {}
    for name, found in times.items():
        seconds, *ratios[name] = (statistics.median(x) for x in zip(*found, strict=True))
        print(f"  {name:46s} {seconds:8.2f} s  {ratios[name][0]:15.2f} {ratios[name][1]:14.2f}")
    floor = next((r for name, r in ratios.items() if name.startswith(FLOOR)), None)
    if floor and READ in ratios:
        shares = (x / (1.25 + y) for x, y in zip(ratios[READ], floor, strict=True))
        print("  {} by (1.25 × bare + floor): {:.2f}, {:.2f}".format(READ, *shares))


def peak(images: int) -> float:
    """Peak memory in MiB of a process that probes a small network on ``images`` images."""
    command = [sys.executable, __file__, "--study", str(images)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def study(images: int) -> None:
    """Probes a small network and prints the peak memory of this process in MiB."""
    network = itinf.network("cifar-resnet20", weights="random:0")
    data = Noise("image", images, (3, 32, 32), 10)
    itinf.probe(network, data, units=images, batch=32, calibration=64)
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(used / (2**20 if sys.platform == "darwin" else 2**10))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small shapes")
    parser.add_argument("--specimens", action="store_true", help="the specimens, without the memory table")
    parser.add_argument(
        "--only", choices=sorted({case.name for case in (*FULL, *SPECIMENS)} | {"memory"}), help="only this table"
    )
    parser.add_argument("--rows", default="", help="only rows whose name contains this, e.g. 'probes'")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--study", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.study:
        study(given.study)
        return
    for case in SPECIMENS if given.specimens else QUICK if given.quick else FULL:
        if given.only in (None, case.name):
            compare(case, given.turns, given.rows)
    if given.only in (None, "memory") and not given.specimens:
        few = 128 if given.quick else 512
        small, large = peak(few), peak(10 * few)
        print(f"\npeak memory, {few} and {10 * few} images: {small:.0f} and {large:.0f} MiB, {large / small:.3f} ×")


if __name__ == "__main__":
    main()

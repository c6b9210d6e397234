"""Benchmark: the time of a lens transfer, compared with the pairwise loop of the public tuned-lens package.

    python benchmarks/transfer.py             the gpt2 specimen and GPT-2 small at random weights; some minutes
    python benchmarks/transfer.py --only small --turns 1
    python benchmarks/transfer.py --quick     small shapes, seconds; a smoke test, its ratios say little

One process measures all rows of a table in turns. A ratio is the median over turns of the time of a row divided by the
time of our row. On a machine that others use, processor time varies less than wall time.

* peer: the evaluation of the package with its layer transfer: one sequence at a time, every translator at the input of
  every block, a whole log-softmax for each pair, cross-entropy and KL; entropy and KL from the final distribution
  for the diagonal. If ``tuned_lens`` is installed, its class is used, else a class with the same formula.
* peer, our losses: for each pair also the KL from the final distribution and the two calibrated losses.
* ours, same pairs: the same cells with ``TransferMatrix``, and everything that it measures: these losses, calibration
  and marginal bias of the diagonal, bootstrap. The numbers that both measure are compared.
* ours, whole: also the last state, the logit lens and, if the lens is fitted here, shared lenses.
* pilot: the time to place the windows of temperatures with the same number of units; a study uses about 512.
* check: the time to compute every retention with its replicates; a study does so every 16 sequences or 64 images.

The share of the peak is the rate of the unembedding products alone, divided by the rate of the best large float32
product in the same run. Memory is the peak of a process that transfers, for several numbers of units and blocks.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from lens_fit import peer_lens
from torch import Tensor

import itinf
from itinf import Batch
from itinf.data.clusters import keyed_order, load_batch
from itinf.data.dataset import Data
from itinf.data.items import as_data
from itinf.lenses.fit import fit
from itinf.lenses.lens import Lens
from itinf.lenses.transfer.cells import Cell, cells_of
from itinf.lenses.transfer.matrix import TransferMatrix
from itinf.lenses.transfer.pilot import windows
from itinf.lenses.transfer.retention import precise_enough
from itinf.lenses.transfer.temperature import BEST
from itinf.lenses.transfer.transfer import transfer
from itinf.lenses.translator import Translator
from itinf.networks.states import sites
from itinf.networks.trace import trace
from itinf.networks.weights import readout_fingerprint

REPLICATES = 400
BETA = 0.5
"""Calibrated logits are (1 − BETA) · log prior + BETA · logits; a study chooses BETA."""


@dataclass(frozen=True)
class Case:
    """A GPT-2, the number and length of sequences, and the tokens to fit the lens on; 0 for a random lens."""

    name: str
    sequences: int
    length: int
    fitted: int = 0
    weights: str = "random:0"
    shape: dict[str, Any] = field(default_factory=dict)


FULL = [Case("specimen", 8, 256, 2**14, "specimen"), Case("small", 1, 256)]
TINY = {"n_layer": 3, "n_embd": 64, "n_head": 2, "vocab_size": 1000, "n_positions": 64}
QUICK = [Case("quick", 8, 64, shape=TINY)]


@dataclass
class Bench:
    """An opened case; each of its measured methods is the work of one row."""

    case: Case

    def __post_init__(self) -> None:
        case = self.case
        self.network = itinf.network("gpt2", weights=case.weights, **case.shape)
        if case.fitted:
            train, test = (itinf.dataset("stdlib", self.network, split=split) for split in ("train", "test"))
            self.lens = fit(self.network, train, units=case.fitted)
        else:
            test = noise(self.network, case.sequences, case.length)
            self.lens = random_lens(self.network, test)
        order = keyed_order(test, case.sequences, 0)
        self.batch = load_batch(test, order.indices, order.keys)
        count = len(self.network.blocks)
        made = cells_of(self.lens)
        self.pairs = [r for r in made if r.lens == "affine" and max(r.at, r.fitted_at) < count]
        self.every = made
        self.peer_lens, self.peer_name = peer_lens(self.network.model)
        for layer, translator in zip(self.peer_lens.layer_translators, self.lens.translators[:-1], strict=True):
            layer.load_state_dict(translator.state_dict())

    @torch.no_grad()
    def peer(self, ours: bool = False) -> Tensor:
        """(2, L, L): mean cross-entropy, and KL from the lens of the state, by (fitted at, read at).

        With ``ours``, it also computes our other losses.
        """
        model, lens = self.network.model, self.peer_lens
        priors = self.lens.log_prior.float(), self.lens.mean_final.float()
        found: Any = 0
        for ids, labels in zip(self.batch.inputs, self.batch.targets, strict=True):
            output = model(ids[None], output_hidden_states=True)
            final_lps = output.logits.log_softmax(-1)
            final_probs, here = final_lps.exp(), []
            for j, h in enumerate(output.hidden_states[:-1]):
                lens_lps = lens(h, idx=j).log_softmax(-1)
                lens_probs = lens_lps.exp()
                F.cross_entropy(lens_lps.flatten(0, 1), labels, reduction="none")
                torch.sum(-lens_probs * lens_lps, dim=-1)
                torch.sum(final_probs * (final_lps - lens_lps), dim=-1)
                for i in range(len(lens.layer_translators)):
                    transfer_lps = lens(h, idx=i).log_softmax(-1)
                    here.append(F.cross_entropy(transfer_lps.flatten(0, 1), labels))
                    here.append(torch.sum(lens_probs * (lens_lps - transfer_lps), dim=-1).mean())
                    if ours:
                        torch.sum(final_probs * (final_lps - transfer_lps), dim=-1)
                        label, model_lps = (((1 - BETA) * p + BETA * transfer_lps).log_softmax(-1) for p in priors)
                        F.cross_entropy(label.flatten(0, 1), labels, reduction="none")
                        torch.sum(final_probs * (final_lps - model_lps), dim=-1)
            found += torch.stack(here)
        count = len(lens.layer_translators)
        return (found / len(self.batch)).reshape(count, count, 2).permute(2, 1, 0)

    def ours(self, reads: Sequence[Cell]) -> TransferMatrix:
        units = torch.full((2, len(reads)), BETA / BEST, dtype=torch.float64)
        grid = TransferMatrix(self.network, self.lens, reads, units, 0, REPLICATES)
        grid.add(self.network, self.batch)
        for sums in grid.halves:
            sums.flush()
        return grid

    def pilot(self) -> None:
        windows(self.network, self.lens, self.pairs, [self.batch])

    def check(self) -> None:
        """One check of the precision, after the batch."""
        fresh = TransferMatrix(self.network, self.lens, self.every, self.whole.windows, 0, REPLICATES)
        fresh.merge(self.whole)
        precise_enough(fresh, 0.01)

    @cached_property
    def whole(self) -> TransferMatrix:
        return self.ours(self.every)

    def apart(self, grid: TransferMatrix, peer: Tensor) -> float:
        """Largest difference between our numbers and those of the peer, in nats."""
        measured = torch.zeros_like(peer)
        for read in self.pairs:
            cell = torch.tensor([grid.mean(read, what)[0] for what in ("loss", "from_own")])
            measured[:, read.fitted_at, read.at] = cell
        return float((measured - peer).abs().max())

    @property
    def flops(self) -> int:
        """Floating-point operations of the unembedding, if every unit is read once."""
        return 2 * self.batch.targets.numel() * self.lens.sites[-1].width * len(self.lens.log_prior)


def noise(network: itinf.Network, count: int, length: int) -> Data:
    """Random tokens, ``count`` sequences."""
    random = torch.Generator().manual_seed(0)
    classes = network.model.config.vocab_size
    return as_data(list(torch.randint(classes, (count, length + 1), generator=random)), "token")


def random_lens(network: itinf.Network, data: Data) -> Lens:
    """A random lens without moments, like a lens read from a file."""
    batch = load_batch(data, [0])
    found = sites(trace(network, Batch(batch.inputs[:, :2], batch.targets[:, :2], batch.keys), gradients=False))
    width, classes = found[-1].width, network.model.config.vocab_size
    random = torch.Generator().manual_seed(1)
    made = [Translator(*(torch.randn(s, generator=random) / 100 for s in ((width, width), (width,)))) for _ in found]
    flat = torch.full((classes,), 1 / classes, dtype=torch.float64).log()
    return Lens("affine", found, made, flat, flat, {"readout": readout_fingerprint(network)})


def peak() -> float:
    """Rate of the best large float32 product, in GFLOP/s."""
    best = 0.0
    for rows, inner, columns in ((4096, 768, 8192), (4096, 4096, 4096)):
        a, b, out = torch.randn(rows, inner), torch.randn(columns, inner), torch.empty(rows, columns)
        for _ in range(3):
            seconds, _ = timed(lambda a=a, b=b, out=out: torch.mm(a, b.T, out=out))
            best = max(best, 2 * rows * inner * columns / seconds / 1e9)
    return best


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Processor time divided by the number of threads, and wall time, in seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return (time.process_time() - cpu) / torch.get_num_threads(), time.perf_counter() - wall


def compare(case: Case, turns: int) -> None:
    """Runs the rows of a case in turns and prints the table."""
    bench = Bench(case)
    pairs, every = len(bench.pairs), len(bench.every)
    peer, own = f"peer ({bench.peer_name})", "ours, same pairs"
    rows: dict[str, tuple[int, Callable[[], Any]]] = {
        peer: (pairs + len(bench.network.blocks), bench.peer),
        "peer, our losses": (pairs + len(bench.network.blocks), lambda: bench.peer(ours=True)),
        own: (pairs, lambda: bench.ours(bench.pairs)),
        "ours, whole": (every, lambda: bench.ours(bench.every)),
        "pilot, same pairs": (pairs, bench.pilot),
        "a check of the precision": (every, bench.check),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in rows}
    found: dict[str, Any] = {}
    best = peak()
    for _ in range(turns):
        for name, (_, work) in rows.items():
            times[name].append(timed(lambda name=name, work=work: found.__setitem__(name, work())))
        best = max(best, peak())
    print(f"\n{case.name}: {len(bench.network.blocks)} blocks, width {bench.lens.sites[-1].width}, ", end="")
    print(f"{len(bench.lens.log_prior)} classes, {bench.batch.targets.numel()} units; ", end="")
    print(f"{torch.get_num_threads()} threads, {turns} turns; peak {best:.0f} GFLOP/s of processor time")
    print(f"  largest difference between ours and the peer: {bench.apart(found[own], found[peer]):.1e} nats")
    print(f"  {'':44s} {'reads':>5s} {'processor':>10s} {'wall':>9s}", end="")
    print(f" {'× ours':>14s} {'GFLOP/s':>8s} {'of the peak':>11s}")
    for name, (reads, _) in rows.items():
        cpu, wall = (statistics.median(x) for x in zip(*times[name], strict=True))
        ratios = (statistics.median(a[k] / b[k] for a, b in zip(times[name], times[own], strict=True)) for k in (0, 1))
        rate = reads * bench.flops / cpu / 1e9
        print(f"  {name:44s} {reads:5d} {cpu:8.2f} s {wall:7.2f} s", end="")
        print(" {:7.2f} {:6.2f} {:8.1f} {:10.0f} %".format(*ratios, rate, 100 * rate / best), flush=True)


def memory(sequences: int, blocks: int) -> float:
    """Peak memory in MiB of a process that transfers a lens of a network with ``blocks`` blocks."""
    command = [sys.executable, __file__, "--study", str(sequences), str(blocks)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def study(sequences: int, blocks: int) -> None:
    """Transfers a random lens and prints the peak memory of this process in MiB."""
    shape = {"n_layer": blocks, "n_embd": 128, "n_head": 2, "vocab_size": 4096, "n_positions": 64}
    network = itinf.network("gpt2", weights="random:0", **shape)
    data = noise(network, max(1, sequences), 64)
    lens = random_lens(network, data)
    if sequences:
        transfer(network, lens, data, precision=0.0, batch=16, replicates=50)
    print(own_peak())


def own_peak() -> float:
    """Peak memory of this process in MiB; on Linux ``getrusage`` also counts the process that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        return (
            int(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1]) / 2**10
        )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small shapes")
    parser.add_argument("--only", choices=["specimen", "small", "memory"], help="only this table")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--study", type=int, nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.study:
        study(*given.study)
        return
    if given.only in (None, "memory"):
        few = 32 if given.quick else 64
        none, small, large, deep = memory(0, 4), memory(few, 4), memory(4 * few, 4), memory(few, 8)
        print(f"peak memory, {64 * few} and {4 * 64 * few} units: {small:.0f} and {large:.0f} MiB, ", end="")
        print(f"{large / small:.3f} ×; of 8 blocks instead of 4: {deep:.0f} MiB; before any: {none:.0f} MiB")
    for case in QUICK if given.quick else FULL:
        if given.quick or given.only in (None, case.name):
            compare(case, given.turns)


if __name__ == "__main__":
    main()

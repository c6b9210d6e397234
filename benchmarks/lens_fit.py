"""Benchmark: the time to fit a tuned lens, compared with the recipe of the public tuned-lens package.

    python benchmarks/lens_fit.py --out lens_fit.png           the gpt2 specimen, stdlib; 25 minutes on one core
    python benchmarks/lens_fit.py --weights FOLDER --out …     another GPT-2 folder
    python benchmarks/lens_fit.py --quick --out …              a small random GPT-2 on random tokens, seconds; a smoke test

Both are fitted on the same training tokens, on the same cores, in one process. The score is the mean KL(final ‖ lens)
over the inputs of all blocks, in float32, on test sequences that neither has seen; the time of scoring does not count.
The last state is left out, because the package has no translator for it. The benchmark compares processor time, because
other programs on the machine change it less than wall time; wall time is printed, too.

* peer: one translator per block, which starts at the identity; 250 steps of SGD, Nesterov momentum 0.9, learning rate
  1 · (1 − 0.9), weight decay 1e-3, gradients clipped to norm 1 over all translators, linear decay, translators under
  bfloat16 autocast, --peer-batch sequences at a time (the package's default of 1 is slower on a CPU). The learning rate
  is multiplied by each of --rates, and the best rate counts. The 2^18 tokens per step are reduced to --step. If
  ``tuned_lens`` is installed, its class is used, else a class with the same formula; the loop is the same.
* ours: ``fit(kind="tuned")`` from the start, including the pass for the affine start, once for each budget of tokens.

It prints how long each needs to reach the final KL of the peer, and the KL at every depth at the peer's final time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn

import itinf
from itinf.data.clusters import keyed_order, load_batch
from itinf.data.dataset import Data
from itinf.data.items import as_data
from itinf.lenses.fit import fit
from itinf.lenses.tuned import Recipe
from itinf.networks.readout import logits, vectors
from itinf.networks.trace import trace


@dataclass(frozen=True)
class Size:
    """The size of the benchmark.

    Attributes:
        steps: steps of the peer; ``step``: tokens per step; ``rates``: factors on its learning rate.
        budgets: tokens for each of our fits.
        scored: number of test sequences.
        looks: how many times the KL of the peer is measured during its fit.
    """

    steps: int
    step: int
    rates: tuple[float, ...]
    budgets: tuple[int, ...]
    scored: int
    looks: int


FULL = Size(250, 2**12, (3.0, 10.0, 30.0), (2**14, 2**15, 5 * 2**13, 3 * 2**14, 2**16, 2**17, 2**18), 64, 12)
QUICK = Size(8, 2**9, (1.0, 10.0), (2**11, 2**12), 8, 4)


@dataclass(frozen=True)
class Point:
    """A lens during its fit: processor time and wall time in seconds, and KL at the input of every block in nats."""

    seconds: float
    wall: float
    kl: Tensor

    @property
    def mean(self) -> float:
        return float(self.kl.mean())

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s ({self.wall:.0f}) {self.mean:.3f}"


class Clocks:
    """Processor time and wall time in seconds since the start, without pauses."""

    def __init__(self) -> None:
        self.resume((0.0, 0.0))

    def read(self) -> tuple[float, float]:
        return time.process_time() - self.processor, time.perf_counter() - self.wall

    def resume(self, read: tuple[float, float]) -> None:
        """Continues from an earlier reading, so that the time in between does not count."""
        self.processor, self.wall = time.process_time() - read[0], time.perf_counter() - read[1]


class TranslatorsOfSameFormula(nn.Module):
    """A lens with the formula of the package: readout(h + A_i h + b_i); A and b start at zero."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        width, count = model.config.hidden_size, model.config.num_hidden_layers
        self.final_norm, self.unembedding = deepcopy(model.transformer.ln_f), deepcopy(model.lm_head)
        self.requires_grad_(False)
        self.layer_translators = nn.ModuleList(nn.Linear(width, width) for _ in range(count))
        for layer in self.layer_translators:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, h: Tensor, idx: int) -> Tensor:
        return self.unembedding(self.final_norm(h + self.layer_translators[idx](h)))


def peer_lens(model: Any) -> tuple[nn.Module, str]:
    """The lens of the package if it is installed, else a lens with the same formula; and its name."""
    try:
        from tuned_lens.nn.lenses import TunedLens
    except ImportError:
        return TranslatorsOfSameFormula(model), "the package's recipe (its class is not installed)"
    return TunedLens.from_model(model), "tuned_lens.TunedLens"


def peer(
    network: itinf.Network, data: Data, scored: Data, size: Size, factor: float, batch: int, seed: int
) -> list[Point]:
    """Fits with the recipe of the package; returns a point for each look."""
    torch.manual_seed(seed)
    clocks = Clocks()
    model = network.model
    lens, _ = peer_lens(model)
    parameters = [p for p in lens.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=factor * (1 - 0.9), momentum=0.9, nesterov=True, weight_decay=1e-3)
    decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.0, 1 - step / size.steps))
    length = len(data[0][0])
    parts = max(1, size.step // (length * batch))
    order = keyed_order(data, min(len(data), size.steps * parts * batch), seed).indices
    points, used = [], 0
    looks = {round((k + 1) * size.steps / size.looks) for k in range(size.looks)}
    for step in range(size.steps):
        for _ in range(parts):
            ids = load_batch(data, [order[(used + k) % len(order)] for k in range(batch)]).inputs
            used += batch
            with torch.no_grad():
                output = model(ids, output_hidden_states=True)
                labels = output.logits.float().log_softmax(-1)
            for i, h in enumerate(output.hidden_states[:-1]):
                with torch.autocast("cpu", torch.bfloat16):
                    read = lens(h, idx=i)
                    loss = (labels.exp() * (labels - read.log_softmax(-1))).sum(-1).mean()
                (loss / parts).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
        decay.step()
        if step + 1 in looks:
            taken = clocks.read()
            points.append(Point(*taken, peer_scores(network, lens, scored, size.scored)))
            clocks.resume(taken)
    return points


def ours(
    network: itinf.Network, data: Data, scored: Data, size: Size, budget: int, batch: int, recipe: Recipe
) -> Point:
    """Fits our tuned lens on ``budget`` tokens; the time includes everything."""
    clocks = Clocks()
    lens = fit(network, data, "tuned", units=budget, batch=batch, recipe=recipe)
    taken = clocks.read()
    return Point(*taken, our_scores(network, lens, scored, size.scored))


def kl(final: Tensor, read: Tensor) -> Tensor:
    """Sum over units of KL between softmaxes of float32 logits."""
    log = final.log_softmax(-1)
    return (log.exp() * (log - read.log_softmax(-1))).sum(dtype=torch.float64)


@torch.no_grad()
def peer_scores(network: itinf.Network, lens: nn.Module, scored: Data, count: int) -> Tensor:
    """(L,): mean KL of the peer's lens at the input of every block, in nats."""
    sums: Any = 0
    for index in keyed_order(scored, count, 0).indices:
        output = network.model(load_batch(scored, [index]).inputs, output_hidden_states=True)
        sums += torch.stack([kl(output.logits, lens(h, idx=i)) for i, h in enumerate(output.hidden_states[:-1])])
    return sums / (count * len(scored[0][0]))


@torch.no_grad()
def our_scores(network: itinf.Network, lens: Any, scored: Data, count: int) -> Tensor:
    """(L,): mean KL of our lens at the input of every block, in nats, from the states of our trace."""
    sums: Any = 0
    for index in keyed_order(scored, count, 0).indices:
        seen = trace(network, load_batch(scored, [index]), gradients=False)
        final = logits(network, vectors(network, seen.states[-1]))
        states = [vectors(network, seen.state(place.id)) for place in lens.sites[:-1]]
        reads = zip(states, lens.translators, strict=False)
        sums += torch.stack([kl(final, logits(network, translator(x))) for x, translator in reads])
    return sums / (count * len(scored[0][0]))


def compare(peers: dict[float, list[Point]], own: Sequence[Point], name: str) -> None:
    """Prints the comparison."""
    best = min(peers, key=lambda factor: peers[factor][-1].mean)
    end = peers[best][-1]
    reached = [p for p in own if p.mean <= end.mean]
    print(f"\nbest peer ({name}, × {best:g}) ends at {end.mean:.4f} nats after {end.seconds:.1f} s")
    if reached:
        first = min(reached, key=lambda p: p.seconds)
        print(
            f"ours reaches {first.mean:.4f} after {first.seconds:.1f} s: {end.seconds / first.seconds:.1f} × faster "
            f"(aim 10; by wall time {end.wall / first.wall:.1f} ×)"
        )
    else:
        print(f"ours never reaches it: {min(p.mean for p in own):.4f} nats at best")
    within = [p for p in own if p.seconds <= end.seconds]
    if within:
        last = min(within, key=lambda p: p.mean)
        print(f"\nKL at the peer's final time, nats (ours after {last.seconds:.1f} s)\n  block     peer     ours")
        for block, (theirs, our) in enumerate(zip(end.kl.tolist(), last.kl.tolist(), strict=True)):
            print(f"  {block:5d} {theirs:8.4f} {our:8.4f}{'' if our < theirs else '   not lower'}")


def draw(peers: dict[float, list[Point]], own: Sequence[Point], path: Path) -> None:
    """Plots KL against time, both axes logarithmic."""
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for factor, points in peers.items():
        axes.plot(
            [p.seconds for p in points], [p.mean for p in points], ".-", label=f"tuned-lens, learning rate × {factor:g}"
        )
    axes.plot([p.seconds for p in own], [p.mean for p in own], "ko-", label="itinf, one fit for each point")
    axes.set(xscale="log", yscale="log", xlabel="processor time, s", ylabel="mean KL(final ‖ lens) over depths, nats")
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def opened(weights: str, quick: bool) -> tuple[itinf.Network, Data, Data]:
    """The network with its training and test sequences."""
    if not quick:
        network = itinf.network("gpt2", weights=weights)
        return network, *(itinf.dataset("stdlib", network, split=split) for split in ("train", "test"))
    network = itinf.network("gpt2", weights="random:0", n_layer=3, n_embd=32, n_head=2, vocab_size=128, n_positions=64)
    with torch.no_grad():
        for values in network.model.parameters():
            values.add_(torch.randn(values.shape, generator=torch.Generator().manual_seed(0)) * 0.1)
    draws = torch.Generator().manual_seed(1)
    made = [list(torch.randint(128, (count, 65), generator=draws)) for count in (256, 16)]
    return network, as_data(made[0], "token"), as_data(made[1], "token")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="plot of KL against time, e.g. lens_fit.png")
    parser.add_argument("--quick", action="store_true", help="a small random network")
    parser.add_argument("--weights", default="specimen", help="weights of gpt2")
    parser.add_argument("--steps", type=int, help="steps of the peer")
    parser.add_argument("--step", type=int, help="tokens per step of the peer")
    parser.add_argument("--rates", type=float, nargs="+", help="factors on the peer's learning rate")
    parser.add_argument("--budgets", type=int, nargs="+", help="tokens of our fits")
    parser.add_argument("--peer-batch", type=int, default=8, help="sequences at a time for the peer")
    parser.add_argument("--batch", type=int, default=16, help="sequences at a time for our fits")
    parser.add_argument(
        "--precision", choices=("float32", "bfloat16"), default="bfloat16", help="dtype of our products"
    )
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    base = QUICK if given.quick else FULL
    size = Size(
        given.steps or base.steps,
        given.step or base.step,
        tuple(given.rates or base.rates),
        tuple(given.budgets or base.budgets),
        base.scored,
        base.looks,
    )
    network, data, scored = opened(given.weights, given.quick)
    name = peer_lens(network.model)[1]
    print(f"{network}\npeer: {name}, {size.steps} steps of {size.step} tokens; {given.threads} threads", flush=True)
    recipe = Recipe(precision=given.precision)
    print("processor time (wall time) and mean KL, nats")
    own: list[Point] = []
    for budget in size.budgets:
        own.append(ours(network, data, scored, size, budget, given.batch, recipe))
        print(f"ours, {budget:,} tokens: {own[-1]}", flush=True)
    peers: dict[float, list[Point]] = {}
    for factor in size.rates:
        peers[factor] = peer(network, data, scored, size, factor, given.peer_batch, seed=0)
        print(f"peer, learning rate × {factor:g}: " + ", ".join(map(str, peers[factor])), flush=True)
    compare(peers, own, name)
    draw(peers, own, given.out)
    print(f"\n{given.out}")


if __name__ == "__main__":
    main()

"""What a tuned lens costs here, beside the recipe of the public tuned-lens package, on the language specimen.

    python benchmarks/lens_fit.py --out lens_fit.png           the gpt2 specimen, stdlib; 25 minutes on one core
    python benchmarks/lens_fit.py --weights FOLDER --out …     another GPT-2 folder
    python benchmarks/lens_fit.py --quick --out …              a small random GPT-2 on random tokens, seconds; a smoke test

Both fit on the same training tokens, on the same cores, in one process. Each reading of the clocks is paired with the
mean KL(final ‖ lens) over the inputs of all blocks, on test sequences that neither has seen, scored off the clocks
in float32. The last state is left out: the package has no translator for it. Times are compared by processor time,
which others who share the machine change less; wall time is printed beside it.

* peer: one translator per block, at the identity; 250 steps of SGD, Nesterov momentum 0.9, learning rate 1 · (1 − 0.9),
  weight decay 1e-3, gradients clipped to norm 1 over all translators, linear decay, translators under bfloat16
  autocast, --peer-batch sequences at a time (the package's default of 1 is slower on a CPU). Its learning rate is
  also scaled by --rates, and the best of them counts. Its 2^18 tokens a step are scaled to --step. Its own class is
  used where ``tuned_lens`` is installed, else one of the same formula; the loop is the same.
* ours: ``fit(kind="tuned")`` from nothing, the affine start's pass included, once for each budget of tokens.

Printed: the time each takes to the KL that the peer ends at, and the KL at every depth at the peer's final time.
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
from itinf.data.dataset import Data, as_data
from itinf.lenses.fit import fit
from itinf.lenses.tuned import Recipe
from itinf.networks.readout import logits, vectors
from itinf.networks.trace import trace


@dataclass(frozen=True)
class Size:
    """How long the benchmark is.

    Attributes:
        steps: of the peer; ``step``: tokens in each; ``rates``: factors on its learning rate.
        budgets: tokens for each of our fits.
        scored: test sequences.
        looks: at the peer's KL along its way.
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
    """A lens at a time: seconds spent on it, of the processor's and of the wall's clock, and KL at the input of every block, nats."""

    seconds: float
    wall: float
    kl: Tensor

    @property
    def mean(self) -> float:
        return float(self.kl.mean())

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s ({self.wall:.0f}) {self.mean:.3f}"


class Clocks:
    """Seconds of processor and wall since the start, pauses left out."""

    def __init__(self) -> None:
        self.resume((0.0, 0.0))

    def read(self) -> tuple[float, float]:
        return time.process_time() - self.processor, time.perf_counter() - self.wall

    def resume(self, read: tuple[float, float]) -> None:
        """As if no time had passed since that reading."""
        self.processor, self.wall = time.process_time() - read[0], time.perf_counter() - read[1]


class TranslatorsOfSameFormula(nn.Module):
    """The package's lens where it is not installed: readout(h + A_i h + b_i), A and b zero at first."""

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
    """The package's own class, or its stand-in, and which of them it is."""
    try:
        from tuned_lens.nn.lenses import TunedLens
    except ImportError:
        return TranslatorsOfSameFormula(model), "the package's recipe (its class is not installed)"
    return TunedLens.from_model(model), "tuned_lens.TunedLens"


def peer(
    network: itinf.Network, data: Data, scored: Data, size: Size, factor: float, batch: int, seed: int
) -> list[Point]:
    """The package's recipe; a point for each look."""
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
    """A tuned lens of so many tokens, everything that it takes included."""
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
    """Mean KL of the package's lens at the input of every block, (L,) nats."""
    sums: Any = 0
    for index in keyed_order(scored, count, 0).indices:
        output = network.model(load_batch(scored, [index]).inputs, output_hidden_states=True)
        sums += torch.stack([kl(output.logits, lens(h, idx=i)) for i, h in enumerate(output.hidden_states[:-1])])
    return sums / (count * len(scored[0][0]))


@torch.no_grad()
def our_scores(network: itinf.Network, lens: Any, scored: Data, count: int) -> Tensor:
    """The same of ours, from our own states."""
    sums: Any = 0
    for index in keyed_order(scored, count, 0).indices:
        seen = trace(network, load_batch(scored, [index]), gradients=False)
        final = logits(network, vectors(network, seen.states[-1]))
        states = [vectors(network, seen.state(place.id)) for place in lens.sites[:-1]]
        reads = zip(states, lens.translators, strict=False)
        sums += torch.stack([kl(final, logits(network, translator(x))) for x, translator in reads])
    return sums / (count * len(scored[0][0]))


def compare(peers: dict[float, list[Point]], own: Sequence[Point], name: str) -> None:
    """Prints what they come to."""
    best = min(peers, key=lambda factor: peers[factor][-1].mean)
    end = peers[best][-1]
    reached = [p for p in own if p.mean <= end.mean]
    print(f"\nbest peer ({name}, × {best:g}) ends at {end.mean:.4f} nats after {end.seconds:.1f} s")
    if reached:
        first = min(reached, key=lambda p: p.seconds)
        print(
            f"ours is there ({first.mean:.4f}) after {first.seconds:.1f} s: {end.seconds / first.seconds:.1f} × faster "
            f"(aim 10; by wall time {end.wall / first.wall:.1f} ×)"
        )
    else:
        print(f"ours is never there: {min(p.mean for p in own):.4f} nats at best")
    within = [p for p in own if p.seconds <= end.seconds]
    if within:
        last = min(within, key=lambda p: p.mean)
        print(f"\nKL at the peer's final time, nats (ours after {last.seconds:.1f} s)\n  block     peer     ours")
        for block, (theirs, our) in enumerate(zip(end.kl.tolist(), last.kl.tolist(), strict=True)):
            print(f"  {block:5d} {theirs:8.4f} {our:8.4f}{'' if our < theirs else '   not lower'}")


def draw(peers: dict[float, list[Point]], own: Sequence[Point], path: Path) -> None:
    """KL against time, both axes logarithmic."""
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
    parser.add_argument("--weights", default="specimen", help="of gpt2")
    parser.add_argument("--steps", type=int, help="of the peer")
    parser.add_argument("--step", type=int, help="tokens per step of the peer")
    parser.add_argument("--rates", type=float, nargs="+", help="factors on the peer's learning rate")
    parser.add_argument("--budgets", type=int, nargs="+", help="tokens of our fits")
    parser.add_argument("--peer-batch", type=int, default=8, help="sequences at a time")
    parser.add_argument("--batch", type=int, default=16, help="sequences at a time in ours")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16", help="of our products")
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

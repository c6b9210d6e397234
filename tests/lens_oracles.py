"""Networks whose lenses, transfers and gains are known by construction; vectors as images of one pixel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pandas as pd
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor, nn

from itinf import IGNORED, Batch, Network
from itinf.data.clusters import batches, keyed_order
from itinf.data.items import as_data
from itinf.lenses.fit import fit
from itinf.lenses.lens import Lens
from itinf.lenses.transfer.cells import cells_of
from itinf.lenses.transfer.matrix import TransferMatrix, half_of
from itinf.lenses.transfer.pilot import windows
from itinf.lenses.transfer.scores import BINS, UNIFORM
from itinf.lenses.transfer.table import transfer_table
from itinf.lenses.transfer.temperature import BEST, POWERS, WINDOW_GRID
from itinf.lenses.translator import Translator
from itinf.networks.gauge import random_rotation
from itinf.networks.trace import SiteId, Target, trace
from itinf.statistics.bootstrap import Array, poisson_weights
from oracles import Chain, generator, normal, opened

CLASSES, COUNT = 4, 1000


class Turn(nn.Module):
    """h ↦ ``matrix`` h."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.register_buffer("matrix", matrix)

    def forward(self, h: Tensor) -> Tensor:
        return torch.einsum("dc,nchw->ndhw", self.matrix, h)


def reads(width: int, first: int, count: int = CLASSES, scale: float = 3.0) -> nn.Linear:
    """A head of as many classes as the channels it reads, from ``first`` on; it ignores all others."""
    head = nn.Linear(width, count, bias=False)
    with torch.no_grad():
        head.weight.zero_()[:, first : first + count] = scale * torch.eye(count)
    return head


def shift(groups: int, seed: int) -> Tensor:
    """Moves every group of ``CLASSES`` channels to the next one, the last to the first, and turns them inside."""
    moved = torch.eye(groups, dtype=torch.float64).roll(1, 0)
    return torch.kron(moved.contiguous(), random_rotation(CLASSES, seed).contiguous())


def shifting(blocks: int = 3) -> Network:
    """Every block moves all groups of channels on by one; the head reads the last group.

    From inputs in the first group alone, every state has a subspace to itself. From inputs that fill all
    groups, each state's lens reads, at any other, a group that knows nothing of the label.
    """
    width = CLASSES * (blocks + 1)
    turns = [Turn(shift(blocks + 1, seed)) for seed in range(blocks)]
    return opened(Chain(turns, reads(width, width - CLASSES)))


def turning(width: int = 64, blocks: int = 3) -> Network:
    """A fresh random rotation at every block."""
    return opened(Chain([Turn(random_rotation(width, 10 + seed)) for seed in range(blocks)], reads(width, 0)))


def carrying(width: int = 12, blocks: int = 3) -> Network:
    """The answer is in the input and stays as it is; blocks turn the channels that the head ignores."""
    turns = [torch.eye(width, dtype=torch.float64) for _ in range(blocks)]
    for seed, turn in enumerate(turns):
        turn[CLASSES:, CLASSES:] = random_rotation(width - CLASSES, seed)
    return opened(Chain([Turn(turn) for turn in turns], reads(width, 0)))


class _Fed(nn.Module):
    """Blocks that read the state and channels of the input kept beside it: (N, width · (1 + fed), 1, 1)."""

    def __init__(self, blocks: list[nn.Module], head: nn.Linear, own: bool) -> None:
        super().__init__()
        self.blocks, self.head, self.own = nn.ModuleList(blocks), head, own

    def forward(self, inputs: Tensor) -> Tensor:
        h, *fed = inputs.split(self.head.in_features, 1)
        for place, block in enumerate(self.blocks):
            h = block(h, fed[place if self.own else 0])
        return self.head(h.mean((2, 3)))


def _opened(model: _Fed) -> Network:
    """The first tensor that a block takes is its state; the other one has the same shape."""
    network = opened(model)
    return replace(network, blocks=[replace(block, input=0) for block in network.blocks])


class _Towards(nn.Module):
    """One step of gradient descent on KL(posterior of a goal ‖ readout)."""

    def __init__(self, head: nn.Linear, step: float) -> None:
        super().__init__()
        self._head, self.step = [head], step

    def forward(self, h: Tensor, goal: Tensor) -> Tensor:
        (head,) = self._head
        p, q = (head(x.mean((2, 3))).softmax(1) for x in (h, goal))
        return h + self.step * ((q - p) @ head.weight)[:, :, None, None]


def descending(width: int = 6, blocks: int = 5, step: float = 0.3) -> Network:
    """Gradient descent towards the posterior of a goal, at which it nearly arrives."""
    head = reads(width, 0, scale=2.0).to(torch.float64)
    return _opened(_Fed([_Towards(head, step) for _ in range(blocks)], head, own=False))


def starts(count: int, width: int, seed: int) -> Tensor:
    """Inputs of ``descending``: a start that knows nothing of the goal, and the goal."""
    return torch.cat([0.3 * normal(count, width, seed=seed), 2 * normal(count, width, seed=seed + 500)], 1)


class _Add(nn.Module):
    def forward(self, h: Tensor, evidence: Tensor) -> Tensor:
        return h + evidence


def gathering(blocks: int = 3) -> Network:
    """Every block adds evidence for the label which, given the label, is independent of all before."""
    return _opened(_Fed([_Add() for _ in range(blocks)], reads(CLASSES, 0, scale=1.0), own=True))


def fed(width: int, head: nn.Linear, blocks: int = 1) -> Network:
    """Every block adds channels of the input that are kept beside the state."""
    return _opened(_Fed([_Add() for _ in range(blocks)], head, own=True))


def pixels(vectors: Tensor) -> Tensor:
    """(N, D) -> (N, D, 1, 1)."""
    return vectors[:, :, None, None]


def evidence(count: int, blocks: int, seed: int) -> list[tuple[Tensor, int]]:
    """Inputs of ``gathering``: blocks + 1 times the label's one-hot vector in noise of variance 1."""
    labels = torch.randint(CLASSES, (count,), generator=generator(seed))
    seen = torch.eye(CLASSES, dtype=torch.float64)[labels].repeat(1, blocks + 1)
    return list(zip(pixels(seen + normal(*seen.shape, seed=seed)), labels.tolist(), strict=True))


def labelled(network: Network, vectors: Tensor, seed: int) -> list[tuple[Tensor, int]]:
    """Items whose labels are drawn from the network's own final distribution."""
    inputs = pixels(vectors)
    with torch.no_grad():
        p = network.model(inputs).softmax(1)
    labels = torch.multinomial(p, 1, generator=generator(seed)).squeeze(1)
    return list(zip(inputs, labels.tolist(), strict=True))


@dataclass
class Judged:
    """A lens fitted on some items, read on others."""

    network: Network
    lens: Lens
    grid: TransferMatrix
    table: pd.DataFrame

    def row(self, measure: str, lens: str, at: int, fitted_at: int | None = None, **where: object) -> pd.Series:
        """One row; ``where`` names other columns than target "label", if there is one, no null and no form."""
        t = self.table
        rows = t[(t.measure == measure) & (t.lens == lens) & (t.state_index == at)]
        rows = rows[rows.fitted_at.isna() if fitted_at is None else rows.fitted_at == fitted_at]
        named: dict[str, object] = {"null": "observed", "form": ""} | where
        if "target" not in where and rows.target.nunique() > 1:
            named["target"] = "label"
        for column, value in named.items():
            rows = rows[rows[column] == value]
        assert len(rows) == 1, (measure, lens, at, fitted_at, where, len(rows))
        return rows.iloc[0]

    def matrix(self, measure: str, lens: str = "affine", **where: object) -> Tensor:
        """(fitted at, read at), NaN where missing; gauge-matched cells have no diagonal."""
        n = len(self.grid.sites)
        found = torch.full((n, n), torch.nan, dtype=torch.float64)
        for i in range(n):
            for j in range(n):
                if i != j or not where.get("form"):
                    found[i, j] = self.row(measure, lens, j, i, **where)["mean"]
        return found

    def along(self, measure: str, lens: str, **where: object) -> Tensor:
        """By state, of a lens fitted at many."""
        return torch.tensor([self.row(measure, lens, j, **where)["mean"] for j in range(len(self.grid.sites))])


def judged(
    network: Network,
    fitted: list,
    read: list,
    kind: str = "affine",
    replicates: int = 100,
    counterfactual: bool = False,
    lens: Lens | None = None,
) -> Judged:
    """Fits on ``fitted``, unless there is a lens; reads ``read``; partners of counterfactual states are among 500 units."""
    lens = lens or fit(network, fitted, kind, batch=500)
    cells, scored = cells_of(lens, counterfactual=counterfactual), as_data(read, network.unit)
    order = keyed_order(scored, None, 0)
    chosen = windows(network, lens, cells, batches(scored, order.part(slice(500)), 500))
    grid = TransferMatrix(network, lens, cells, chosen, 0, replicates)
    for batch in batches(scored, order, 500):
        grid.add(network, batch)
    return Judged(network, lens, grid, transfer_table(network, grid))


@cache
def case(name: str, count: int = COUNT) -> Judged:
    """A network of this file by name, judged on ``count`` inputs."""
    if name == "gathering":
        return judged(gathering(), *(evidence(count, 3, seed) for seed in (1, 2)))
    networks = {"subspaces": shifting, "shifting": shifting, "turning": turning, "carrying": carrying}
    network = networks.get(name, descending)()
    width = network.model.head.in_features

    def items(seed: int) -> list[tuple[Tensor, int]]:
        if name == "descending":
            return labelled(network, starts(count, width, seed), seed)
        vectors = normal(count, width, seed=seed)
        if name == "subspaces":
            vectors[:, CLASSES:] = 0
        return labelled(network, vectors, seed)

    return judged(network, items(1), items(2))


class Brute:
    """Every number as a function of how often each cluster counts; rows of weights (1 + B, N), the first all 1."""

    def __init__(self, network: Network, lens: Lens, batch: Batch, replicates: int) -> None:
        self.network, self.sites = network, lens.sites
        answers = (lens.mean_final.exp() * (1 - UNIFORM) + UNIFORM / len(lens.mean_final)).log()
        self.priors = {"label": lens.log_prior, "model": answers}
        self.seen = trace(network, batch, gradients=False)
        self.labels = batch.targets.reshape(len(batch), -1)
        self.known = (self.labels != IGNORED).double()
        self.weights = np.vstack([np.ones(len(batch)), poisson_weights(batch.keys, 0, replicates).T])
        self.final = self.log(len(self.seen.states) - 1, None)

    def log(self, where: SiteId, translator: Translator | None) -> Tensor:
        """(N, P, classes) log-probabilities, every position translated before the network's own readout."""
        h = self.seen.state(where)
        if translator is not None:
            matrix, bias = translator.matrix.double(), translator.bias.double()
            if h.ndim == 4:
                h = torch.einsum("ec,nchw->nehw", matrix, h) + bias[:, None, None]
            else:
                h = h @ matrix.T + bias
        return self.network.readout(self.network.per_prediction(h)).reshape(*self.labels.shape, -1).log_softmax(-1)

    def loss(self, log: Tensor, target: Target = "label") -> Tensor:
        """(N, P): cross-entropy of the label, or KL from the final distribution."""
        if target == "model":
            return self.kl(self.final, log)
        return -log.gather(-1, self.labels.clamp_min(0)[..., None])[..., 0]

    def mean(self, values: Tensor) -> Array:
        """(1 + B,) of (N, P)."""
        return self.weights @ self.sum(values) / (self.weights @ self.sum(torch.ones_like(values)))

    def sum(self, values: Tensor) -> Array:
        """(N,) of (N, P)."""
        return (values * self.known).sum(1).numpy()

    def tempered(self, log: Tensor, target: Target, beta: float) -> Tensor:
        """(N, P): losses at one β."""
        prior = self.priors[target].expand_as(log)
        return self.loss(((1 - beta) * prior + beta * log).log_softmax(-1), target)

    def readable(self, log: Tensor, target: Target, beta: float) -> Array:
        """Nats per unit at one β, (1 + B,)."""
        return self.mean(self.tempered(log, target, 0) - self.tempered(log, target, beta))

    def crosswise(self, log: Tensor, target: Target, unit: float) -> Array:
        """Nats per unit, (1 + B,), in each replicate: one part with each half at the β of a window that is best for the
        other half, two parts with all at the β that is best for all."""
        curves = []
        nodes = np.array([0, *POWERS])
        for half in (0, 1):
            mine = self.weights * (half_of(self.seen.keys) == half)
            sums = np.stack([mine @ self.sum(self.tempered(log, target, unit * k)) for k in nodes])
            curve = CubicSpline(np.arcsinh(2 * nodes / BEST), sums)
            curves.append(curve(np.linspace(0, np.arcsinh(2 * POWERS[-1] / BEST), WINDOW_GRID)))
        columns = np.arange(len(self.weights))
        crossed = sum(curves[half][curves[1 - half].argmin(0), columns] for half in (0, 1))
        loss = crossed / 3 + sum(curves).min(0) * 2 / 3
        known = self.weights @ self.known.sum(1).numpy()
        return (self.weights @ self.sum(self.tempered(log, target, 0)) - loss) / known

    def marginal(self, log: Tensor, clusters: Array) -> float:
        """KL of the mean reading from the mean final distribution over all units of some clusters, nats."""
        p, q = ((x.exp() * self.known[..., None])[clusters].sum((0, 1)) for x in (self.final, log))
        p, q = p / p.sum(), q / q.sum()
        return float((p * (p / q).log()).sum())

    def calibration(self, log: Tensor) -> Array:
        p, answer = log.exp().max(-1)
        right = (answer == self.labels).double()
        bins = [(p >= k / BINS) & (p < (k + 1) / BINS) for k in range(BINS)]
        return sum(abs(self.mean((right - p) * b)) for b in bins)

    def depth(self, own: list[Tensor]) -> Array:
        """Mean relative depth from which the top-1 is the final one for good; ``own`` by place."""
        agrees = torch.stack([log.argmax(-1) == self.final.argmax(-1) for log in own])
        found = torch.ones_like(self.known)
        for n in range(len(found)):
            for p in range(found.shape[1]):
                stays = [k for k in range(len(own)) if agrees[k:, n, p].all()]
                found[n, p] = self.sites[stays[0]].depth if stays else 1.0
        return self.mean(found)

    @staticmethod
    def kl(a: Tensor, b: Tensor) -> Tensor:
        return (a.exp() * (a - b)).sum(-1)

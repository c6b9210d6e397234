"""The tuned lens: the affine lens, trained a little further to minimise KL from the network's final distribution."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.clusters import Order, Progress, batches, keyed_order, silent
from ..data.dataset import Batch, Data
from ..errors import ItinfError, shown
from ..networks.measuring import evaluating
from ..networks.network import Network
from ..networks.readout import chunks, logits, vectors
from ..networks.states import Site
from ..networks.trace import trace
from ..settings import number, one_of, whole
from .fit_statistics import is_held_out
from .kfac import KFAC
from .lens import Lens

PRECISIONS = ("float32", "bfloat16")
SHARES = (0.0, 0.5, 1.0)
"""Shares of the learned change: each state keeps the one that reads held-out clusters best; 0 is the start."""
POOL_STEPS = 32
"""Steps that draw their units from one pool of shuffled batches, because neighbouring tokens are alike."""
FEWEST_STEPS = 64
"""Steps in all, at least: where there are few units, each step takes fewer."""
POOL_BYTES = 2**28
"""Memory for the states of a pool, at most."""
CURVATURE_UNITS = 8
"""Units on which curvature is measured, at most, for every channel of the last state."""


@dataclass(frozen=True)
class Recipe:
    """How a lens is tuned: ever shorter steps along the natural gradient.

    Attributes:
        passes: over the fitted clusters.
        units: per step, at most.
        rate: length of the first step, as a share of the step that curvature proposes; it falls linearly to 0.
        precision: of matrix products in network and readout, ``"float32"`` or ``"bfloat16"``; translators,
            distributions and scores stay float32.
    """

    passes: int = 1
    units: int = 512
    rate: float = 0.02
    precision: str = "float32"

    def __post_init__(self) -> None:
        whole("passes", self.passes, 0)
        whole("units", self.units, 1)
        one_of("precision", self.precision, PRECISIONS)
        if number("rate", self.rate) == 0:
            raise ItinfError("rate is 0; expected a finite number above 0.")


def tune(
    network: Network,
    data: Data,
    start: Lens,
    recipe: Recipe | None = None,
    *,
    clusters: int | None = None,
    batch: int = 64,
    seed: int = 0,
    progress: Progress = silent,
) -> Lens:
    """Trains a lens further; on the held-out clusters it is worse than its start at no state.

    Args:
        network: the network; its weights do not change.
        data: what ``start`` was fitted on; held-out clusters (``is_held_out``) are scored, never fitted on.
        start: an affine lens with its statistics.
        recipe: how; None for the usual one.
        clusters, batch, seed: as for ``fit``; the seed also decides the order of units.
        progress: called with ("tuning" or "scoring", clusters done, clusters in all).

    Returns:
        a lens of kind "tuned". Its record has the recipe and for each state the mean held-out KL in
        nats, of the start and of what was kept (None where there is no translator).

    Raises:
        ItinfError: a start without statistics, or no clusters held out.
    """
    recipe = Recipe() if recipe is None else recipe
    if not isinstance(recipe, Recipe):
        raise ItinfError(f"recipe is {shown(recipe)}; expected an itinf.lenses.tuned.Recipe(…).")
    if start.statistics is None:
        raise ItinfError(
            f"A lens read from a file has no statistics, so {start!r} cannot be tuned. "
            "Fit one here: kind 'tuned' fits its own affine start."
        )
    order = keyed_order(data, clusters, seed)
    held_out = _held_out(data, order)
    learners = [
        None if translator is None else KFAC(translator, moments.mean, network.device)
        for translator, moments in zip(start.translators, start.statistics.fitted, strict=True)
    ]
    reader = _ClusterReader(network, data, order, start.sites, recipe, batch)
    with evaluating(network):
        _train(reader, learners, ~held_out, seed, progress)
        scores = _scores(reader, learners, held_out, progress)  # (sites, shares)
    translators = [
        translator if learner is None else learner.translator(SHARES[int(kl.argmin())])
        for translator, learner, kl in zip(start.translators, learners, scores, strict=True)
    ]

    def listed(kls: Tensor) -> list[float | None]:
        return [None if learner is None else float(kl) for learner, kl in zip(learners, kls, strict=True)]

    about = {"recipe": asdict(recipe), "start_kl": listed(scores[:, 0]), "kl": listed(scores.amin(1))}
    return replace(start, kind="tuned", translators=translators, record=start.record | about)


def _held_out(data: Data, order: Order) -> NDArray[np.bool_]:
    """(N,) the clusters that are held out; some are, and some are not."""
    held_out = is_held_out(order.keys)
    if held_out.all() or not held_out.any():
        raise ItinfError(
            f"{data.name}: of {len(held_out):,} clusters {int(held_out.sum()):,} are held out, and a tuned lens needs "
            "some to fit on and some to score on. Give more units."
        )
    return held_out


@dataclass(frozen=True)
class _ClusterReader:
    """Reads states and logits of a data set's clusters.

    Attributes:
        network: the network; ``data``: the data set; ``order``: its clusters; ``sites``: the states to read.
        recipe: says the precision; ``batch``: clusters per forward pass.
    """

    network: Network
    data: Data
    order: Order
    sites: Sequence[Site]
    recipe: Recipe
    batch: int

    def batches(self, chosen: np.ndarray) -> Iterator[Batch]:
        """The clusters at these indices of the order."""
        return batches(self.data, self.order.part(chosen), self.batch)

    def autocast(self) -> AbstractContextManager[object]:
        """Matrix products in the recipe's precision."""
        if self.recipe.precision == "bfloat16":
            return torch.autocast(self.network.device.type, torch.bfloat16)
        return nullcontext()

    def states(self, batch: Batch) -> list[Tensor]:
        """At every site the vectors of the units with a target, (R, …, D) float32."""
        with self.autocast():
            batch_trace = trace(self.network, batch, gradients=False)
        known = batch_trace.known.flatten()
        return [vectors(self.network, batch_trace.state(site.id)).float()[known] for site in self.sites]

    def logits(self, translated: Tensor) -> Tensor:
        """(R, classes) float32."""
        with self.autocast():
            return logits(self.network, translated).float()

    def slope(self, translated: Tensor, target: Tensor) -> Tensor:
        """Derivative of the summed cross-entropy by the translated vectors; target (R, classes) is a distribution."""
        with evaluating(self.network), torch.enable_grad():
            translated = translated.detach().requires_grad_()
            z = self.logits(translated)
            return torch.autograd.grad(z, translated, z.detach().softmax(1).sub_(target))[0]

    def chunks(self, last: Tensor) -> list[slice]:
        """Slices of units whose logits exist at once; ``last``: (R, …, D) the last state's vectors."""
        with torch.no_grad():
            classes = self.logits(last[:1]).shape[1]
        return chunks(len(last), classes)


def _train(
    reader: _ClusterReader, learners: Sequence[KFAC | None], fitted: np.ndarray, seed: int, progress: Progress
) -> None:
    """Takes every step. The last site needs none: it reads the final distribution itself."""
    trained = [(k, learner) for k, learner in enumerate(learners[:-1]) if learner is not None]
    if not trained:
        return
    recipe, random = reader.recipe, np.random.default_rng(seed)
    indices, done, stepped = np.flatnonzero(fitted), 0, 0  # clusters read, and those of them that steps were taken on
    total = recipe.passes * len(indices)
    progress("tuning", 0, total)
    for _ in range(recipe.passes):
        pool: list[list[Tensor]] = []
        for batch in reader.batches(random.permutation(indices)):
            pool.append(reader.states(batch))
            done += len(batch)
            if _is_full(pool, recipe.units) or done % len(indices) == 0:
                states = [torch.cat(x) for x in zip(*pool, strict=True)]
                shuffled = random.permutation(len(states[-1]))
                if stepped == 0:
                    _add_curvature(reader, trained, _rows(states, shuffled), seed)
                units_per_cluster = len(shuffled) / (done - stepped)
                step_units = min(recipe.units, total * units_per_cluster / FEWEST_STEPS)
                steps = max(1, round(len(shuffled) / max(1.0, step_units)))
                for step, chosen in enumerate(np.array_split(shuffled, steps)):
                    share = (stepped + (done - stepped) * (step + 0.5) / steps) / total
                    _add_gradient(reader, trained, _rows(states, chosen))
                    for _, learner in trained:
                        learner.step(recipe.rate * (1 - share))
                pool, stepped = [], done
            progress("tuning", done, total)


def _is_full(pool: Sequence[Sequence[Tensor]], step_units: int) -> bool:
    units = sum(len(states[-1]) for states in pool)
    return units >= POOL_STEPS * step_units or sum(4 * x.numel() for states in pool for x in states) >= POOL_BYTES


def _rows(states: Sequence[Tensor], chosen: np.ndarray) -> list[Tensor]:
    return [x[torch.from_numpy(chosen).to(x.device)] for x in states]


def _add_curvature(
    reader: _ClusterReader, trained: Sequence[tuple[int, KFAC]], states: Sequence[Tensor], seed: int
) -> None:
    """Measures the curvature, with targets drawn from the network's final distribution.

    Where the lens is right, this is the Fisher information. Where the lens is confident and wrong, it is larger; the
    Fisher information would be near 0 there.
    """
    random = torch.Generator().manual_seed(seed)  # of the CPU: the lens must not depend on the device
    states = [x[: CURVATURE_UNITS * states[-1].shape[-1]] for x in states]
    for part in reader.chunks(states[-1]):
        with torch.no_grad():
            final = reader.logits(states[-1][part]).softmax(1)
        targets = torch.multinomial(final.cpu(), 1, generator=random).to(final.device)
        drawn = torch.zeros_like(final).scatter_(1, targets, 1)
        for k, learner in trained:
            x = states[k][part]
            learner.add_curvature(x, reader.slope(learner(x), drawn), len(states[-1]))


def _add_gradient(reader: _ClusterReader, trained: Sequence[tuple[int, KFAC]], states: Sequence[Tensor]) -> None:
    """Adds the gradient of the mean KL(final ‖ lens) at every site."""
    count = len(states[-1])
    for part in reader.chunks(states[-1]):
        with torch.no_grad():
            final = reader.logits(states[-1][part]).softmax(1)
        for k, learner in trained:
            x = states[k][part]
            learner.add_gradient(x, reader.slope(learner(x), final) / count)


def _scores(
    reader: _ClusterReader, learners: Sequence[KFAC | None], held_out: np.ndarray, progress: Progress
) -> Tensor:
    """Mean KL(final ‖ lens) over the held-out clusters, nats, (sites, shares) float64, in float32 products."""
    exact = replace(reader, recipe=replace(reader.recipe, precision="float32"))
    device = reader.network.device
    candidates = [[] if x is None else [x.translator(share).on(device) for share in SHARES] for x in learners]
    sums, count, done = torch.zeros(len(learners), len(SHARES), dtype=torch.float64), 0, 0
    indices = np.flatnonzero(held_out)
    progress("scoring", 0, len(indices))
    for batch in exact.batches(indices):
        states = exact.states(batch)
        for part in exact.chunks(states[-1]):
            with torch.no_grad():
                log = exact.logits(states[-1][part]).log_softmax(1)
                p = log.exp()
                for k, translators in enumerate(candidates):
                    for share, translator in enumerate(translators):
                        other = exact.logits(translator(states[k][part])).log_softmax(1)
                        sums[k, share] += torch.sub(log, other, out=other).mul_(p).sum(1).double().sum().cpu()
        count, done = count + len(states[-1]), done + len(batch)
        progress("scoring", done, len(indices))
    return (sums / max(count, 1)).nan_to_num(torch.inf)

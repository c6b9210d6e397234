"""The tuned lens: KL from the network's final distribution minimised per state, a short polish of the affine lens."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..data.clusters import Order, Progress, keyed_order, load_batch, silent
from ..data.dataset import IGNORED, Batch, Data
from ..errors import ItinfError
from ..networks.hooks import frozen
from ..networks.network import Network
from ..networks.readout import chunks, logits, vectors
from ..networks.states import Site
from ..networks.trace import trace
from .fit_statistics import is_held_out
from .kfac import KFAC
from .lens import Lens

PRECISIONS = ("float32", "bfloat16")
SHARES = (0.0, 0.5, 1.0)
"""How much of the change is kept: whichever share of it reads held-out clusters best; 0 is the start."""
MIXED = 32
"""Steps whose units are drawn from the same few batches, shuffled: neighbouring tokens are alike."""
LEAST = 64
"""Steps in all, at least: where there are few units, each takes fewer."""
KEPT_BYTES = 2**28
"""States of so many bytes are kept at once, at most."""
CURVED = 8
"""Units for each of a vector's numbers that curvature is measured on, at most."""


@dataclass(frozen=True)
class Recipe:
    """How a lens is polished: steps along the natural gradient, ever shorter.

    Attributes:
        passes: over the fitted clusters.
        units: per step, at most.
        rate: of the way that curvature says is left, what one step goes at first; it falls linearly to 0.
        precision: of the products of network and readout, ``"float32"`` or ``"bfloat16"``; translators,
            distributions and scores stay float32.
    """

    passes: int = 1
    units: int = 512
    rate: float = 0.02
    precision: str = "float32"

    def __post_init__(self) -> None:
        if self.passes < 0 or self.units < 1 or not 0 < self.rate < math.inf or self.precision not in PRECISIONS:
            raise ItinfError(
                f"{self} cannot be followed; expected passes of at least 0, units of at least 1, a rate above 0 "
                f"and a precision of {' or '.join(PRECISIONS)}."
            )


def tune(
    network: Network,
    data: Data,
    start: Lens,
    recipe: Recipe,
    *,
    clusters: int | None = None,
    batch: int = 64,
    seed: int = 0,
    progress: Progress = silent,
) -> Lens:
    """Polishes a lens; at no state is it worse than its start on the held-out clusters.

    Args:
        network: the network; its weights are not touched.
        data: what ``start`` was fitted on; clusters that ``is_held_out`` are scored, never fitted on.
        start: an affine lens with its moments.
        recipe: how.
        clusters, batch, seed: as for ``fit``; the seed also shuffles.
        progress: called with ("tuning" or "scoring", clusters done, clusters in all).

    Returns:
        a lens of kind "tuned"; its record has the recipe and for each state the mean held-out KL in
        nats, of the start and of what was kept (None where there is no translator).

    Raises:
        ItinfError: a start without moments, or no clusters held out.
    """
    if start.statistics is None:
        raise ItinfError(
            f"A lens read from a file has no moments, so {start!r} cannot be tuned. "
            "Fit one here: kind 'tuned' fits its own affine start."
        )
    order = keyed_order(data, clusters, seed)
    held_out = is_held_out(order.keys)
    if held_out.all() or not held_out.any():
        raise ItinfError(
            f"{data.name}: of {len(held_out):,} clusters {int(held_out.sum()):,} are held out, and a tuned lens takes "
            "some to fit on and some to be scored on. Give more units."
        )
    polishes = [
        None if translator is None else KFAC(translator, moments.mean, network.device)
        for translator, moments in zip(start.translators, start.statistics.fitted, strict=True)
    ]
    some = _Clusters(network, data, order, start.sites, recipe, batch)
    _fit(some, polishes, ~held_out, seed, progress)
    found = _scores(some, polishes, held_out, progress)  # (places, shares)
    made = [
        translator if polish is None else polish.translator(SHARES[int(kl.argmin())])
        for translator, polish, kl in zip(start.translators, polishes, found, strict=True)
    ]

    def listed(kls: Tensor) -> list[float | None]:
        return [None if polish is None else float(kl) for polish, kl in zip(polishes, kls, strict=True)]

    about = {"recipe": asdict(recipe), "start_kl": listed(found[:, 0]), "kl": listed(found.amin(1))}
    return replace(start, kind="tuned", translators=made, record=start.record | about)


@dataclass(frozen=True)
class _Clusters:
    """The clusters of a fit, and what is read of them."""

    network: Network
    data: Data
    order: Order
    sites: Sequence[Site]
    recipe: Recipe
    batch: int

    def batches(self, chosen: np.ndarray) -> Iterator[Batch]:
        """The clusters at these places of the order."""
        for first in range(0, len(chosen), self.batch):
            part = chosen[first : first + self.batch]
            yield load_batch(self.data, self.order.indices[part], self.order.keys[part])

    def products(self) -> torch.autocast:
        """Matrix products in the precision asked for."""
        precision = getattr(torch, self.recipe.precision)
        return torch.autocast(self.network.device.type, torch.bfloat16, enabled=precision is torch.bfloat16)

    def states(self, batch: Batch) -> list[Tensor]:
        """At every place the vectors of the units with a target, (R, …, D) float32."""
        with self.products():
            seen = trace(self.network, batch, gradients=False)
        known = (seen.targets != IGNORED).flatten()
        return [vectors(self.network, seen.state(p.id)).float()[known] for p in self.sites]

    def logits(self, translated: Tensor) -> Tensor:
        """(R, classes) float32."""
        with self.products():
            return logits(self.network, translated).float()

    def slope(self, translated: Tensor, target: Tensor) -> Tensor:
        """Derivative by what is read of the sum of cross-entropies from distributions (R, classes)."""
        with frozen(self.network.model), torch.enable_grad():
            translated = translated.detach().requires_grad_()
            z = self.logits(translated)
            return torch.autograd.grad(z, translated, z.detach().softmax(1).sub_(target))[0]


def _fit(some: _Clusters, polishes: Sequence[KFAC | None], fitted: np.ndarray, seed: int, progress: Progress) -> None:
    """Takes every step; the last place needs none, for it reads the final distribution itself."""
    learn = [(k, polish) for k, polish in enumerate(polishes[:-1]) if polish is not None]
    if not learn:
        return
    random = np.random.default_rng(seed)
    where, done, begun = np.flatnonzero(fitted), 0, 0
    total = some.recipe.passes * len(where)
    progress("tuning", 0, total)
    for _ in range(some.recipe.passes):
        kept: list[list[Tensor]] = []
        for batch in some.batches(random.permutation(where)):
            kept.append(some.states(batch))
            done += len(batch)
            if _enough(kept, some.recipe.units) or done % len(where) == 0:
                states = [torch.cat(x) for x in zip(*kept, strict=True)]
                shuffled = random.permutation(len(states[-1]))
                if begun == 0:
                    _bend(some, learn, _rows(states, shuffled), seed)
                each = len(shuffled) / (done - begun)  # units per cluster
                steps = max(1, round(len(shuffled) / max(1.0, min(some.recipe.units, total * each / LEAST))))
                for step, part in enumerate(np.array_split(shuffled, steps)):
                    share = (begun + (done - begun) * (step + 0.5) / steps) / total
                    _add_gradient(some, learn, _rows(states, part))
                    for _, polish in learn:
                        polish.step(some.recipe.rate * (1 - share))
                kept, begun = [], done
            progress("tuning", done, total)


def _enough(kept: Sequence[Sequence[Tensor]], size: int) -> bool:
    units = sum(len(states[-1]) for states in kept)
    return units >= MIXED * size or sum(4 * x.numel() for states in kept for x in states) >= KEPT_BYTES


def _rows(states: Sequence[Tensor], chosen: np.ndarray) -> list[Tensor]:
    return [x[torch.from_numpy(chosen).to(x.device)] for x in states]


def _bend(some: _Clusters, learn: Sequence[tuple[int, KFAC]], states: Sequence[Tensor], seed: int) -> None:
    """Measures curvature, from targets drawn from the network's final distribution.

    Where the lens is right that is the Fisher information; where it is sure and wrong, it is more, not nothing.
    """
    random = torch.Generator(some.network.device).manual_seed(seed)
    states = [x[: CURVED * states[-1].shape[-1]] for x in states]
    for part in chunks(len(states[-1]), _classes(some, states[-1])):
        with torch.no_grad():
            final = some.logits(states[-1][part]).softmax(1)
        drawn = torch.zeros_like(final).scatter_(1, torch.multinomial(final, 1, generator=random), 1)
        for k, polish in learn:
            x = states[k][part]
            polish.add_curvature(x, some.slope(polish(x), drawn), len(states[-1]))


def _add_gradient(some: _Clusters, learn: Sequence[tuple[int, KFAC]], states: Sequence[Tensor]) -> None:
    """Adds the gradient of the mean KL(final ‖ lens) of every place."""
    count = len(states[-1])
    for part in chunks(count, _classes(some, states[-1])):
        with torch.no_grad():
            final = some.logits(states[-1][part]).softmax(1)
        for k, polish in learn:
            x = states[k][part]
            polish.add_gradient(x, some.slope(polish(x), final) / count)


def _scores(some: _Clusters, polishes: Sequence[KFAC | None], held_out: np.ndarray, progress: Progress) -> Tensor:
    """Mean KL(final ‖ lens) of the held-out clusters at every place for every share, nats, float64; float32 products."""
    exact = replace(some, recipe=replace(some.recipe, precision="float32"))
    readers = [[] if p is None else [p.translator(share).to(some.network.device) for share in SHARES] for p in polishes]
    sums, count, done = torch.zeros(len(polishes), len(SHARES), dtype=torch.float64), 0, 0
    where = np.flatnonzero(held_out)
    progress("scoring", 0, len(where))
    for batch in exact.batches(where):
        states = exact.states(batch)
        for part in chunks(len(states[-1]), _classes(exact, states[-1])):
            with torch.no_grad():
                log = exact.logits(states[-1][part]).log_softmax(1)
                p = log.exp()
                for k, some_shares in enumerate(readers):
                    for share, translator in enumerate(some_shares):
                        other = exact.logits(translator(states[k][part])).log_softmax(1)
                        sums[k, share] += torch.sub(log, other, out=other).mul_(p).sum(1).double().sum().cpu()
        count, done = count + len(states[-1]), done + len(batch)
        progress("scoring", done, len(where))
    return (sums / max(count, 1)).nan_to_num(torch.inf)


def _classes(some: _Clusters, last: Tensor) -> int:
    with torch.no_grad():
        return some.logits(last[:1]).shape[1]

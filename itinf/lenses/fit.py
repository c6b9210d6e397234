"""Fits lenses: one pass over the data for those with a closed form, more passes for those that are tuned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.clusters import Order, Progress, batches, clusters_of, content_of, keyed_order, load_batch
from ..data.dataset import Data
from ..data.items import as_data
from ..data.progress import visible
from ..errors import ItinfError, batch_in_memory
from ..files import CONTENT
from ..networks.check import require_proven
from ..networks.measuring import evaluating
from ..networks.network import Network, require_network
from ..networks.weights import readout_fingerprint
from ..settings import MOST_SEED, whole
from ..statistics.processes import from_first, here, process_group
from .confidence import at_best_confidence
from .fit_statistics import FitStatistics, fit_statistics, no_statistics, summed_statistics
from .kinds import DEFAULT, LensKind, either, lens_kind, lens_kinds
from .lens import Lens

MIXES = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9999)
"""Candidates for the weight of the target frequencies in the prior."""


def fit(
    network: Network,
    data: Any,
    kind: str = DEFAULT,
    *,
    units: int | None = None,
    parts: bool = False,
    batch: int = 64,
    seed: int = 0,
    recipe: Any = None,
    progress: Progress | None = None,
) -> Lens:
    """Fits a lens.

    Args:
        network: the network; its weights do not change.
        data: anything ``itinf.probe`` takes; use other data than those the lens will be judged on.
        kind: a name of ``itinf.lenses.kinds``: "affine", "tuned", "shared", "logit", or one that was added.
        units: images or tokens, tokens in whole sequences; None for all.
        parts: add the states that parts of a block read.
        batch: clusters per forward pass; the lens does not depend on it.
        seed: of the choice of clusters.
        recipe: how a tuned lens is trained, an ``itinf.lenses.tuned.Recipe``; None for the usual one.
        progress: called with (stage, clusters done, clusters in all); by default a notebook shows a bar.

    Raises:
        ItinfError: an unknown kind, a recipe for a kind that is not tuned, more units than the data have, or
            too few units for a translator (says how many it takes).

    Under torchrun every process has to call it; each reads its share of the data, and gets the same lens.
    """
    require_network(network)
    chosen, progress = lens_kind(kind), visible(progress)
    units = whole("units", units, 1, "a lens needs something to be fitted on", optional=True)
    batch, seed = whole("batch", batch, 1), whole("seed", seed, 0, most=MOST_SEED)
    if recipe is not None and chosen.closed_form:
        tuned = either(known for known in lens_kinds() if not known.closed_form)
        raise ItinfError(
            f"A recipe was given for a lens of kind {kind!r}; only {tuned} lenses follow one. Leave it out."
        )
    source = as_data(data, network.unit, network.classes, network.name)
    clusters = clusters_of(source, units)
    order = keyed_order(source, clusters, seed)
    content = content_of(source, order.indices)
    with process_group(), evaluating(network), batch_in_memory(batch):
        require_proven(network, source, order.indices)
        statistics = _statistics(network, source, order, batch, parts, progress)
        about: dict[str, Any] = {"data": source.name, "note": source.note, "units": statistics.units, "seed": seed}
        about |= {} if content is None else {CONTENT: content}
        lens = _lens(network, statistics, chosen, about)
        if chosen.calibrated:
            lens = at_best_confidence(network, lens, source, order, batch)
        if chosen.tune is None:
            return lens
        tune = partial(chosen.tune, network, source, lens, recipe, clusters=clusters, batch=batch, seed=seed)
        return _tuned_by_first(partial(tune, progress=progress), kind, statistics)


def _statistics(
    network: Network, data: Data, order: Order, batch: int, parts: bool, progress: Progress
) -> FitStatistics:
    """The statistics of all clusters; each of several processes reads its share."""
    group = here()
    size = min(batch, -(-len(order) // group.size))
    mine = order.part(np.arange(len(order)) // size % group.size == group.rank)
    if len(mine) == 0:  # more processes than clusters
        return summed_statistics(no_statistics(network, load_batch(data, order.indices[:1]), parts))
    return summed_statistics(fit_statistics(network, batches(data, mine, size, progress, "fitting"), parts))


def _tuned_by_first(tune: Callable[[], Lens], kind: str, statistics: FitStatistics) -> Lens:
    """A tuned lens: each step needs the one before, so the first process takes them all, and the others get the lens."""
    made: list[Lens] = []

    def content() -> bytes:
        made.append(replace(tune(), kind=kind))
        return made[0].content() if here().size > 1 else b""

    whole = from_first(content)
    return made[0] if made else replace(Lens.of(whole), statistics=statistics)


def closed_form_lens(network: Network, statistics: FitStatistics, kind: str, about: dict[str, Any]) -> Lens:
    """The lens of a kind that needs no more than statistics, see ``fit``.

    Args:
        network: the network; ``statistics``: of its states.
        kind: a kind with a closed form.
        about: entries for the lens's record, such as data and seed.

    Raises:
        ItinfError: a kind without a closed form; too few units for a translator.
    """
    chosen = lens_kind(kind)
    if not chosen.closed_form:
        expected = either(known for known in lens_kinds() if known.closed_form)
        raise ItinfError(f"A lens of kind {kind!r} has no closed form; expected {expected}.")
    return _lens(network, statistics, chosen, about)


def _lens(network: Network, statistics: FitStatistics, kind: LensKind, about: dict[str, Any]) -> Lens:
    record = {
        "network": network.name,
        "weights": network.weights,
        "readout": readout_fingerprint(network),
        "itinf": version("itinf"),
        "torch": version("torch"),
        **about,
    }
    translators = list(kind.translators(network, statistics))
    prior, final = log_prior(statistics), mean_final(statistics)
    return Lens(kind.name, statistics.sites, translators, prior, final, record, statistics)


def log_prior(statistics: FitStatistics) -> Tensor:
    """Log-frequencies of the targets mixed with the uniform distribution, so that no target is impossible.

    The weight of the frequencies is the one under which held-out targets are most likely.

    Returns:
        (classes,) float64.
    """
    fitted, held_out = statistics.targets
    share = fitted / fitted.sum().clamp_min(1)
    mixed = [(w * share + (1 - w) / len(share)).log() for w in MIXES]
    return max(mixed, key=lambda log: float((held_out * log).sum()))


def mean_final(statistics: FitStatistics) -> Tensor:
    """Log of the mean final distribution over fitted units, (classes,) float64."""
    mean = statistics.final / statistics.final.sum()
    return mean.clamp_min(torch.finfo(torch.float32).tiny).log()

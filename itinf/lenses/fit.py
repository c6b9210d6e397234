"""Fits lenses: one pass over the data for those with a closed form, more passes for those that are tuned."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from ..data.clusters import Progress, batches, clusters_of, content_of, keyed_order, silent
from ..data.items import as_data
from ..errors import ItinfError
from ..networks.hooks import evaluating
from ..networks.inputs import require_padding_unseen
from ..networks.network import Network
from ..networks.weights import readout_fingerprint
from .fit_statistics import FitStatistics, fit_statistics
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
    progress: Progress = silent,
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
        progress: called with (stage, clusters done, clusters in all).

    Raises:
        ItinfError: an unknown kind, a recipe for a kind that is not tuned, more units than the data have, or
            too few units for a translator (says how many it takes).
    """
    chosen = lens_kind(kind)
    if recipe is not None and chosen.closed_form:
        tuned = either(known for known in lens_kinds() if not known.closed_form)
        raise ItinfError(
            f"A recipe was given for a lens of kind {kind!r}; only {tuned} lenses follow one. Leave it out."
        )
    source = as_data(data, network.unit, network.classes, network.name)
    clusters = clusters_of(source, units)
    order = keyed_order(source, clusters, seed)
    content = content_of(source, order.indices)
    with evaluating(network):
        require_padding_unseen(network, source)
        statistics = fit_statistics(network, batches(source, order, batch, progress, "fitting"), parts)
        about: dict[str, Any] = {"data": source.name, "note": source.note, "units": statistics.units, "seed": seed}
        about |= {} if content is None else {"content": content}
        lens = _lens(network, statistics, chosen, about)
        if chosen.tune is None:
            return lens
        tuned_lens = chosen.tune(
            network, source, lens, recipe, clusters=clusters, batch=batch, seed=seed, progress=progress
        )
    return replace(tuned_lens, kind=kind)


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

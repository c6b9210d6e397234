"""Fitting lenses: one pass over data for all that have a closed form, more for those that are tuned."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, get_args

import torch
from torch import Tensor

from ..data.clusters import Progress, batches, silent
from ..data.dataset import as_data
from ..errors import ItinfError, nearest
from ..networks.gauge import rotation
from ..networks.network import Network
from ..networks.weights import readout_fingerprint
from .affine import best, require_units
from .fit_statistics import FitStatistics, fit_statistics
from .lens import Kind, Lens
from .shared import AffineMap, shared
from .translator import Translator
from .tuned import Recipe, tune


def fit(
    network: Network,
    data: Any,
    kind: Kind = "affine",
    *,
    units: int | None = None,
    inside: bool = False,
    batch: int = 64,
    seed: int = 0,
    recipe: Recipe | None = None,
    progress: Progress = silent,
) -> Lens:
    """Fits a lens.

    Args:
        network: the network; its weights are not touched.
        data: anything ``itinf.probe`` takes; use other data than those the lens will be judged on.
        kind: "logit" (the readout as it is), "affine" (least squares to the last state), "tuned" (from
            there to the smallest KL from the final distribution), or "shared" (one map for all depths
            of a segment).
        units: images or tokens, tokens in whole sequences; None for all.
        inside: also the states that parts of a block read.
        batch: clusters per forward pass; the lens does not depend on it.
        seed: of the choice of clusters.
        recipe: how a tuned lens is polished; None for the usual one.
        progress: called with (stage, clusters done, clusters in all).

    Raises:
        ItinfError: an unknown kind, a recipe for another than "tuned", or too few units for a
            translator (says how many it takes).
    """
    if kind not in get_args(Kind):
        raise ItinfError(f"There is no lens of kind {kind!r}. {nearest(str(kind), get_args(Kind))}")
    if recipe is not None and kind != "tuned":
        raise ItinfError(f"A recipe was given for a lens of kind {kind!r}; only tuned lenses follow one. Leave it out.")
    source = as_data(data, network.unit)
    length = source[0][1].numel() if len(source) else 1
    clusters = None if units is None else -(-units // length)
    found = fit_statistics(network, batches(source, clusters, seed, batch, progress), inside)
    about = {"data": source.name, "note": source.note, "units": found.units, "seed": seed}
    if kind != "tuned":
        return closed_form_lens(network, found, kind, about)
    start, recipe = closed_form_lens(network, found, "affine", about), recipe or Recipe()
    return tune(network, source, start, recipe, clusters=clusters, batch=batch, seed=seed, progress=progress)


def closed_form_lens(network: Network, found: FitStatistics, kind: Kind, about: dict[str, Any]) -> Lens:
    """The lens of a kind that a collection gives, see ``fit``."""
    if kind == "logit":
        width = found.sites[-1].width
        made: list[Translator | None] = [
            Translator.identity(width) if place.width == width else None for place in found.sites
        ]
    elif kind == "affine":
        made = [Translator.of(*one) for one in affine_maps(network, found)]
    elif kind == "shared":
        made = [Translator.of(*one) for one in shared_maps(found, leave_out=False)]
    else:
        raise ItinfError(f"A lens of kind {kind!r} has no closed form; expected logit, affine or shared.")
    record = {
        "network": network.name,
        "weights": network.weights,
        "readout": readout_fingerprint(network),
        "itinf": version("itinf"),
        "torch": version("torch"),
        **about,
    }
    return Lens(kind, found.sites, made, log_prior(found), mean_final(found), record, found)


def affine_maps(network: Network, found: FitStatistics) -> list[AffineMap]:
    """For each place the least-squares map to the last state's vectors, ridge chosen on held-out clusters."""
    for place, fitted in sorted(zip(found.sites, found.fitted, strict=True), key=lambda one: -one[0].width):
        require_units(fitted, f"{network.name}, state {place.name!r}")  # the widest needs most, and says so first
    return [best(m, held_out) for m, held_out in zip(found.fitted, found.held_out, strict=True)]


def shared_maps(found: FitStatistics, leave_out: bool, rotated: int | None = None) -> list[AffineMap]:
    """For each place the map of its segment's shared lens.

    Args:
        found: the collection.
        leave_out: the map for a place is fitted without it; in a segment of one place there is then
            nothing left, and the map says the mean.
        rotated: seed of a fresh random rotation for every place, the null without a common code.
    """
    maps: list[AffineMap] = []
    for segment in dict.fromkeys(place.segment for place in found.sites):
        where = [k for k, place in enumerate(found.sites) if place.segment == segment]
        fitted, held_out = ([m[k] for k in where] for m in (found.fitted, found.held_out))
        if leave_out and len(where) == 1:
            maps.append(_mean(fitted[0].y / fitted[0].n, found.sites[where[0]].width))
            continue
        turns = None
        if rotated is not None:
            turns = [rotation(found.sites[k].width, rotated * 10_000 + k) for k in where]
        maps += shared(fitted, held_out, leave_out, turns)
    return maps


def _mean(mean: Tensor, width: int) -> AffineMap:
    return torch.zeros(len(mean), width, dtype=torch.float64), mean


MIXES = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9999)


def log_prior(collected: FitStatistics) -> Tensor:
    """Log-frequencies of the targets mixed with the uniform distribution, so that none is impossible.

    The weight is the one under which held-out targets are likeliest.

    Returns:
        (classes,) float64.
    """
    fitted, held_out = collected.targets
    share = fitted / fitted.sum().clamp_min(1)
    mixed = [(w * share + (1 - w) / len(share)).log() for w in MIXES]
    return max(mixed, key=lambda log: float((held_out * log).sum()))


def mean_final(collected: FitStatistics) -> Tensor:
    """Log of the mean final distribution over fitted units, (classes,) float64."""
    mean = collected.final / collected.final.sum()
    return mean.clamp_min(torch.finfo(torch.float32).tiny).log()

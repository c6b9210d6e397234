"""Fitting lenses: one pass over data for all that have a closed form, more for those that are tuned."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any, get_args

import torch
from torch import Tensor, nn

from ..architecture import Network
from ..data import Batch, Data, as_data, keyed_order, load_batch
from ..errors import ItinfError, nearest
from ..progress import Progress, silent
from ..weights import fingerprint
from .affine import best, require_units
from .collect import Collected, collect
from .lens import Kind, Lens, final, prior
from .shared import Affine, rotation, shared
from .translator import Translator
from .tuned import Recipe, tune


def batches(
    data: Data, clusters: int | None, seed: int, batch: int, progress: Progress = silent, stage: str = "fitting"
) -> Iterator[Batch]:
    """The first clusters of a data set in keyed order, in batches."""
    order = keyed_order(data, clusters, seed)
    total = len(order.indices)
    progress(stage, 0, total)
    for start in range(0, total, batch):
        part = slice(start, start + batch)
        yield load_batch(data, order.indices[part], order.keys[part])
        progress(stage, min(start + batch, total), total)


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
    found = collect(network, batches(source, clusters, seed, batch, progress), inside)
    about = {"data": source.name, "note": source.note, "units": found.units, "seed": seed}
    if kind != "tuned":
        return lens(network, found, kind, about)
    start, recipe = lens(network, found, "affine", about), recipe or Recipe()
    return tune(network, source, start, recipe, clusters=clusters, batch=batch, seed=seed, progress=progress)


def lens(network: Network, found: Collected, kind: Kind, about: dict[str, Any]) -> Lens:
    """The lens of a kind that a collection gives, see ``fit``."""
    if kind == "logit":
        width = found.places[-1].width
        made: list[Translator | None] = [
            Translator.identity(width) if place.width == width else None for place in found.places
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
    return Lens(kind, found.places, made, prior(found), final(found), record, found)


def affine_maps(network: Network, found: Collected) -> list[Affine]:
    """For each place the least-squares map to the last state's vectors, ridge chosen on held-out clusters."""
    for place, fitted in sorted(zip(found.places, found.fitted, strict=True), key=lambda one: -one[0].width):
        require_units(fitted, f"{network.name}, state {place.name!r}")  # the widest needs most, and says so first
    return [best(m, held_out) for m, held_out in zip(found.fitted, found.held_out, strict=True)]


def shared_maps(found: Collected, leave_out: bool, rotated: int | None = None) -> list[Affine]:
    """For each place the map of its segment's shared lens.

    Args:
        found: the collection.
        leave_out: the map for a place is fitted without it; in a segment of one place there is then
            nothing left, and the map says the mean.
        rotated: seed of a fresh random rotation for every place, the null without a common code.
    """
    maps: list[Affine] = []
    for segment in dict.fromkeys(place.segment for place in found.places):
        where = [k for k, place in enumerate(found.places) if place.segment == segment]
        fitted, held_out = ([m[k] for k in where] for m in (found.fitted, found.held_out))
        if leave_out and len(where) == 1:
            maps.append(_mean(fitted[0].y / fitted[0].n, found.places[where[0]].width))
            continue
        turns = None
        if rotated is not None:
            turns = [rotation(found.places[k].width, rotated * 10_000 + k) for k in where]
        maps += shared(fitted, held_out, leave_out, turns)
    return maps


def _mean(mean: Tensor, width: int) -> Affine:
    return torch.zeros(len(mean), width, dtype=torch.float64), mean


def readout_fingerprint(network: Network) -> str:
    """Hash of every byte of the neck and head, by which a lens knows its readout.

    A head that is no module has its weights somewhere in the model, which is then hashed whole.
    """
    head = network.head if isinstance(network.head, nn.Module) else network.model
    return fingerprint(*(part for part in (network.neck, head) if isinstance(part, nn.Module)))

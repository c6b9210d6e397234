"""Examples for a trajectory, chosen from a data set by rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from ...data.clusters import Order, clusters_of, groups, keyed_order, load_batch
from ...data.dataset import IGNORED, Data
from ...data.items import as_data
from ...errors import ItinfError, batch_in_memory
from ...networks.network import Network, require_network
from ...networks.trace import trace
from ...results.schema import TEXT
from ...results.trajectory import RULES, Trajectory
from ...settings import DEFAULTS
from ..lens import Lens
from .given import picture_of
from .readings import likeliest, readings
from .trajectory import readers_of, trajectory_of, units_of

POOL = {"image": 256, "token": 1024, "text": 256}
"""Number of units among which examples are chosen."""
BEFORE = 7
"""How many positions of a text are shown before the one that was chosen."""
SIDE = 128
"""Longest side in pixels of an example's picture."""


def examples(
    network: Network,
    data: Any,
    lens: Lens | Sequence[Lens] | None = None,
    *,
    units: int | None = None,
    seed: int = 0,
    batch: int = DEFAULTS.batch,
) -> Trajectory:
    """The trajectory of up to six units of a data set, chosen by rule; a rule that no unit meets gives none.

    - right early: the final prediction is right, and is the likeliest from the earliest state on;
    - right late: the same, from the latest state on;
    - changed its mind: surest, at any state, of another class than the final one;
    - wrong: surest final prediction that is wrong;
    - random: two by the seed.

    The first three need a reader that fits two states or more.
    Of equal units the first in the seeded order is taken; no unit is taken twice, and no text as long as another one has
    a unit that meets the rule. States are read by their own lenses if there are some, else by the shared one, else by the
    network's own readout.

    Args:
        network: the network.
        data: anything ``itinf.probe`` takes.
        lens: as for ``itinf.trajectory``.
        units: images or tokens to choose from; by default 256 images or 1,024 tokens.
        seed: of the order of the data and of the random choice.
        batch: clusters per forward pass.

    Returns:
        a trajectory whose table has one more column, ``rule``. Of a text it has the position that was chosen, and up to
        seven before it.

    Raises:
        ItinfError: data that the network cannot read, or a lens that does not fit it.
    """
    require_network(network)
    source = as_data(data, network.unit, network.classes, network.name)
    if source.unit != network.unit:
        raise ItinfError(f"{source.name} has {source.unit}s, but {network.name} reads {network.unit}s.")
    order = keyed_order(source, clusters_of(source, units or POOL[network.unit], at_most=True), seed)
    readers = readers_of(network, lens)
    with batch_in_memory(batch):
        top, sure, truth = _looked_through(network, source, order, next(iter(readers.values())), batch)
    chosen = choose(top, sure, truth.flatten(), seed, truth.shape[1])
    if not chosen:
        raise ItinfError(
            f"None of the {len(order)} {source.unit}s of {source.name} has a target. Give data with targets."
        )
    made = _read(network, source, order, readers, [divmod(unit, truth.shape[1]) for _, unit in chosen])
    rules = pd.Series([rule for rule, _ in chosen], dtype=TEXT)
    names = tuple(f"{rule}: {name}" for rule, name in zip(rules, made.names, strict=True))
    table = made.table.assign(rule=rules[made.table["item"]].array)
    return replace(made, table=table, names=names, chosen_from=int((truth != IGNORED).sum()))


def _read(
    network: Network, data: Data, order: Order, readers: dict[str, Lens | None], chosen: Sequence[tuple[int, int]]
) -> Trajectory:
    """The trajectory of some (item, position) of an order, each an item of its own with the positions before it."""
    places = sorted({item for item, _ in chosen})
    items = load_batch(data, order.indices[places], order.keys[places])
    traced = trace(network, items, gradients=False)
    units, width = units_of(traced), traced.targets.shape[1]
    parts = []
    for number, (item, position) in enumerate(chosen):
        first = places.index(item) * width
        parts.append(units.loc[first + max(0, position - BEFORE) : first + position].assign(item=number))
    shown = pd.concat(parts)
    found = readings(traced, readers, torch.tensor(shown.index))
    names = [data.key(int(order.indices[item])) for item, _ in chosen]
    pictures = [picture_of(network, items.inputs[places.index(item)], SIDE) for item, _ in chosen]
    return trajectory_of(traced, found, readers, shown.reset_index(drop=True), names, pictures)


def _looked_through(
    network: Network, data: Data, order: Order, lens: Lens | None, batch: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Likeliest class and its probability at each state, the last of them the network's final one, and the truth.

    Returns:
        (states + 1, U), (states + 1, U) and, for each item and position, (N, P).
    """
    classes, chances, truth = [], [], []
    for piece in groups(len(order), batch):
        part = order.part(piece)
        traced = trace(network, load_batch(data, part.indices, part.keys), gradients=False)
        (top, sure), (final, certain) = likeliest(traced, lens), likeliest(traced, None)
        classes.append(torch.cat([top, final[-1:]]).numpy())
        chances.append(torch.cat([sure, certain[-1:]]).numpy())
        truth.append(traced.targets.cpu().numpy())
    return np.concatenate(classes, axis=1), np.concatenate(chances, axis=1), np.concatenate(truth)


def choose(top: np.ndarray, sure: np.ndarray, truth: np.ndarray, seed: int, width: int = 1) -> list[tuple[str, int]]:
    """Rule and unit of each example.

    Args:
        top: (states + 1, U) the likeliest class at each state, the last of them the network's final class; ``sure``:
            its probability.
        truth: (U,) labels, ``IGNORED`` where there is none: such a unit is never chosen.
        seed: of the random choice.
        width: units in an item.
    """
    final, right = top[-1], top[-1] == truth
    settled = np.logical_and.accumulate((top == truth)[::-1])[::-1]  # right from this state on to the end
    onset = np.where(right, settled.argmax(0), -1)
    deep = len(top) > 2  # one state and the final reading have no early and late
    scores = {
        "right early": np.where(right & deep, len(top) - onset, -1.0),
        "right late": np.where(deep, onset, -1.0),
        "changed its mind": np.where((top != final) & deep, sure, -1.0).max(0),
        "wrong": np.where(right, -1.0, sure[-1]),
        "random": np.random.default_rng(seed).random(len(truth)),
    }
    free, item = truth != IGNORED, np.arange(len(truth)) // width
    fresh = free.copy()
    taken: list[tuple[str, int]] = []
    for rule in RULES:
        for allowed in (fresh, free):
            score = np.where(allowed, scores[rule], -1.0)
            if len(score) and score.max() >= 0:
                unit = int(score.argmax())
                taken.append((rule, unit))
                free[unit], fresh[item == item[unit]] = False, False
                break
    return taken

"""Examples for a trajectory, chosen from a data set by rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from ...data.clusters import clusters_of, keyed_order, load_batch
from ...data.dataset import IGNORED, Batch
from ...data.items import as_data
from ...errors import ItinfError
from ...networks.network import Network, require_network
from ...networks.trace import trace
from ..lens import Lens
from .readings import readings
from .trajectory import LOGIT, Trajectory, readers_of, trajectory

POOL = {"image": 256, "token": 1024, "text": 256}
"""Number of units among which examples are chosen."""
BEFORE = 11
"""How many positions of a text are shown before the one that was chosen."""
RULES = ("right early", "right late", "changed its mind", "wrong", "random", "random")


def examples(
    network: Network, data: Any, lens: Lens | Sequence[Lens] | None = None, *, units: int | None = None, seed: int = 0
) -> Trajectory:
    """The trajectory of up to six units of a data set, chosen by rule; a rule that no unit meets gives none.

    - right early: the final prediction is right, and is the likeliest from the earliest state on;
    - right late: the same, from the latest state on;
    - changed its mind: surest, at any state, of another class than the final one;
    - wrong: surest final prediction that is wrong;
    - random: two by the seed.

    Of equal units the first in the seeded order is taken; no unit is taken twice. States are read by their own lenses if
    there are some, else by the shared one, else by the network's own readout.

    Args:
        network: the network.
        data: anything ``itinf.probe`` takes.
        lens: as for ``itinf.trajectory``.
        units: images or tokens to choose from; by default 256 images or 1,024 tokens.
        seed: of the order of the data and of the random choice.

    Returns:
        a trajectory whose table has one more column, ``rule``. Of a text it has the position that was chosen, and up to
        eleven before it.

    Raises:
        ItinfError: data that the network cannot read, or a lens that does not fit it.
    """
    require_network(network)
    source = as_data(data, network.unit, network.classes, network.name)
    if source.unit != network.unit:
        raise ItinfError(f"{source.name} has {source.unit}s, but {network.name} reads {network.unit}s.")
    order = keyed_order(source, clusters_of(source, units or POOL[network.unit], at_most=True), seed)
    batch = load_batch(source, order.indices, order.keys)
    width = batch.targets[0].numel()
    made: list[Trajectory] = []
    names = []
    for rule, unit in _chosen(network, batch, lens, seed):
        item, position = divmod(unit, width)
        one = slice(item, item + 1)
        whole = trajectory(network, Batch(batch.inputs[one], batch.targets[one], batch.keys[one]), lens)
        table = whole.table[whole.table["position"].between(position - BEFORE, position)]
        made.append(replace(whole, table=table.assign(item=len(made), rule=rule)))
        names.append(f"{rule}: {source.key(int(order.indices[item]))}")
    if not made:
        raise ItinfError(
            f"None of the {len(batch)} {source.unit}s of {source.name} has a target. Give data with targets."
        )
    table = pd.concat([one.table for one in made], ignore_index=True)
    return replace(made[0], table=table, names=tuple(names), pictures=tuple(one.pictures[0] for one in made))


def _chosen(network: Network, batch: Batch, lens: Any, seed: int) -> list[tuple[str, int]]:
    """Rule and unit of each example."""
    readers = readers_of(network, lens)
    first = next(iter(readers))
    traced = trace(network, batch, gradients=False)
    found = readings(traced, {first: readers[first], LOGIT: None})
    read = [reading for reading in found if reading.reader == first]
    last = next(reading for reading in reversed(found) if reading.reader == LOGIT)
    return choose(
        np.stack([reading.classes[:, 0].numpy() for reading in read]),
        np.stack([reading.probabilities[:, 0].numpy() for reading in read]),
        last.classes[:, 0].numpy(),
        last.probabilities[:, 0].numpy(),
        traced.targets.flatten().cpu().numpy(),
        seed,
    )


def choose(
    top: np.ndarray, sure: np.ndarray, final: np.ndarray, certain: np.ndarray, truth: np.ndarray, seed: int
) -> list[tuple[str, int]]:
    """Rule and unit of each example.

    Args:
        top: (states, U) the likeliest class at each state; ``sure``: (states, U) its probability.
        final: (U,) the network's final class; ``certain``: (U,) its probability.
        truth: (U,) labels, ``IGNORED`` where there is none: such a unit is never chosen.
        seed: of the random choice.
    """
    right = final == truth
    settled = np.logical_and.accumulate((top == truth)[::-1])[::-1]  # right from this state on to the end
    onset = np.where(right & settled[-1], settled.argmax(0), -1)
    other = np.where(top != final, sure, -1.0).max(0)
    chance = np.random.default_rng(seed).random(len(truth))
    scores = (
        np.where(onset >= 0, len(top) - onset, -1.0),
        onset.astype(float),
        other,
        np.where(right, -1.0, certain),
        chance,
        chance,
    )
    free = truth != IGNORED
    taken: list[tuple[str, int]] = []
    for rule, score in zip(RULES, scores, strict=True):
        score = np.where(free, score, -1.0)
        unit = int(score.argmax()) if len(score) else -1
        if unit >= 0 and score[unit] >= 0:
            taken.append((rule, unit))
            free[unit] = False
    return taken

"""The pilot: some units, read at all temperatures, show near which temperatures each cell is to be read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from ...data.clusters import Order, units_per_cluster
from ...data.dataset import Batch, Data
from ...networks.network import Network
from ...statistics.bootstrap import poisson_weights
from ..lens import Lens
from .cells import Cell
from .counterfactual import Partners, traced
from .logits import cell_logits
from .scores import TARGETS, KnownUnits, priors_of
from .temperature import BETAS, tempered_losses, window_units

UNITS = 512
"""Units that are read, about: evenly spaced ones of more."""
CLUSTERS = 16
"""Clusters that they come from, at least."""
REPLICATES = 32
"""Replicates, over units, of the choice of a temperature: how uncertain it is."""


def pilot_clusters(data: Data, order: Order) -> tuple[Order, int]:
    """The first clusters of an order, and n where every n-th position is read, so that about ``UNITS`` units are."""
    size = units_per_cluster(data)
    clusters = max(CLUSTERS, -(-UNITS // size))
    return order.part(slice(clusters)), max(1, min(clusters, len(order)) * size // UNITS)


def windows(
    network: Network,
    lens: Lens,
    cells: Sequence[Cell],
    batches: Iterable[Batch],
    seed: int = 0,
    every: int = 1,
    told: Callable[[int], None] | None = None,
    at_once: int | None = None,
) -> Tensor:
    """Around which β every cell is to be read, for each target. The same units may be scored afterwards.

    Args:
        network, lens, cells: whose windows.
        batches: the pilot's clusters.
        seed: of the replicates.
        every: n, to read every n-th position of a cluster.
        told: called with how often a cell has read a unit, again and again.
        at_once: clusters in one forward pass; None for the whole of a batch.

    Returns:
        (targets, cells) float64, see ``window_units``.
    """
    shape = len(TARGETS), len(BETAS), len(cells), 1 + REPLICATES
    total = torch.zeros(shape, dtype=torch.float64, device=network.device)
    priors = priors_of(lens, network.device)
    count = 0
    for batch in batches:
        batch_trace = traced(network, batch, at_once)
        known, partners = KnownUnits(batch_trace, every), Partners.of(batch_trace, cells)
        drawn = poisson_weights(np.arange(count, count + len(known.index), dtype=np.uint64), seed, REPLICATES)
        weights = torch.from_numpy(np.insert(drawn, 0, 1, axis=1).astype(np.float64)).to(network.device)
        count += len(drawn)
        for state_logits in cell_logits(batch_trace, lens.sites, cells, known.index, partners):
            counted = partners.counted([cells[k] for k in state_logits.cells], known.index[state_logits.units])
            at_target, at_prior = known.logits(state_logits), known.log_priors(state_logits, priors)
            for depth, rows in state_logits.pieces():
                z = state_logits.logits[depth, rows]
                for row, prior in enumerate(priors):
                    losses = tempered_losses(z, prior, at_target[row][depth, rows], at_prior[row][rows])
                    losses = losses if counted is None else losses * counted[depth, rows]
                    total[row][:, state_logits.cells[depth]] += losses @ weights[state_logits.units][rows]
            if told is not None:
                told(len(state_logits.cells) * len(state_logits.final))
    return torch.stack([window_units(losses) for losses in total.cpu()])

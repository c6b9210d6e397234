"""How confident one lens for many states should be: one β for all depths, chosen on units that it was not fitted on."""

from __future__ import annotations

from dataclasses import replace

import torch

from ..data.clusters import Order, batches
from ..data.dataset import Data
from ..networks.measuring import evaluating
from ..networks.network import Network
from ..networks.readout import chunks
from ..networks.trace import trace
from .fit_statistics import is_held_out
from .lens import Lens
from .transfer.pilot import pilot_clusters
from .transfer.scores import KnownUnits
from .transfer.temperature import BETAS, best_betas, tempered_losses
from .translator import translated_logits


def at_best_confidence(network: Network, lens: Lens, data: Data, order: Order, batch: int) -> Lens:
    """The lens at the β under which labels are likeliest, on average over all states that it reads.

    A least-squares map for many states is overconfident at the last ones: blocks that help then seem to harm. One β for
    all depths cannot move a gain from one block to another, as a β for each depth could.

    Args:
        network: the network.
        lens: a lens of it at β = 1, with one map for many states.
        data: what it was fitted on; ``order``: the clusters, of which some of those that were held out are read, or
            of all if none was.
        batch: clusters per forward pass.
    """
    held_out = order.part(is_held_out(order.keys))
    clusters, every = pilot_clusters(data, held_out if len(held_out) else order)
    prior = lens.log_prior.to(network.device)
    losses = torch.zeros(len(BETAS), 1, dtype=torch.float64)
    with evaluating(network), torch.no_grad():
        for read in batches(data, clusters, batch):
            batch_trace = trace(network, read, gradients=False)
            known = KnownUnits(batch_trace, every)
            for site, translator in zip(lens.sites, lens.translators, strict=True):
                if translator is None:
                    continue
                state, map_there = network.per_prediction(batch_trace.state(site.id)), translator.on(network.device)
                for part in chunks(len(known.index), len(prior)):
                    z, labels = translated_logits(network, state[known.index[part]], map_there), known.labels[part]
                    of_units = tempered_losses(z[None], prior, z.gather(1, labels[:, None]).T, prior[labels])
                    losses[:, 0] += of_units.sum((1, 2)).cpu()
    return replace(lens, beta=float(best_betas(losses)[0]))

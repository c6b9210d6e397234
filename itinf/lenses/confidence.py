"""How confident one lens for many states should be: one β for all depths, chosen on units that it was not fitted on."""

from __future__ import annotations

from dataclasses import replace

import torch

from ..data.clusters import Order, batches, units_per_cluster
from ..data.dataset import Data
from ..networks.measuring import evaluating
from ..networks.network import Network
from ..networks.readout import chunks
from ..networks.trace import trace
from .fit_statistics import is_held_out
from .lens import Lens
from .transfer.temperature import BETAS, best_betas, tempered_losses
from .translator import translated_logits

UNITS = 512
"""Units that are read, about."""


def at_best_confidence(network: Network, lens: Lens, data: Data, order: Order, batch: int) -> Lens:
    """The lens at the β under which labels are likeliest, on average over all states that it reads.

    A least-squares map for many states is overconfident at the last ones: blocks that help then seem to harm. One β for
    all depths cannot move a gain from one block to another, as a β for each depth could.

    Args:
        network: the network.
        lens: a lens of it at β = 1, with one map for many states.
        data: what it was fitted on; ``order``: the clusters, of which those that were held out are read. If none was, all
            are read.
        batch: clusters per forward pass.
    """
    size = units_per_cluster(data)
    held_out = order.part(is_held_out(order.keys))
    clusters = (held_out if len(held_out) else order).part(slice(max(16, -(-UNITS // size))))
    every = max(1, len(clusters) * size // UNITS)
    losses = torch.zeros(len(BETAS), 1, dtype=torch.float64)
    with evaluating(network), torch.no_grad():
        for read in batches(data, clusters, batch):
            batch_trace = trace(network, read, gradients=False)
            known = batch_trace.known & (torch.arange(batch_trace.known.shape[1]) % every == 0).to(network.device)
            index = known.flatten().nonzero()[:, 0]
            labels = batch_trace.targets.flatten()[index]
            prior = lens.log_prior.to(network.device)
            for site, translator in zip(lens.sites, lens.translators, strict=True):
                if translator is None:
                    continue
                state, map_there = network.per_prediction(batch_trace.state(site.id)), translator.on(network.device)
                for part in chunks(len(index), len(prior)):
                    z = translated_logits(network, state[index[part]], map_there)
                    at_label = z.gather(1, labels[part, None]).T  # (1, R)
                    of_units = tempered_losses(z[None], prior, at_label, prior[labels[part]])
                    losses[:, 0] += of_units.sum((1, 2)).cpu()
    return replace(lens, beta=float(best_betas(losses)[0]))

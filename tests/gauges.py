"""Networks in another basis."""

from __future__ import annotations

import copy

import torch

from itinf import Network, trace
from itinf.networks.gauge import random_change
from itinf.networks.states import segments
from oracles import batch, normal


def regauged(network: Network) -> Network:
    """A copy whose states are in another basis, each segment in its own, and whose logits are the same."""
    changed = copy.deepcopy(network)
    ids = torch.zeros(1, 4, dtype=torch.int64)
    seen = trace(network, batch(ids, ids) if network.unit == "token" else batch(normal(1, 3, 32, 32)), gradients=False)
    numbers, main = segments(seen), [seen.before[0], *seen.after]
    for segment in sorted(set(numbers)):
        states = [n for n, state in enumerate(main) if numbers[state] == segment]
        change = random_change(network.gauge or "", network.width(seen.states[main[states[0]]]), seed=segment)
        with torch.no_grad():
            changed.regauge(changed.model, states, change)
    return changed

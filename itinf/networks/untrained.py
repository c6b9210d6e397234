"""Networks of the same architecture at random initialisation: what the numbers are before training."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..data.clusters import Order, batches, calibration_order
from ..data.dataset import Batch, Data
from ..errors import ItinfError
from .network import Network


def untrained(network: Network, seed: int, calibration: Iterable[Batch]) -> Network:
    """A network like this one, with fresh parameters and BatchNorm statistics of the data.

    Without new statistics an untrained BatchNorm network computes another function in evaluation
    than in training, and its states grow exponentially with depth.

    Args:
        network: the trained one; not changed.
        seed: of the initialisation.
        calibration: batches the BatchNorm statistics are taken from.

    Raises:
        ItinfError: where a module with parameters cannot be reset.
    """
    if network.untrained is not None:
        fresh = network.untrained(seed).to(network.device, network.dtype)
    else:
        fresh = copy.deepcopy(network)
        fresh.weights = f"random:{seed}"
        fresh.model.load_state_dict(_drawn(network, seed))
    fresh = fresh.named(network.name)
    fresh.skips = network.skips  # they follow from the architecture
    fresh.model.eval()
    norms = [m for m in fresh.model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    if norms:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the plain average over batches
            norm.train()
        with torch.no_grad():
            for batch in calibration:
                fresh.forward(fresh.ready(batch.inputs))
        fresh.model.eval()
    return fresh


def fresh(network: Network, seed: int, data: Data, order: Order, group: int) -> Network:
    """``untrained``, with BatchNorm statistics from the calibration clusters of an order, ``group`` clusters at a time.

    Batches are of this fixed size because the statistics must not depend on --batch.
    """
    return untrained(network, seed, batches(data, calibration_order(data, order), group))


def _drawn(network: Network, seed: int) -> dict[str, Tensor]:
    """Fresh parameters, drawn alike for every device and dtype."""
    drawn = copy.deepcopy(network).to("cpu", torch.float32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name, module in drawn.model.named_modules():
            _reset(name, module)
    return drawn.model.state_dict()


def _reset(name: str, module: nn.Module) -> None:
    reset = getattr(module, "reset_parameters", None)
    if callable(reset):
        reset()
    elif any(True for _ in module.parameters(recurse=False)):
        raise ItinfError(
            f"{name or 'the model'} ({type(module).__name__}) has parameters but no reset_parameters(); "
            "give Network(untrained=seed -> Network) to say how this architecture is initialised."
        )

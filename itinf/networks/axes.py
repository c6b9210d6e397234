"""Whether the axes of a network's states are what its layout says, and whether each item's states are its own."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..data.clusters import load_batch
from ..data.dataset import Batch, Data
from ..errors import ItinfError
from .network import Network
from .trace import Trace, trace


def problem_of_axes(network: Network, batch: Batch, whole: Trace) -> str:
    """What is wrong with the axes of the states, or "".

    A trace compares the sizes of batch and time axes with the numbers of clusters and tokens; they may be equal by
    chance. Here the batch also runs without its first cluster: sizes must follow, and the states of the others must
    stay as they were.

    Args:
        network: the network.
        batch: a few clusters; ``whole``: its trace.

    Raises:
        ItinfError: the sizes do not fit (``trace``).
    """
    name, gap = _largest_gap(whole, trace(network, batch, gradients=False), 0)
    if gap > _tolerance(network):
        return (
            f"two passes over the same batch differ at {name} by {gap:.1e} of the largest entry, so the forward pass is "
            "random. Turn its noise off, such as F.dropout without training=self.training."
        )
    if len(batch) > 1:
        others = Batch(batch.inputs[1:], batch.targets[1:], batch.keys[1:])
        name, gap = _largest_gap(whole, trace(network, others, gradients=False), 1)
        if gap > _tolerance(network):
            return (
                f"without the first {'sequence' if network.unit == 'token' else network.unit} of a batch, {name} of the "
                f"others changes by {gap:.1e} of the largest entry, so they are not separate. Is the batch axis of layout "
                f"{network.layout!r} right, and does the model leave batch statistics alone?"
            )
    return _problem_of_channels(network, whole.states[-1][:1])


def require_padding_unseen(network: Network, data: Data) -> None:
    """Requires that padding changes nothing: the states of ids must be those that they have without it.

    Args:
        network: the network; itinf gives it no attention mask.
        data: the data set, after its items have been read; it knows the first padded one.

    Raises:
        ItinfError: the network is not causal, so it would attend to the padding.
    """
    padded = getattr(data, "padded", None)
    if padded is None:
        return
    index, length = padded
    whole = load_batch(data, [index])
    alone = Batch(whole.inputs[:, :length], whole.targets[:, :length], whole.keys)
    states = [trace(network, batch, gradients=False).states[-1][0, :length].double() for batch in (whole, alone)]
    gap = float((states[0] - states[1]).abs().max() / states[1].abs().max().clamp_min(1e-30))
    if gap > (0.05 if network.dtype.itemsize < 4 else 1e-3):
        raise ItinfError(
            f"{network.name} attends to the padding of item {index} of {data.name}: its states differ by {gap:.1e} of the "
            "largest from those without padding. itinf gives a model no attention mask, so padding needs a causal model. "
            "Give sequences without padding."
        )


def _largest_gap(whole: Trace, other: Trace, skipped: int) -> tuple[str, float]:
    """Where two traces of the same clusters differ most, and by how much of the largest entry there.

    ``skipped`` clusters of the first trace are not in the second.
    """
    names = [""] * len(whole.states)
    for block, before, after in zip(whole.network.blocks, whole.before, whole.after, strict=True):
        names[before] = names[before] or f"the state before block {block.name!r}"
        names[after] = f"the state after block {block.name!r}"
    pairs = [*zip(names, whole.states, other.states, strict=True), ("the loss", whole.loss, other.loss)]
    gaps = [(name, _gap(a[skipped:], b)) for name, a, b in pairs]
    return max(gaps, key=lambda entry: entry[1])


def _gap(a: Tensor, b: Tensor) -> float:
    largest = a.abs().max().double().clamp_min(1e-30) if a.numel() else torch.ones((), dtype=torch.float64)
    return float((a - b).abs().max() / largest) if a.numel() else 0.0


def _tolerance(network: Network) -> float:
    """Batches of different sizes are rounded differently; what is wrong changes the leading digits.

    Accelerators may multiply float32 in fewer digits, and differently for every size.
    """
    return max(torch.finfo(network.dtype).eps ** 0.5, 0.0 if network.device.type == "cpu" else 1e-2)


@torch.no_grad()
def _problem_of_channels(network: Network, state: Tensor) -> str:
    """What is wrong with the channel axis, or "": where neck and pool keep channels apart, a channel reaches one number.

    A neck such as LayerNorm mixes channels; then the pool alone shows it.

    Args:
        network: the network.
        state: (1, …) the last state of one item, the batch first.
    """
    if network.unit == "token" or state.ndim < 3:
        return ""
    declared = 1 if network.layout == "n c h w" else state.ndim - 1
    necked = network.necked(state)
    readings = []
    if necked.shape[declared] == state.shape[declared]:  # else the neck mixes channels
        readings.append(lambda x: network.pooled(network.necked(x)))
    if network.neck is not None and necked.shape == state.shape:
        readings.append(network.pooled)
    for reading in readings:
        counts = {axis: _changed(reading, state, axis) for axis in range(1, state.ndim) if state.shape[axis] > 1}
        other = next((axis for axis, count in counts.items() if axis != declared and count == 1), None)
        if other is not None and counts.get(declared, 1) > 1:
            return (
                f"the last state has shape {tuple(state.shape[1:])} and layout {network.layout!r} makes axis {declared} "
                f"its channels, but the pool keeps axis {other} apart. Give the layout that the model has."
            )
    return ""


def _changed(reading: Callable[[Tensor], Tensor], state: Tensor, axis: int) -> int:
    """How many numbers of what is read change with the first index of an axis."""
    changed = state.clone()
    first = changed.select(axis, 0)
    first += first.abs() + 1
    return int((reading(state) != reading(changed)).sum())

"""Nudges: directions in a state that raise the readout of one class there."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..lenses.translator import Tempered, Translator, translated_logits
from ..networks.network import Network
from ..networks.readout import chunks, classes_of, gradient_through
from ..networks.residual import top1

NONE = -1
"""The class of a unit that has none."""


@dataclass(frozen=True)
class Nudges:
    """The nudges of some units at one state, for one class each.

    Attributes:
        direction: (R, …) n, in rows of ``Network.per_prediction``; zero for a unit without a class.
        square: (R,) float64, ⟨d, n⟩ with d = ∂[z_v − mean z]/∂h: n / ⟨d, n⟩ raises the readout by 1, to first order.
    """

    direction: Tensor
    square: Tensor


def seeds(classes: Tensor, number: int, dtype: torch.dtype) -> Tensor:
    """(R, number): the gradient of z_v − mean z at the logits, zero for a unit without a class."""
    seed = torch.full((len(classes), number), -1 / number, dtype=dtype, device=classes.device)
    rows = torch.arange(len(classes), device=classes.device)
    seed[rows, classes.clamp_min(0)] += 1
    return seed * (classes != NONE).unsqueeze(1)


def raising(network: Network, rows: Tensor, translator: Translator | None, classes: Tensor) -> Tensor:
    """(R, D): d = ∂[z_v − mean z]/∂h at rows of a token network's state, read through its own readout or a translator.

    Below a linear head the gradient is known, so logits of all classes are never computed there.
    """
    x = rows.detach().requires_grad_()
    head = network.head
    if isinstance(head, nn.Linear):
        with torch.enable_grad():
            read = network.necked((x if translator is None else translator(x)).to(network.readout_dtype))
        seed = (head.weight[classes] - head.weight.mean(0)).detach().to(read.dtype)
        seed = seed * translator.beta if isinstance(translator, Tempered) else seed
        return gradient_through(network, read, x, seed)
    found, number = torch.empty_like(rows), classes_of(network, rows if translator is None else translator(rows[:1]))
    for part in chunks(len(rows), number):
        with torch.enable_grad():
            z = translated_logits(network, x[part], translator)
        found[part] = gradient_through(network, z, x, seeds(classes[part], number, z.dtype))[part]
    return found


def above_mean(logits: Tensor, classes: Tensor) -> Tensor:
    """(R,) float64: z_v − mean z of logits (R, classes)."""
    z = logits.double()
    return z.gather(1, classes.clamp_min(0).unsqueeze(1)).squeeze(1) - z.mean(1)


def most_probable_wrong(
    network: Network, rows: Tensor, translator: Translator | None, labels: Tensor, number: int
) -> Tensor:
    """(R,): the most probable class other than the label, read at rows of a state."""
    found = torch.empty_like(labels)
    with torch.no_grad():
        for part in chunks(len(rows), number):
            z = translated_logits(network, rows[part], translator).clone()
            found[part] = top1(z.scatter_(1, labels[part].unsqueeze(1), -torch.inf))
    return found


def nudges(
    network: Network, rows: Tensor, translator: Translator | None, classes: Tensor, scale: Tensor | None
) -> list[Nudges]:
    """The nudges of some units, for several classes each.

    Entries of the state that are exactly zero are not nudged. After a ReLU these are the closed ones: no later block would see
    the nudge, and persistence would only tell how many entries are open.

    Args:
        network: the network; its ``evaluating`` is on.
        rows: (R, …) rows of ``Network.per_prediction`` of a state, few enough for their logits to be held.
        translator: to read them through, or None.
        classes: (K, R), or ``NONE``.
        scale: (C,) scales of the channels of the segment for the gauge ``"channel-scale"``, else None.
    """
    x = rows.detach().requires_grad_()
    with torch.enable_grad():
        z = translated_logits(network, x, translator)
    found = []
    for chosen in classes:
        d = gradient_through(network, z, x, seeds(chosen, z.shape[1], z.dtype), retain_graph=True)
        direction = torch.where(x.detach() == 0, 0.0, fixed(network, d, scale))  # a ReLU is closed there
        found.append(Nudges(direction, dots(d, direction)))
    return found


def fixed(network: Network, d: Tensor, scale: Tensor | None) -> Tensor:
    """The direction of a nudge for a gradient ``d`` (R, …), such that effects do not depend on the basis of the state.

    A gradient scales with 1/c where a channel scales with c. So under the gauge ``"channel-scale"`` the direction is
    d·σ², which scales with c; a rotation turns d and states alike. LayerNorm does not see the all-ones vector, along
    which a gradient through a lens may point; that part is removed. Without a gauge the direction is d.
    """
    wide = d.float() if d.element_size() < 4 else d
    channels = 1 if network.layout == "n c h w" else wide.ndim - 1
    if network.gauge == "channel-scale" and scale is not None:
        shape = [1] * wide.ndim
        shape[channels] = -1
        return wide * scale.to(wide.dtype).square().view(shape)
    if network.gauge == "orthogonal-layernorm":
        return wide - wide.mean(channels, keepdim=True)
    return wide


def dots(one: Tensor, other: Tensor) -> Tensor:
    """(R,) float64 dot products of two (R, …)."""
    return (one.double() * other.double()).flatten(1).sum(1)

"""The channel-scale gauge: rewrites the weights of a residual network so that states change, but logits do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from itinf import ItinfError


@dataclass(frozen=True)
class Wiring:
    """The layers that write and read each state of a residual network, in order of depth.

    Attributes:
        writers: state -> layers whose output is added to it (a ReLU or max-pool may follow).
        readers: state -> layers that take it as input.
        carries: block -> number of zero channels that its skip pads on each side. 0 for an identity skip; None for
            a skip with layers, which are then among readers and writers.
    """

    writers: Sequence[Sequence[nn.Module]]
    readers: Sequence[Sequence[nn.Module]]
    carries: Sequence[int | None]

    def segment(self, state: int) -> list[int]:
        """All states that identity skips connect to this state."""
        first = last = state
        while first > 0 and self.carries[first - 1] == 0:
            first -= 1
        while last < len(self.carries) and self.carries[last] == 0:
            last += 1
        return list(range(first, last + 1))

    def spread(self, state: int, change: Tensor) -> dict[int, Tensor]:
        """State -> scale, for all states that change when one state is scaled: skips without layers pass scales on."""
        scales = {state: change}
        for block in range(state, len(self.carries)):
            if (pad := self.carries[block]) is None:
                break
            scales[block + 1] = F.pad(scales[block], (pad, pad), value=1.0)
        for block in reversed(range(state)):
            if (pad := self.carries[block]) is None:
                break
            scales[block] = scales[block + 1][pad : len(scales[block + 1]) - pad]
        return scales

    @torch.no_grad()
    def rescale(self, states: Sequence[int], change: Tensor) -> None:
        """Rewrites the layers so that the states of one segment become change · state, channel by channel.

        In eval mode the logits stay the same, up to rounding. A skip that pads with zeros has no weights that could
        undo the scale; so the segments that it connects are scaled, too, in the channels that they share.

        Args:
            states: all states of one segment.
            change: (width,) positive.

        Raises:
            ItinfError: the states are not one segment, or the change does not fit them.
        """
        known = range(len(self.readers))
        whole = self.segment(states[0]) if states and states[0] in known else []
        if not whole or list(states) != whole:
            segments = [self.segment(s) for s in known if s == 0 or self.carries[s - 1] != 0]
            listed = ", ".join(f"{s[0]}–{s[-1]}" for s in segments)
            raise ItinfError(
                f"States {list(states)} are not one segment; the segments are {listed}. Give one of these."
            )
        width = _inputs(self.readers[states[0]][0])
        if change.shape != (width,) or not bool((change > 0).all()):
            raise ItinfError(
                f"States {states[0]}–{states[-1]} take {width} positive scales; given a tensor of shape "
                f"{tuple(change.shape)}, smallest {change.min().item():.3g}."
            )
        done: set[tuple[Any, int]] = set()  # blocks may share a weight, which is then scaled once
        for state, scale in self.spread(states[0], change).items():
            for layers, scaled in ((self.writers[state], _scale_output), (self.readers[state], _scale_input)):
                for layer in layers:
                    if (scaled, id(layer.weight)) not in done:
                        scaled(layer, scale)
                    done.add((scaled, id(layer.weight)))


def _inputs(layer: nn.Module) -> int:
    weight: Any = layer.weight
    return weight.shape[1] if weight.ndim > 1 else weight.shape[0]


def _scale_output(layer: Any, scale: Tensor) -> None:
    scale = scale.to(layer.weight)
    layer.weight.mul_(scale.reshape(-1, *[1] * (layer.weight.ndim - 1)))
    if layer.bias is not None:
        layer.bias.mul_(scale)


def _scale_input(layer: Any, scale: Tensor) -> None:
    scale = scale.to(layer.weight)
    if layer.weight.ndim == 1:  # a BatchNorm
        # Leave the running variance as it is: else eps would have another effect.
        layer.running_mean.mul_(scale)
        layer.weight.div_(scale)
    else:
        layer.weight.div_(scale.reshape(1, -1, *[1] * (layer.weight.ndim - 2)))

"""ResNets for ImageNet (torchvision's), and the channel rescaling of any residual network of their kind."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from itinf import Block, ItinfError, Network, modules
from itinf.weights import build, random_seed

from .transforms import cropped, imagenet


def resnet18(weights: str | None = None, **options: Any) -> Network:
    """ResNet-18 (He et al. 2016, arXiv 1512.03385): 8 blocks. Options as for ``open_resnet``."""
    return open_resnet("resnet18", models.resnet18, models.ResNet18_Weights.DEFAULT, weights, **options)


def resnet34(weights: str | None = None, **options: Any) -> Network:
    """ResNet-34 (He et al. 2016, arXiv 1512.03385): 16 blocks. Options as for ``open_resnet``."""
    return open_resnet("resnet34", models.resnet34, models.ResNet34_Weights.DEFAULT, weights, **options)


def resnet50(weights: str | None = None, **options: Any) -> Network:
    """ResNet-50 (He et al. 2016, arXiv 1512.03385): 16 bottlenecks. Options as for ``open_resnet``."""
    return open_resnet("resnet50", models.resnet50, models.ResNet50_Weights.DEFAULT, weights, **options)


def resnet101(weights: str | None = None, **options: Any) -> Network:
    """ResNet-101 (He et al. 2016, arXiv 1512.03385): 33 bottlenecks. Options as for ``open_resnet``."""
    return open_resnet("resnet101", models.resnet101, models.ResNet101_Weights.DEFAULT, weights, **options)


def resnet152(weights: str | None = None, **options: Any) -> Network:
    """ResNet-152 (He et al. 2016, arXiv 1512.03385): 50 bottlenecks. Options as for ``open_resnet``."""
    return open_resnet("resnet152", models.resnet152, models.ResNet152_Weights.DEFAULT, weights, **options)


def open_resnet(
    name: str,
    make: Callable[..., ResNet],
    release: models.WeightsEnum,
    weights: str | None,
    *,
    classes: int | None = None,
    in_size: int = 224,
) -> Network:
    """A torchvision ResNet as a network: h_0 after the max-pool, h_l after block l.

    Args:
        name: what to call it.
        make: torchvision's function.
        release: the published weights that ``pretrained`` means.
        weights: ``random[:SEED]``, a file, or ``pretrained``; None is ``random:0``.
        classes: outputs of the head; None keeps ImageNet's 1,000.
        in_size: side of the input in pixels; other than 224, images are resized without a crop.

    Raises:
        ItinfError: ``pretrained`` with ``classes`` or without a way to the file, or a file that
            does not fit.
    """
    require_counts(name, classes=classes, in_size=in_size)
    prepare = imagenet(in_size)
    if weights == "pretrained":
        refuse_classes(name, classes)
        model = build(make, None)
        model.load_state_dict(download(release))
        prepare = cropped(release.transforms()) if in_size == 224 else prepare
    else:
        model = build(lambda: make(num_classes=classes or 1000), weights)
    assert isinstance(model, ResNet)
    return Network(
        model,
        blocks=[Block(path, branch=_last_norm(model.get_submodule(path))) for path in modules(model, _BLOCKS)],
        layout="n c h w",
        head=model.fc,
        pool=lambda h: h.mean((2, 3)),
        gauge="channel-scale",
        regauge=regauge,
        prepare=prepare,
        classes=release.meta["categories"] if classes is None else None,
        untrained=lambda seed: open_resnet(name, make, release, f"random:{seed}", classes=classes, in_size=in_size),
        name=name,
        weights=origin(weights, release),
    )


_BLOCKS = (BasicBlock, Bottleneck)


def _last_norm(block: nn.Module) -> str:
    return "bn3" if isinstance(block, Bottleneck) else "bn2"


def require_counts(name: str, **counts: int | None) -> None:
    """Refuses options that are not whole numbers of at least 1; None passes."""
    for option, given in counts.items():
        if given is not None and (not isinstance(given, int) or given < 1):
            raise ItinfError(f"{name}: {option} is {given!r}; expected a whole number of at least 1.")


def refuse_classes(name: str, classes: int | None) -> None:
    """Refuses another head on published weights."""
    if classes is not None:
        raise ItinfError(
            f"{name}: pretrained weights have ImageNet's head, but classes={classes} was given. "
            "Leave classes out, or give a weight file with a head of that size."
        )


def origin(weights: str | None, release: models.WeightsEnum | None = None) -> str:
    """Where parameters came from, for the record: ``random:SEED``, the file, or the name of the release."""
    seed = random_seed(weights)
    if seed is not None:
        return f"random:{seed}"
    return str(release) if weights == "pretrained" else str(weights)


def download(release: models.WeightsEnum) -> dict[str, Tensor]:
    """Tensors of a torchvision release, from torch's own cache or else from the network.

    Raises:
        ItinfError: the file is neither in the cache nor reachable, or is damaged.
    """
    try:
        with redirect_stdout(sys.stderr):
            return release.get_state_dict(check_hash=True, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ItinfError(
            f"The pretrained weights {release} could not be fetched ({error}). Go online, or download {release.url} "
            f"elsewhere and put it into {torch.hub.get_dir()}/checkpoints or give its path as weights."
        ) from error


@dataclass(frozen=True)
class Wiring:
    """Which layers touch the channels of each state of a residual network, in order of depth.

    Attributes:
        writers: state -> layers whose output is added into it (a ReLU or max-pool may follow).
        readers: state -> layers that take it as input.
        carries: block -> channels of zeros its skip pads on each side; 0 for an identity skip,
            None for one with layers of its own, which are then among readers and writers.
    """

    writers: Sequence[Sequence[nn.Module]]
    readers: Sequence[Sequence[nn.Module]]
    carries: Sequence[int | None]

    def segment(self, state: int) -> list[int]:
        """All states that identity skips join to this one."""
        first = last = state
        while first > 0 and self.carries[first - 1] == 0:
            first -= 1
        while last < len(self.carries) and self.carries[last] == 0:
            last += 1
        return list(range(first, last + 1))

    def spread(self, state: int, change: Tensor) -> dict[int, Tensor]:
        """The scale of every state, once one state is scaled: skips without layers pass it on."""
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

        The logits stay, up to rounding, in eval mode. Skips that pad with zeros have nothing to
        compensate with, so the segments that they join are scaled along where they share channels.

        Args:
            states: every state of one segment.
            change: (width,) positive.

        Raises:
            ItinfError: the states are not one segment, or the change does not fit them.
        """
        known = range(len(self.readers))
        whole = self.segment(states[0]) if states and states[0] in known else []
        if not whole or list(states) != whole:
            segments = [self.segment(s) for s in known if s == 0 or self.carries[s - 1] != 0]
            listed = ", ".join(f"{s[0]}–{s[-1]}" for s in segments)
            raise ItinfError(f"States {list(states)} are not one segment; the segments are {listed}.")
        width = _inputs(self.readers[states[0]][0])
        if change.shape != (width,) or not bool((change > 0).all()):
            raise ItinfError(
                f"States {states[0]}–{states[-1]} take {width} positive scales; given a tensor of shape "
                f"{tuple(change.shape)}, smallest {change.min().item():.3g}."
            )
        for state, scale in self.spread(states[0], change).items():
            for layer in self.writers[state]:
                _scale_output(layer, scale)
            for layer in self.readers[state]:
                _scale_input(layer, scale)


def regauge(model: nn.Module, states: Sequence[int], change: Tensor) -> None:
    """Scales the channels of one segment of a torchvision ResNet in place, see ``Wiring.rescale``."""
    assert isinstance(model, ResNet)
    blocks: list[Any] = [m for m in model.modules() if isinstance(m, _BLOCKS)]
    pairs = [(block, list(block.downsample or ())) for block in blocks]  # skip [conv, norm], or []
    Wiring(
        writers=[[model.bn1], *([block.get_submodule(_last_norm(block)), *skip[1:]] for block, skip in pairs)],
        readers=[*([block.conv1, *skip[:1]] for block, skip in pairs), [model.fc]],
        carries=[None if skip else 0 for _, skip in pairs],
    ).rescale(states, change)


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
        # The running variance stays, or eps would weigh differently.
        layer.running_mean.mul_(scale)
        layer.weight.div_(scale)
    else:
        layer.weight.div_(scale.reshape(1, -1, *[1] * (layer.weight.ndim - 2)))

"""The torch modules of the small ResNets of He et al. 2016, section 4.2, and of their variants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from itinf import ItinfError
from itinf.errors import nearest
from itinf.settings import number, one_of, truth, whole

from .published_weights import require_counts


@dataclass(frozen=True)
class CifarConfig:
    """One member of the family.

    Attributes:
        name: its name in tables and messages.
        blocks: blocks per stage.
        widths: channels of each stage; every change of width halves the resolution.
        stride: stride of the stem.
        activation: ``"post"``: ReLU after the addition (He et al. 2016); ``"pre"``: ReLU before the
            convolutions, with a last BatchNorm and ReLU before the pool (arXiv 1603.05027).
        shortcut: shortcut between stages. ``"A"``: every other pixel, and zeros for the new channels;
            ``"projection"``: a 1 × 1 convolution and BatchNorm.
        residual: False removes every skip, for the plain control.
        share: the last so many blocks of every stage have the same two kernels: one block, applied several times. True
            for all blocks of a stage but the one that changes the width.
        bn: BatchNorms of the blocks that share: each application has its "own", or the same weights and statistics are
            "shared".
        gamma: the weight of the last BatchNorm of every block at initialisation.
        classes: outputs of the head.
        in_size: side of the input in pixels.

    Raises:
        ItinfError: an option has another value than these, or no two blocks can share.
    """

    name: str
    blocks: int
    widths: tuple[int, ...] = (16, 32, 64)
    stride: int = 1
    activation: Literal["post", "pre"] = "post"
    shortcut: Literal["A", "projection"] = "A"
    residual: bool = True
    share: bool | int = False
    bn: Literal["own", "shared"] = "own"
    gamma: float = 1.0
    classes: int = 10
    in_size: int = 32

    def __post_init__(self) -> None:
        require_counts(self.name, blocks=self.blocks, width=self.widths[0], stride=self.stride)
        require_counts(self.name, classes=self.classes, in_size=self.in_size)
        for option, valid in (("activation", ("post", "pre")), ("shortcut", ("A", "projection"))):
            if (value := getattr(self, option)) not in valid:
                raise ItinfError(
                    f"{self.name}: {option} is {value!r}; expected {' or '.join(valid)}. {nearest(str(value), valid)}"
                )
        truth(f"{self.name}: residual", self.residual)
        self._check_sharing()
        if not self.residual and self.shortcut != "A":
            raise ItinfError(f"{self.name} has no skips, but shortcut={self.shortcut!r} was given. Leave it out.")

    def _check_sharing(self) -> None:
        number(f"{self.name}: gamma", self.gamma, 0, "it is the weight of the last BatchNorm of every block")
        one_of(f"{self.name}: bn", self.bn, ("own", "shared"))
        if self.bn == "shared" and not self.share:
            raise ItinfError(f"{self.name}: bn='shared' was given, but no blocks share. Give share=2, or leave bn out.")
        if self.share and self.blocks == 1:
            raise ItinfError(
                f"{self.name} has one block of each width, so share={self.share} has nothing to share. Give more blocks, or "
                "leave it out."
            )
        if not isinstance(self.share, bool):
            most = self.blocks - (len(self.widths) > 1)
            whole(f"{self.name}: share", self.share, 2, "so many blocks of one shape at the end of a stage", most=most)


class PadShortcut(nn.Module):
    """Shortcut A: every other pixel, zeros around the channels; (N, C, H, W) -> (N, C + 2 pad, ⌈H/2⌉, ⌈W/2⌉)."""

    def __init__(self, pad: int) -> None:
        super().__init__()
        self.pad = pad

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad))


class CifarBlock(nn.Module):
    def __init__(self, inputs: int, width: int, shortcut: nn.Module | None) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs if isinstance(self, PreBlock) else width)
        self.conv1 = _conv(inputs, width, 1 if inputs == width else 2)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = shortcut


class PostBlock(CifarBlock):
    """relu(F(x) + skip(x)), where F ends with ``bn2``; without a skip, relu(F(x))."""

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.shortcut is not None:
            out += self.shortcut(x)
        return self.relu(out)


class PreBlock(CifarBlock):
    """F(x) + skip(x), where F starts with BatchNorm and ReLU and ends with ``conv2``; without a skip, F(x)."""

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(self.relu(self.bn1(x)))
        out = self.conv2(self.relu(self.bn2(out)))
        if self.shortcut is not None:
            out += self.shortcut(x)
        return out


class CifarResNet(nn.Module):
    """Stem, stages of blocks, global mean, linear: (N, 3, H, W) -> (N, classes).

    Modules are named as in the usual checkpoints: ``conv1``, ``bn1``,
    ``layer{1,2,3}.{i}.{conv1,bn1,conv2,bn2}``, ``linear``. In the pre-activation form, the stem is
    only ``conv1``, and ``bn`` is the last BatchNorm.
    """

    def __init__(self, form: CifarConfig) -> None:
        super().__init__()
        pre = form.activation == "pre"
        block = PreBlock if pre else PostBlock
        width = form.widths[0]
        self.conv1 = _conv(3, width, form.stride)
        self.bn1 = None if pre else nn.BatchNorm2d(width)
        self.stages = [f"layer{k}" for k in range(1, len(form.widths) + 1)]
        for name, outputs in zip(self.stages, form.widths, strict=True):
            inputs = [width, *[outputs] * (form.blocks - 1)]
            blocks = [block(n, outputs, _shortcut(form, n, outputs)) for n in inputs]
            if form.share:
                alike = [b for b in blocks if b.conv1.in_channels == outputs]
                _share(alike if form.share is True else alike[-form.share :], form.bn == "shared")
            self.add_module(name, nn.Sequential(*blocks))
            width = outputs
        self.bn = nn.BatchNorm2d(width) if pre else None
        self.relu = nn.ReLU(inplace=True)
        self.linear = nn.Linear(width, form.classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)
            if isinstance(module, CifarBlock):
                nn.init.constant_(module.bn2.weight, form.gamma)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        if self.bn1 is not None:
            x = self.relu(self.bn1(x))
        for name in self.stages:
            x = self.get_submodule(name)(x)
        if self.bn is not None:
            x = self.relu(self.bn(x))
        return self.linear(x.mean((2, 3)))


def _share(blocks: Sequence[CifarBlock], norms: bool) -> None:
    """Gives all blocks the kernels, or also the BatchNorms, of the first. The blocks stay apart, so that each has its hook."""
    first = blocks[0]
    for block in blocks[1:]:
        block.conv1.weight, block.conv2.weight = first.conv1.weight, first.conv2.weight
        if norms:
            block.bn1, block.bn2 = first.bn1, first.bn2


def _conv(inputs: int, width: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, width, 3, stride, padding=1, bias=False)


def _shortcut(form: CifarConfig, inputs: int, width: int) -> nn.Module | None:
    if not form.residual:
        return None
    if inputs == width:
        return nn.Identity()
    if form.shortcut == "A":
        return PadShortcut((width - inputs) // 2)
    return nn.Sequential(nn.Conv2d(inputs, width, 1, 2, bias=False), nn.BatchNorm2d(width))

"""The small ResNets of He et al. 2016, section 4.2, with the variants that studies of depth compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from itinf import Block, ItinfError, Network, modules
from itinf.errors import nearest
from itinf.weights import build

from .resnet import Wiring, origin, require_counts
from .transforms import whole

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True)
class Form:
    """One member of the family.

    Attributes:
        name: what it is called in tables and messages.
        blocks: per stage.
        widths: channels of each stage; every change of width halves the resolution.
        stride: of the stem.
        activation: ``"post"``, ReLU after the addition (He et al. 2016), or ``"pre"``, before the
            convolutions, with a last BatchNorm and ReLU before the pool (arXiv 1603.05027).
        shortcut: between stages ``"A"``, every other pixel and zeros for the new channels, or
            ``"projection"``, a 1 × 1 convolution and BatchNorm.
        residual: False removes every skip, the plain control.
        classes: outputs of the head.
        in_size: side of the input in pixels.

    Raises:
        ItinfError: an unknown activation or shortcut, or a number below 1.
    """

    name: str
    blocks: int
    widths: tuple[int, ...] = (16, 32, 64)
    stride: int = 1
    activation: Literal["post", "pre"] = "post"
    shortcut: Literal["A", "projection"] = "A"
    residual: bool = True
    classes: int = 10
    in_size: int = 32

    def __post_init__(self) -> None:
        require_counts(self.name, blocks=self.blocks, width=self.widths[0], stride=self.stride)
        require_counts(self.name, classes=self.classes, in_size=self.in_size)
        for option, valid in (("activation", ("post", "pre")), ("shortcut", ("A", "projection"))):
            if (given := getattr(self, option)) not in valid:
                raise ItinfError(f"{self.name}: {option} is {given!r}. {nearest(str(given), valid)}")
        if not self.residual and self.shortcut != "A":
            raise ItinfError(f"{self.name} has no skips, but shortcut={self.shortcut!r} was given. Leave it out.")


class PadShortcut(nn.Module):
    """Option A: every other pixel, zeros around the channels; (N, C, H, W) -> (N, C + 2 pad, ⌈H/2⌉, ⌈W/2⌉)."""

    def __init__(self, pad: int) -> None:
        super().__init__()
        self.pad = pad

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad))


class _Block(nn.Module):
    def __init__(self, inputs: int, width: int, shortcut: nn.Module | None) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs if isinstance(self, PreBlock) else width)
        self.conv1 = _conv(inputs, width, 1 if inputs == width else 2)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = shortcut


class PostBlock(_Block):
    """relu(F(x) + skip(x)), F ending in ``bn2``; without a skip relu(F(x))."""

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.shortcut is not None:
            out += self.shortcut(x)
        return self.relu(out)


class PreBlock(_Block):
    """F(x) + skip(x), F starting with BatchNorm and ReLU and ending in ``conv2``; without a skip F(x)."""

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(self.relu(self.bn1(x)))
        out = self.conv2(self.relu(self.bn2(out)))
        if self.shortcut is not None:
            out += self.shortcut(x)
        return out


class CifarResNet(nn.Module):
    """Stem, stages of blocks, global mean, linear: (N, 3, H, W) -> (N, classes).

    Modules are named as in the usual checkpoints: ``conv1``, ``bn1``,
    ``layer{1,2,3}.{i}.{conv1,bn1,conv2,bn2}``, ``linear``. In the pre-activation form the stem is
    ``conv1`` alone and ``bn`` is the last BatchNorm.
    """

    def __init__(self, form: Form) -> None:
        super().__init__()
        pre = form.activation == "pre"
        block = PreBlock if pre else PostBlock
        width = form.widths[0]
        self.conv1 = _conv(3, width, form.stride)
        self.bn1 = None if pre else nn.BatchNorm2d(width)
        self.stages = [f"layer{k}" for k in range(1, len(form.widths) + 1)]
        for name, outputs in zip(self.stages, form.widths, strict=True):
            inputs = [width, *[outputs] * (form.blocks - 1)]
            self.add_module(name, nn.Sequential(*(block(n, outputs, _shortcut(form, n, outputs)) for n in inputs)))
            width = outputs
        self.bn = nn.BatchNorm2d(width) if pre else None
        self.relu = nn.ReLU(inplace=True)
        self.linear = nn.Linear(width, form.classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        if self.bn1 is not None:
            x = self.relu(self.bn1(x))
        for name in self.stages:
            x = self.get_submodule(name)(x)
        if self.bn is not None:
            x = self.relu(self.bn(x))
        return self.linear(x.mean((2, 3)))


def cifar_resnet(weights: str | None = None, depth: int = 20, **options: Any) -> Network:
    """ResNet for 32-pixel images (He et al. 2016, arXiv 1512.03385, section 4.2), of any depth 6n + 2.

    h_0 is the stem's output, h_l that of block l.

    Args:
        weights: ``random[:SEED]`` or a file; None is ``random:0``.
        depth: layers with weights, 6n + 2 for 3 stages of n blocks: 20, 32, 44, 56, 110 …
        **options: ``activation``, ``shortcut``, ``residual``, ``classes``, ``in_size``, see ``Form``.

    Raises:
        ItinfError: a depth between two members, an option, or a file that does not fit.
    """
    allowed = ("activation", "shortcut", "residual", "classes", "in_size")
    return _member("cifar-resnet", weights, depth, options, allowed)


def cifar_resnet20(weights: str | None = None, **options: Any) -> Network:
    """ResNet-20 for 32-pixel images: 9 blocks, 0.27 M parameters. Options as for ``cifar_resnet``."""
    return cifar_resnet(weights, 20, **options)


def cifar_resnet32(weights: str | None = None, **options: Any) -> Network:
    """ResNet-32 for 32-pixel images: 15 blocks, 0.46 M parameters. Options as for ``cifar_resnet``."""
    return cifar_resnet(weights, 32, **options)


def cifar_resnet44(weights: str | None = None, **options: Any) -> Network:
    """ResNet-44 for 32-pixel images: 21 blocks, 0.66 M parameters. Options as for ``cifar_resnet``."""
    return cifar_resnet(weights, 44, **options)


def cifar_resnet56(weights: str | None = None, **options: Any) -> Network:
    """ResNet-56 for 32-pixel images: 27 blocks, 0.85 M parameters. Options as for ``cifar_resnet``."""
    return cifar_resnet(weights, 56, **options)


def cifar_resnet110(weights: str | None = None, **options: Any) -> Network:
    """ResNet-110 for 32-pixel images: 54 blocks, 1.7 M parameters. Options as for ``cifar_resnet``."""
    return cifar_resnet(weights, 110, **options)


def cifar_preresnet(weights: str | None = None, depth: int = 20, **options: Any) -> Network:
    """Pre-activation ResNet for 32-pixel images (He et al. 2016b, arXiv 1603.05027), of any depth 6n + 2.

    The last BatchNorm and ReLU are the network's neck. Options: ``shortcut``, ``residual``, ``classes``, ``in_size``.
    """
    allowed = ("shortcut", "residual", "classes", "in_size")
    return _member("cifar-preresnet", weights, depth, options, allowed, activation="pre")


def cifar_plain(weights: str | None = None, depth: int = 20, **options: Any) -> Network:
    """The same layers without skips, the plain networks of He et al. 2016, of any depth 6n + 2.

    Options: ``activation``, ``classes``, ``in_size``.
    """
    return _member("cifar-plain", weights, depth, options, ("activation", "classes", "in_size"), residual=False)


def cifar_isotropic(
    weights: str | None = None, depth: int | None = None, *, blocks: int | None = None, width: int = 32, **options: Any
) -> Network:
    """ResNet of one width and resolution (the "single representation" of Jastrzębski et al. 2018, arXiv 1710.04773).

    Args:
        weights: ``random[:SEED]`` or a file; None is ``random:0``.
        depth: layers with weights, 2 · blocks + 2.
        blocks: the other way to say how deep; 10 where neither is given.
        width: channels of every state.
        **options: ``stride`` of the stem (default 2: 16 × 16 states from 32 pixels),
            ``activation``, ``residual``, ``classes``, ``in_size``, see ``Form``.

    Raises:
        ItinfError: an odd depth, both depth and blocks, an option, or a file that does not fit.
    """
    family = "cifar-isotropic" if options.get("residual", True) else "cifar-isotropic-plain"
    if depth is not None and blocks is not None:
        raise ItinfError(f"{family}: depth={depth} and blocks={blocks} were given. Give one; depth = 2 · blocks + 2.")
    if depth is None:
        blocks = 10 if blocks is None else blocks
        require_counts(family, blocks=blocks)
        depth = 2 * blocks + 2
    allowed = ("stride", "activation", "residual", "classes", "in_size")
    return _member(family, weights, depth, {"stride": 2} | options, allowed, widths=(width,))


def cifar_isotropic_plain(weights: str | None = None, depth: int | None = None, **options: Any) -> Network:
    """The isotropic network's layers without skips. Arguments as for ``cifar_isotropic``."""
    return cifar_isotropic(weights, depth, **options | {"residual": False})


def regauge(model: nn.Module, states: Sequence[int], change: Tensor) -> None:
    """Scales the channels of one segment of a ``CifarResNet`` with skips in place, see ``Wiring.rescale``."""
    assert isinstance(model, CifarResNet)
    blocks: list[Any] = [m for m in model.modules() if isinstance(m, _Block)]
    pairs = [(b, list(b.shortcut.children())) for b in blocks]  # skip [conv, norm], or []
    pre = model.bn is not None
    Wiring(
        writers=[[model.bn1 or model.conv1], *([b.conv2 if pre else b.bn2, *skip[1:]] for b, skip in pairs)],
        readers=[*([b.bn1 if pre else b.conv1, *skip[:1]] for b, skip in pairs), [model.bn or model.linear]],
        carries=[None if skip else getattr(b.shortcut, "pad", 0) for b, skip in pairs],
    ).rescale(states, change)


def _open(form: Form, weights: str | None) -> Network:
    if weights == "pretrained":
        raise ItinfError(
            f"{form.name} has no published weights. Give a .safetensors, .pt or .pth file, or random[:SEED]."
        )
    model = build(lambda: CifarResNet(form), weights)
    assert isinstance(model, CifarResNet)
    branch = "bn2" if form.activation == "post" else "conv2"
    return Network(
        model,
        blocks=[Block(path, branch if form.residual else None) for path in modules(model, _Block)],
        layout="n c h w",
        head=model.linear,
        pool=lambda h: h.mean((2, 3)),
        neck=None if model.bn is None else nn.Sequential(model.bn, model.relu),
        gauge="channel-scale" if form.residual else None,
        regauge=regauge if form.residual else None,
        prepare=partial(whole, side=form.in_size),
        classes=CIFAR10 if form.classes == 10 else None,
        untrained=lambda seed: _open(form, f"random:{seed}"),
        name=form.name,
        weights=origin(weights),
    )


def _member(
    family: str, weights: str | None, depth: int, options: dict[str, Any], allowed: Sequence[str], **fixed: Any
) -> Network:
    unknown = [option for option in options if option not in allowed]
    if unknown:
        raise ItinfError(f"{family} has no option {unknown[0]!r}. {nearest(unknown[0], allowed)}")
    stages = len(fixed.get("widths", Form.widths))
    return _open(Form(f"{family}{depth}", _blocks(family, depth, 2 * stages), **options, **fixed), weights)


def _blocks(family: str, depth: int, step: int) -> int:
    require_counts(family, depth=depth)
    blocks = max(1, (depth - 2) // step)
    if depth != step * blocks + 2:
        near = [step * n + 2 for n in (blocks, blocks + 1) if depth > step or n == 1]
        nearby = " and ".join(map(str, near))
        raise ItinfError(f"There is no {family} of depth {depth}; depths are {step}n + 2. Nearest: {nearby}.")
    return blocks


def _conv(inputs: int, width: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, width, 3, stride, padding=1, bias=False)


def _shortcut(form: Form, inputs: int, width: int) -> nn.Module | None:
    if not form.residual:
        return None
    if inputs == width:
        return nn.Identity()
    if form.shortcut == "A":
        return PadShortcut((width - inputs) // 2)
    return nn.Sequential(nn.Conv2d(inputs, width, 1, 2, bias=False), nn.BatchNorm2d(width))

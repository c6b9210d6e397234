"""The small ResNets of He et al. 2016, section 4.2, and their variants: pre-activation, plain, isotropic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from itinf import Block, ItinfError, Network, modules
from itinf.errors import nearest
from itinf.networks.weights import build

from .cifar_model import CifarBlock, CifarConfig, CifarResNet
from .gauge import Wiring
from .normalisation import normalisation
from .published_weights import named_outputs, require_counts
from .transforms import Prepare

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


SHARING = ("share", "bn", "gamma")
"""Options on what blocks share, and their start."""


def cifar_resnet(weights: str | None = None, depth: int = 20, **options: Any) -> Network:
    """ResNet for 32-pixel images (He et al. 2016, arXiv 1512.03385, section 4.2), of any depth 6n + 2.

    h_0 is the output of the stem, h_l the output of block l.

    Args:
        weights: ``random[:SEED]`` or a file; None is ``random:0``.
        depth: number of layers with weights, 6n + 2 for 3 stages of n blocks: 20, 32, 44, 56, 110 …
        **options: ``activation``, ``shortcut``, ``residual``, ``share``, ``bn``, ``gamma``, ``classes``, ``in_size``, see ``CifarConfig``; ``classes``
            may also be the names of the outputs, a list or a file with one name per line; ``mean`` and ``std`` of the
            input's channels, see ``vision.normalisation``.

    Raises:
        ItinfError: the depth is not 6n + 2, an option is unknown or wrong, or the file does not fit.
    """
    allowed = ("activation", "shortcut", "residual", *SHARING, "classes", "in_size")
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

    The last BatchNorm and ReLU are the network's neck. Options: ``shortcut``, ``residual``, ``share``, ``bn``, ``gamma``, ``classes``,
    ``in_size``.
    """
    allowed = ("shortcut", "residual", *SHARING, "classes", "in_size")
    return _member("cifar-preresnet", weights, depth, options, allowed, activation="pre")


def cifar_plain(weights: str | None = None, depth: int = 20, **options: Any) -> Network:
    """The same layers without skips, the plain networks of He et al. 2016, of any depth 6n + 2.

    Options: ``activation``, ``share``, ``bn``, ``gamma``, ``classes``, ``in_size``.
    """
    allowed = ("activation", *SHARING, "classes", "in_size")
    return _member("cifar-plain", weights, depth, options, allowed, residual=False)


def cifar_isotropic(
    weights: str | None = None, depth: int | None = None, *, blocks: int | None = None, width: int = 32, **options: Any
) -> Network:
    """ResNet of one width and resolution (the "single representation" of Jastrzębski et al. 2018, arXiv 1710.04773).

    Args:
        weights: ``random[:SEED]`` or a file; None is ``random:0``.
        depth: number of layers with weights, 2 · blocks + 2.
        blocks: number of blocks, instead of ``depth``; 10 if neither is given.
        width: channels of every state.
        **options: ``stride`` of the stem (default 2: 16 × 16 states from 32 pixels),
            ``activation``, ``residual``, ``share``, ``bn``, ``gamma``, ``classes``, ``in_size``, see ``CifarConfig``.

    Raises:
        ItinfError: the depth is odd, both depth and blocks are given, an option is unknown or wrong, or the file
            does not fit.
    """
    family = "cifar-isotropic" if options.get("residual", True) else "cifar-isotropic-plain"
    if depth is not None and blocks is not None:
        raise ItinfError(f"{family}: depth={depth} and blocks={blocks} were given. Give one; depth = 2 · blocks + 2.")
    if depth is None:
        blocks = 10 if blocks is None else blocks
        require_counts(family, blocks=blocks)
        depth = 2 * blocks + 2
    allowed = ("stride", "activation", "residual", *SHARING, "classes", "in_size")
    return _member(family, weights, depth, {"stride": 2} | options, allowed, widths=(width,))


def cifar_isotropic_plain(weights: str | None = None, depth: int | None = None, **options: Any) -> Network:
    """The layers of the isotropic ResNet without skips. Arguments as for ``cifar_isotropic``."""
    return cifar_isotropic(weights, depth, **options | {"residual": False})


def regauge(model: nn.Module, states: Sequence[int], change: Tensor) -> None:
    """Scales in place the channels of one segment of a ``CifarResNet`` with skips, see ``Wiring.rescale``."""
    assert isinstance(model, CifarResNet)
    blocks: list[Any] = [m for m in model.modules() if isinstance(m, CifarBlock)]
    pairs = [(b, list(b.shortcut.children())) for b in blocks]  # skip [conv, norm], or []
    pre = model.bn is not None
    Wiring(
        writers=[[model.bn1 or model.conv1], *([b.conv2 if pre else b.bn2, *skip[1:]] for b, skip in pairs)],
        readers=[*([b.bn1 if pre else b.conv1, *skip[:1]] for b, skip in pairs), [model.bn or model.linear]],
        carries=[None if skip else getattr(b.shortcut, "pad", 0) for b, skip in pairs],
    ).rescale(states, change)


def _open(form: CifarConfig, weights: str | None, prepare: Prepare, names: Sequence[str] | None) -> Network:
    if weights == "pretrained":
        raise ItinfError(f"{form.name} has no published weights. Give a weight file, or random[:SEED].")
    model, origin = build(lambda: CifarResNet(form), weights)
    assert isinstance(model, CifarResNet)
    branch = "bn2" if form.activation == "post" else "conv2"
    return Network(
        model.eval(),
        blocks=[Block(path, branch if form.residual else None) for path in modules(model, CifarBlock)],
        layout="n c h w",
        head=model.linear,
        pool=lambda h: h.mean((2, 3)),
        neck=None if model.bn is None else nn.Sequential(model.bn, model.relu),
        gauge="channel-scale" if form.residual else None,
        regauge=regauge if form.residual else None,
        prepare=prepare,
        classes=names,
        untrained=lambda seed: _open(form, f"random:{seed}", prepare, names),
        name=form.name,
        weights=origin,
    )


def _member(
    family: str, weights: str | None, depth: int, options: dict[str, Any], allowed: Sequence[str], **fixed: Any
) -> Network:
    allowed = (*allowed, "mean", "std")
    unknown = [option for option in options if option not in allowed]
    if unknown:
        raise ItinfError(f"{family} has no option {unknown[0]!r}. {nearest(unknown[0], allowed)}")
    look = normalisation(family, weights, options.get("mean"), options.get("std"))
    chosen = {option: value for option, value in options.items() if option not in ("mean", "std")}
    names: Sequence[str] | None = None
    if "classes" in chosen:
        chosen["classes"], names = named_outputs(family, chosen["classes"])
    stages = len(fixed.get("widths", CifarConfig.widths))
    form = CifarConfig(f"{family}{depth}", _blocks(family, depth, 2 * stages), **chosen, **fixed)
    names = names or (CIFAR10 if form.classes == 10 else None)
    return _open(form, weights, Prepare(form.in_size, look), names)


def _blocks(family: str, depth: int, step: int) -> int:
    require_counts(family, depth=depth)
    blocks = max(1, (depth - 2) // step)
    if depth != step * blocks + 2:
        near = [step * n + 2 for n in (blocks, blocks + 1) if depth > step or n == 1]
        nearby = " and ".join(map(str, near))
        raise ItinfError(f"There is no {family} of depth {depth}; depths are {step}n + 2. Nearest: {nearby}.")
    return blocks

"""ResNets for ImageNet, from torchvision, and the rescaling of their channels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn
from torchvision import models
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from itinf import Block, ItinfError, Network, modules
from itinf.errors import nearest
from itinf.networks.weights import build

from .gauge import Wiring
from .normalisation import normalisation
from .published_weights import is_release, named_outputs, published_file, require_counts
from .transforms import imagenet


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
    classes: int | str | Sequence[str] | None = None,
    in_size: int = 224,
    mean: Any = None,
    std: Any = None,
    **unknown: Any,
) -> Network:
    """A torchvision ResNet as a network: h_0 is the state after the max-pool, h_l the state after block l.

    Args:
        name: name of the network.
        make: torchvision's function.
        release: the published weights that ``pretrained`` loads.
        weights: ``random[:SEED]``, a file, or ``pretrained``; None is ``random:0``.
        classes: outputs of the head, or their names in order: a list, or a file with one name per line; None keeps the 1,000
            classes of ImageNet.
        in_size: side of the input in pixels; if it is not 224, images are resized without a crop.
        mean, std: of the input's channels, see ``vision.normalisation``.

    Raises:
        ItinfError: an option is unknown or wrong, ``pretrained`` is given with a number of ``classes``, the file cannot be
            downloaded, or it does not fit.
    """
    if unknown:
        known = ("classes", "in_size", "mean", "std")
        raise ItinfError(f"{name} has no option {min(unknown)!r}. {nearest(min(unknown), known)}")
    outputs, names = named_outputs(name, classes)
    require_counts(name, classes=outputs, in_size=in_size)
    file = published_file(name, weights, release, outputs, names)
    model, origin = build(lambda: make(num_classes=outputs or 1000), file)
    assert isinstance(model, ResNet)
    released = is_release(file, release)
    look = normalisation(name, file, mean, std, release if released else None)
    return Network(
        model.eval(),
        blocks=[Block(path, branch=_last_norm(model.get_submodule(path))) for path in modules(model, _BLOCKS)],
        layout="n c h w",
        head=model.fc,
        pool=lambda h: h.mean((2, 3)),
        gauge="channel-scale",
        regauge=regauge,
        prepare=imagenet(in_size, look, release if released else None),
        classes=release.meta["categories"] if classes is None else names,
        untrained=lambda seed: open_resnet(
            name, make, release, f"random:{seed}", classes=classes, in_size=in_size, mean=look.mean, std=look.std
        ),
        name=name,
        weights=str(release) if weights == "pretrained" else origin,
    )


_BLOCKS = (BasicBlock, Bottleneck)


def _last_norm(block: nn.Module) -> str:
    return "bn3" if isinstance(block, Bottleneck) else "bn2"


def regauge(model: nn.Module, states: Sequence[int], change: Tensor) -> None:
    """Scales in place the channels of one segment of a torchvision ResNet, see ``Wiring.rescale``."""
    assert isinstance(model, ResNet)
    blocks: list[Any] = [m for m in model.modules() if isinstance(m, _BLOCKS)]
    pairs = [(block, list(block.downsample or ())) for block in blocks]  # skip [conv, norm], or []
    Wiring(
        writers=[[model.bn1], *([block.get_submodule(_last_norm(block)), *skip[1:]] for block, skip in pairs)],
        readers=[*([block.conv1, *skip[:1]] for block, skip in pairs), [model.fc]],
        carries=[None if skip else 0 for _, skip in pairs],
    ).rescale(states, change)

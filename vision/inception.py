"""Inception v1: torchvision's GoogLeNet without its auxiliary heads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torchvision.models import GoogLeNet_Weights
from torchvision.models.googlenet import GoogLeNet, Inception

from itinf import Block, Network, modules
from itinf.networks.weights import build, random_seed, read_weights

from .normalisation import normalisation
from .published_weights import download, named_outputs, origin, refuse_classes, require_counts
from .transforms import imagenet

RELEASE = GoogLeNet_Weights.DEFAULT


def googlenet(
    weights: str | None = None,
    *,
    classes: int | str | Sequence[str] | None = None,
    in_size: int = 224,
    transform_input: bool | None = None,
    mean: Any = None,
    std: Any = None,
) -> Network:
    """Inception v1 (Szegedy et al. 2015, arXiv 1409.4842): 9 Inception modules, max-pools as bridges.

    The network has no skips, so its depths share no basis: ``gauge`` is None.

    Args:
        weights: ``random[:SEED]``, a file (auxiliary heads in it are ignored), or ``pretrained``; None is ``random:0``.
        classes: outputs of the head, or their names in order: a list, or a file with one name per line; None keeps the 1,000
            classes of ImageNet.
        in_size: side of the input in pixels; if it is not 224, images are resized without a crop.
        transform_input: True if the model converts its input from ImageNet's normalisation to 2x − 1, as the release
            of torchvision needs. None: True for that release (``pretrained``, or its file under the original name),
            else False.
        mean, std: of the input's channels, see ``vision.normalisation``.

    Raises:
        ItinfError: ``pretrained`` is given with a number of ``classes``, the file cannot be downloaded, or it does not fit.
    """
    outputs, names = named_outputs("googlenet", classes)
    require_counts("googlenet", classes=outputs, in_size=in_size)
    look = normalisation("googlenet", weights, mean, std, RELEASE)
    released = weights == "pretrained"
    if released:
        refuse_classes("googlenet", outputs, names)
    if transform_input is None:
        transform_input = released or (weights is not None and Path(weights).name == Path(RELEASE.url).name)
    model = _model(weights, outputs or 1000, transform_input)
    return Network(
        model,
        blocks=[Block(path) for path in modules(model, Inception)],
        layout="n c h w",
        head=model.fc,
        pool=lambda h: h.mean((2, 3)),
        prepare=imagenet(in_size, look, RELEASE if released else None),
        classes=RELEASE.meta["categories"] if classes is None else names,
        untrained=lambda seed: googlenet(
            f"random:{seed}",
            classes=classes,
            in_size=in_size,
            transform_input=transform_input,
            mean=look.mean,
            std=look.std,
        ),
        name="googlenet",
        weights=origin(weights, RELEASE),
    )


def _model(weights: str | None, outputs: int, transform_input: bool) -> GoogLeNet:
    """The model without its auxiliary heads."""
    released = weights == "pretrained"
    heads = released or _has_heads(weights)

    def make() -> GoogLeNet:
        return GoogLeNet(num_classes=outputs, aux_logits=heads, transform_input=transform_input, init_weights=False)

    model = build(make, None if released else weights)
    assert isinstance(model, GoogLeNet)
    if released:
        model.load_state_dict(download(RELEASE))
    model.aux_logits = False
    model.aux1 = model.aux2 = None
    return model


def _has_heads(weights: str | None) -> bool:
    if weights is None or random_seed(weights) is not None:
        return False
    return any(key.startswith(("aux1.", "aux2.")) for key in read_weights(Path(weights)))

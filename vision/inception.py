"""Inception v1: torchvision's GoogLeNet without its auxiliary heads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torchvision.models import GoogLeNet_Weights
from torchvision.models.googlenet import GoogLeNet, Inception

from itinf import Block, ItinfError, Network, modules
from itinf.networks.weights import build, random_seed
from itinf.settings import truth

from .normalisation import normalisation
from .published_weights import is_release, named_outputs, published_file, require_counts
from .transforms import imagenet

RELEASE = GoogLeNet_Weights.DEFAULT
UNSAID = (
    "googlenet: {} does not say whether its network converts the input. Give transform_input=true (to 2x − 1, as the "
    "release of torchvision) or transform_input=false (ImageNet's normalisation as it is)."
)


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
            of torchvision needs. None: True for that release (``pretrained``, or its file under any name), False for
            random weights. No other file says which it needs, so it has to be given.
        mean, std: of the input's channels, see ``vision.normalisation``.

    Raises:
        ItinfError: ``pretrained`` is given with a number of ``classes``, the file cannot be downloaded, or it does not
            fit; ``transform_input`` is missing.
    """
    outputs, names = named_outputs("googlenet", classes)
    require_counts("googlenet", classes=outputs, in_size=in_size)
    file = published_file("googlenet", weights, RELEASE, outputs, names)
    model, origin = build(lambda: _model(outputs), file, ignored=("aux1.", "aux2."))
    assert isinstance(model, GoogLeNet)
    released, from_file = is_release(file, RELEASE), random_seed(file) is None
    look = normalisation("googlenet", file, mean, std, RELEASE if released else None)
    model.transform_input = transform_input = _converts(transform_input, str(weights), released, from_file)
    if from_file:
        origin = str(RELEASE) if weights == "pretrained" else f"{origin} (transform_input={transform_input})"
    return Network(
        model.eval(),
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
        weights=origin,
    )


def _converts(option: bool | None, weights: str, released: bool, from_file: bool) -> bool:
    """Whether the model converts its input: the option, or what is known of the weights."""
    if option is not None:
        truth("googlenet: transform_input", option)
        return option
    if from_file and not released:
        raise ItinfError(UNSAID.format(weights))
    return released


def _model(outputs: int | None) -> GoogLeNet:
    return GoogLeNet(num_classes=outputs or 1000, aux_logits=False, init_weights=False)

"""Inception v1: torchvision's GoogLeNet without its auxiliary heads."""

from __future__ import annotations

from pathlib import Path

from torchvision.models import GoogLeNet_Weights
from torchvision.models.googlenet import GoogLeNet, Inception

from itinf import Block, Network, modules
from itinf.networks.weights import build, random_seed, read_weights
from itinf.settings import truth

from .published_weights import download, origin, refuse_classes, require_counts
from .transforms import cropped, imagenet

RELEASE = GoogLeNet_Weights.DEFAULT


def googlenet(
    weights: str | None = None,
    *,
    classes: int | None = None,
    in_size: int = 224,
    transform_input: bool | None = None,
) -> Network:
    """Inception v1 (Szegedy et al. 2015, arXiv 1409.4842): 9 Inception modules, max-pools as bridges.

    The network has no skips, so its depths share no basis: ``gauge`` is None.

    Args:
        weights: ``random[:SEED]``, a file (auxiliary heads in it are ignored), or ``pretrained``; None is ``random:0``.
        classes: outputs of the head; None keeps the 1,000 classes of ImageNet.
        in_size: side of the input in pixels; if it is not 224, images are resized without a crop.
        transform_input: True if the model converts its input from ImageNet's normalisation to 2x − 1, as the release
            of torchvision needs. None: True for that release (``pretrained``, or its file under the original name),
            else False.

    Raises:
        ItinfError: ``pretrained`` is given with ``classes``, the file cannot be downloaded, or it does not fit.
    """
    require_counts("googlenet", classes=classes, in_size=in_size)
    if transform_input is not None:
        truth("googlenet: transform_input", transform_input)
    released = weights == "pretrained"
    if transform_input is None:
        transform_input = released or (weights is not None and Path(weights).name == Path(RELEASE.url).name)
    heads = released or _has_heads(weights)

    def make() -> GoogLeNet:
        return GoogLeNet(
            num_classes=classes or 1000, aux_logits=heads, transform_input=transform_input, init_weights=False
        )

    if released:
        refuse_classes("googlenet", classes)
        model = build(make, None)
        model.load_state_dict(download(RELEASE))
    else:
        model = build(make, weights)
    assert isinstance(model, GoogLeNet)
    model.aux_logits = False
    model.aux1 = model.aux2 = None
    return Network(
        model,
        blocks=[Block(path) for path in modules(model, Inception)],
        layout="n c h w",
        head=model.fc,
        pool=lambda h: h.mean((2, 3)),
        prepare=cropped(RELEASE.transforms()) if released and in_size == 224 else imagenet(in_size),
        classes=RELEASE.meta["categories"] if classes is None else None,
        untrained=lambda seed: googlenet(
            f"random:{seed}", classes=classes, in_size=in_size, transform_input=transform_input
        ),
        name="googlenet",
        weights=origin(weights, RELEASE),
    )


def _has_heads(weights: str | None) -> bool:
    if weights is None or random_seed(weights) is not None:
        return False
    return any(key.startswith(("aux1.", "aux2.")) for key in read_weights(Path(weights)))

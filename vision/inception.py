"""Inception v1: torchvision's GoogLeNet without its auxiliary heads."""

from __future__ import annotations

from torchvision.models import GoogLeNet_Weights
from torchvision.models.googlenet import GoogLeNet, Inception

from itinf import Block, ItinfError, Network, modules
from itinf.networks.weights import build, random_seed

from .published_weights import is_release, published_file, require_counts
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
            of torchvision needs. None: True for that release (``pretrained``, or its file under any name), False for
            random weights. No other file says which it needs, so it has to be given.

    Raises:
        ItinfError: ``pretrained`` is given with ``classes``, the file cannot be downloaded, or it does not fit;
            ``transform_input`` is missing.
    """
    require_counts("googlenet", classes=classes, in_size=in_size)
    file = published_file("googlenet", weights, RELEASE, classes)
    model, origin = build(lambda: _model(classes), file, ignored=("aux1.", "aux2."))
    assert isinstance(model, GoogLeNet)
    released, from_file = is_release(file, RELEASE), random_seed(file) is None
    if transform_input is None:
        if from_file and not released:
            raise ItinfError(
                f"googlenet: {weights} does not say whether its network converts the input. Give transform_input=true "
                "(to 2x − 1, as the release of torchvision) or transform_input=false (ImageNet's normalisation as it is)."
            )
        transform_input = released
    model.transform_input = transform_input
    if from_file:
        origin = str(RELEASE) if weights == "pretrained" else f"{origin} (transform_input={transform_input})"
    return Network(
        model.eval(),
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
        weights=origin,
    )


def _model(classes: int | None) -> GoogLeNet:
    return GoogLeNet(num_classes=classes or 1000, aux_logits=False, init_weights=False)

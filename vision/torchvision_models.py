"""Any image classifier of torchvision by its name there, opened by structure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torchvision import models

from itinf import ItinfError, Network
from itinf.errors import nearest
from itinf.networks.opening import open_model
from itinf.networks.weights import build

from .normalisation import normalisation
from .published_weights import is_release, named_outputs, published_file, require_counts
from .transforms import Prepare, imagenet

SIDES = {"inception_v3": 299}
"""Side of the input in pixels where it is not 224."""
AUXILIARY = ("aux", "AuxLogits")
"""Beginnings of the names of heads beside the last one, which are left out."""


def names() -> list[str]:
    """Names of the image classifiers of torchvision."""
    return models.list_models(module=models)


def torchvision_model(
    name: str,
    weights: str | None = None,
    *,
    classes: int | str | Sequence[str] | None = None,
    in_size: int | None = None,
    mean: Any = None,
    std: Any = None,
) -> Network:
    """An image classifier of torchvision, such as torchvision:vgg16 or torchvision:swin_t.

    Args:
        name: its name in ``torchvision.models``.
        weights: ``random[:SEED]``, a file, or ``pretrained`` for torchvision's default release; None is ``random:0``.
        classes: outputs of the head, or their names in order: a list, or a file with one name per line; None keeps the
            1,000 classes of ImageNet.
        in_size: side of the input in pixels; None for the model's own. Another size is resized without a crop.
        mean, std: of the input's channels, see ``vision.normalisation``.

    Raises:
        ItinfError: there is no such model, ``pretrained`` is given with a number of ``classes``, the file cannot be
            downloaded, or it does not fit.
    """
    if name not in names():
        raise ItinfError(f"torchvision has no image classifier {name!r}. {nearest(name, names())}")
    outputs, class_names = named_outputs(name, classes)
    require_counts(name, classes=outputs, in_size=in_size)
    release = models.get_model_weights(name).DEFAULT
    side = in_size or SIDES.get(name, 224)
    file = published_file(name, weights, release, outputs, class_names)
    model, origin = build(_maker(name, outputs, side), file, ignored=AUXILIARY)
    released = is_release(file, release)
    look = normalisation(name, file, mean, std, release if released else None)
    own = released and side == SIDES.get(name, 224)
    return open_model(
        model.eval(),
        torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0)),
        name=f"torchvision:{name}",
        weights=str(release) if weights == "pretrained" else origin,
        prepare=Prepare(side, look, release.transforms()) if own else imagenet(side, look),
        classes=release.meta["categories"] if classes is None else class_names,
        untrained=lambda seed: torchvision_model(
            name, f"random:{seed}", classes=classes, in_size=in_size, mean=look.mean, std=look.std
        ),
    )


def _maker(name: str, outputs: int | None, side: int) -> Callable[[], nn.Module]:
    options: dict[str, Any] = {} if outputs is None else {"num_classes": outputs}
    if name in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "init_weights": False}
    if name.startswith("vit_"):
        options["image_size"] = side
    return lambda: models.get_model(name, weights=None, **options)

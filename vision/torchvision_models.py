"""Any image classifier of torchvision by its name there, opened by structure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torchvision import models

from itinf import ItinfError, Network
from itinf.errors import nearest
from itinf.networks.opening import open_model
from itinf.networks.weights import build

from .published_weights import download, origin, refuse_classes, require_counts
from .transforms import cropped, imagenet

NO_AUXILIARY = {
    "googlenet": {"aux_logits": False, "init_weights": False},
    "inception_v3": {"aux_logits": False, "init_weights": False},
}
"""Options of models that would have heads beside the last one, or take minutes to initialise."""
WHOLE_SIZES = {"inception_v3": 299}
"""Side of the input where it is not 224."""


def names() -> list[str]:
    """Names of the image classifiers of torchvision."""
    return models.list_models(module=models)


def torchvision_model(
    name: str, weights: str | None = None, *, classes: int | None = None, in_size: int | None = None
) -> Network:
    """An image classifier of torchvision, such as vgg16 or swin_t.

    Args:
        name: its name in ``torchvision.models``.
        weights: ``random[:SEED]``, a file, or ``pretrained`` for torchvision's default release; None is ``random:0``.
        classes: outputs of the head; None keeps the 1,000 classes of ImageNet.
        in_size: side of the input in pixels; None for the model's own. Another size is resized without a crop.

    Raises:
        ItinfError: there is no such model, ``pretrained`` is given with ``classes``, the file cannot be downloaded, or
            it does not fit.
    """
    if name not in names():
        raise ItinfError(f"torchvision has no image classifier {name!r}. {nearest(name, names())}")
    require_counts(name, classes=classes, in_size=in_size)
    release = models.get_model_weights(name).DEFAULT  # type: ignore[attr-defined]
    own_size = WHOLE_SIZES.get(name, 224)
    size = in_size or own_size
    make = _maker(name, classes, size)
    prepare = imagenet(size)
    if weights == "pretrained":
        refuse_classes(name, classes)
        model = build(make, None)
        model.load_state_dict(_without_auxiliary(download(release), model))
    else:
        model = build(make, weights)
    if size == own_size:
        prepare = cropped(release.transforms())
    return open_model(
        model,
        torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0)),
        name=name,
        weights=origin(weights, release),
        prepare=prepare,
        classes=release.meta["categories"] if classes is None else None,
        untrained=lambda seed: torchvision_model(name, f"random:{seed}", classes=classes, in_size=in_size),
    )


def _maker(name: str, classes: int | None, size: int) -> Callable[[], nn.Module]:
    options: dict[str, Any] = dict(NO_AUXILIARY.get(name, {}))
    if classes is not None:
        options["num_classes"] = classes
    if name.startswith("vit_"):
        options["image_size"] = size
    return lambda: models.get_model(name, weights=None, **options)


def _without_auxiliary(tensors: dict[str, Any], model: nn.Module) -> dict[str, Any]:
    """Without the tensors of auxiliary heads, which the model does not have."""
    known = model.state_dict()
    return {key: value for key, value in tensors.items() if key in known or not key.lower().startswith("aux")}

"""Any image classifier of timm by its name there, opened by structure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config
from torch import Tensor, nn

from itinf import ItinfError, Network
from itinf.errors import nearest
from itinf.networks.opening import open_model
from itinf.networks.weights import build, random_seed

from .published_weights import origin, refuse_classes, require_counts


def names() -> list[str]:
    """Names of the models of timm."""
    return timm.list_models()


def timm_model(name: str, weights: str | None = None, *, classes: int | None = None, **options: Any) -> Network:
    """An image classifier of timm, such as timm:mixer_b16_224 or timm:resnet50.a1_in1k.

    Size, mean, standard deviation and interpolation of its images are those of timm's data config.

    Args:
        name: its name in timm, with or without the tag of its weights.
        weights: ``random[:SEED]``, a file, or ``pretrained``, which needs a connection or timm's cache; None is ``random:0``.
        classes: outputs of the head; None keeps the model's own.
        **options: passed to ``timm.create_model``, such as img_size.

    Raises:
        ItinfError: there is no such model, it does not take the options, or the weights cannot be had or do not fit.
    """
    if not timm.is_model(name):
        raise ItinfError(f"timm has no model {name!r}. {nearest(name.partition('.')[0], names())}")
    require_counts(name, classes=classes)
    if classes is not None:
        options = {"num_classes": classes, **options}
    if weights == "pretrained":
        refuse_classes(name, classes)
        model = _pretrained(name, options)
    else:
        model = build(_maker(name, options), weights)
    config: dict[str, Any] = resolve_data_config({k: v for k, v in options.items() if k == "img_size"}, model=model)
    source = name if random_seed(weights if weights != "pretrained" else "") is None else None
    return open_model(
        model,
        torch.randn(2, *config["input_size"], generator=torch.Generator().manual_seed(0)),
        name=f"timm:{name}",
        weights=f"timm:{name}" if weights == "pretrained" else origin(weights),
        prepare=_Transform(config),
        classes=_class_names(model, classes) if source else None,
        untrained=lambda seed: timm_model(name, f"random:{seed}", **options),
    )


class _Transform:
    """The evaluation transform of timm's data config: PIL image of any mode -> (C, H, W) float32."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.transform = create_transform(**config, is_training=False)

    def __call__(self, image: Image.Image) -> Tensor:
        """One image as the model expects it."""
        return self.transform(image.convert("RGB" if self.config["input_size"][0] == 3 else "L"))


def _maker(name: str, options: dict[str, Any]) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        try:
            return timm.create_model(name, pretrained=False, **options)
        except (TypeError, AssertionError, ValueError, RuntimeError) as error:
            raise ItinfError(f"timm:{name} cannot be made with {options or 'its own options'} ({error}).") from error

    return make


def _pretrained(name: str, options: dict[str, Any]) -> nn.Module:
    try:
        return timm.create_model(name, pretrained=True, **options)
    except Exception as error:
        raise ItinfError(
            f"timm:{name}: the pretrained weights could not be loaded ({error}). Go online, give a file as weights, or "
            "name a tag that timm knows (timm.list_pretrained)."
        ) from error


def _class_names(model: Any, classes: int | None) -> list[str] | None:
    """The names of ImageNet's classes for a head of 1,000; timm gives no other."""
    if classes is not None or model.num_classes != 1000:
        return None
    from torchvision.models import ResNet50_Weights

    return list(ResNet50_Weights.DEFAULT.meta["categories"])

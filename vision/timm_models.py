"""Any image classifier of timm by its name there, opened by structure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config
from torch import Tensor, nn
from torchvision.models import ResNet50_Weights

from itinf import ItinfError, Network
from itinf.errors import nearest
from itinf.networks.opening import open_model
from itinf.networks.weights import build

from .published_weights import named_outputs, require_counts
from .transforms import rgb


def timm_model(
    name: str, weights: str | None = None, *, classes: int | str | Sequence[str] | None = None, **options: Any
) -> Network:
    """An image classifier of timm, such as timm:mixer_b16_224 or timm:resnet50.a1_in1k.

    Size, mean, standard deviation and interpolation of its images are those of timm's data config.

    Args:
        name: its name in timm, with or without the tag of its weights.
        weights: ``random[:SEED]``, a file, or ``pretrained``, which needs a connection or timm's cache; None is
            ``random:0``.
        classes: outputs of the head, or their names in order: a list, or a file with one name per line; None keeps the
            model's own.
        **options: passed to ``timm.create_model``, such as img_size.

    Raises:
        ItinfError: there is no such model, it does not take the options, or the weights cannot be had or do not fit.
    """
    if not timm.is_model(name):
        raise ItinfError(f"timm has no model {name!r}. {nearest(name.partition('.')[0], timm.list_models())}")
    outputs, class_names = named_outputs(name, classes)
    require_counts(name, classes=outputs)
    if outputs is not None:
        options = {"num_classes": outputs, **options}
    pretrained = weights == "pretrained"
    model, origin = build(_maker(name, options, pretrained), None if pretrained else weights)
    config: dict[str, Any] = resolve_data_config({k: v for k, v in options.items() if k == "img_size"}, model=model)
    if class_names is None and getattr(model, "num_classes", 0) == 1000:
        class_names = list(ResNet50_Weights.DEFAULT.meta["categories"])
    return open_model(
        model.eval(),
        torch.randn(2, *config["input_size"], generator=torch.Generator().manual_seed(0)),
        name=f"timm:{name}",
        weights=f"timm's release of {name}" if pretrained else origin,
        prepare=_Prepare(config),
        classes=class_names,
        untrained=lambda seed: timm_model(name, f"random:{seed}", **options),
    )


class _Prepare:
    """The evaluation transform of timm's data config: PIL image of any mode -> (C, H, W) float32."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.transform = create_transform(**config, is_training=False)

    def __call__(self, image: Image.Image) -> Tensor:
        """One image as the model expects it."""
        return self.transform(rgb(image) if self.config["input_size"][0] == 3 else image.convert("L"))

    @property
    def note(self) -> dict[str, Any]:
        """How it makes inputs, JSON-ready."""
        size, crop = self.config["input_size"], self.config["crop_pct"]
        look = {"mean": list(self.config["mean"]), "std": list(self.config["std"]), "from": "timm's data config"}
        return {"side": size[-1], "crop": crop, "interpolation": self.config["interpolation"], **look}


def _maker(name: str, options: dict[str, Any], pretrained: bool) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        try:
            return timm.create_model(name, pretrained=pretrained, **options)
        except Exception as error:
            why = (str(error) or type(error).__name__).splitlines()[0]
            if pretrained:
                raise ItinfError(
                    f"timm:{name}: the pretrained weights could not be loaded ({why}). Go online, give a file as "
                    "weights, or name a tag that timm knows (timm.list_pretrained())."
                ) from error
            raise ItinfError(f"timm:{name} cannot be made with {options or 'its own options'} ({why}).") from error

    return make

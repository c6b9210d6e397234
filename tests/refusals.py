"""What itinf does not open, and the sentence that it says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

import itinf
from architecture_list import VIT
from architectures import CLASSES


class Layers(nn.Module):
    """A convolution net that puts out a map, or its mean over pixels."""

    def __init__(self, outputs: int, pooled: bool = True) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, outputs, 3))
        self.pooled = pooled

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).mean((2, 3)) if self.pooled else self.layers(x)


def _opened(model: nn.Module, side: int = 32) -> None:
    itinf.open_model(model.eval(), torch.randn(2, 3, side, side))


def _of_timm(name: str, side: int = 32, **options: Any) -> None:
    torch.manual_seed(0)
    _opened(timm.create_model(name, num_classes=CLASSES, **options), side)


def _of_transformers(architecture: str, folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"architectures": [architecture]}))
    itinf.network(f"hf:{folder}")


def _several_labels() -> None:
    labels = [(torch.randn(3, 32, 32), torch.tensor([1, 0, 0, 1, 0])) for _ in range(8)]
    itinf.probe(itinf.network("torchvision:resnet18", classes=CLASSES, in_size=32), labels)


def cases(folder: Path) -> dict[str, Callable[[], None]]:
    """What is refused -> a try; ``folder`` may hold files."""
    return {
        "dense prediction (segmentation, depth)": partial(_opened, Layers(CLASSES, pooled=False)),
        "segmentation and detection of torchvision": partial(itinf.network, "torchvision:fcn_resnet50"),
        "regression of one number": partial(_opened, Layers(1)),
        "several labels for each image": _several_labels,
        "masked language models (BERT)": partial(_of_transformers, "BertForMaskedLM", folder),
        "encoders with a decoder (T5)": partial(_of_transformers, "T5ForConditionalGeneration", folder),
        "two heads (DeiT, distilled)": partial(_of_timm, "deit_tiny_distilled_patch16_224", **VIT),
        "class attention (CaiT)": partial(_of_timm, "cait_xxs24_224", **VIT),
        "two heads (LeViT)": partial(_of_timm, "levit_128s", 224),
        "two heads (EfficientFormer)": partial(_of_timm, "efficientformer_l1", 224),
        "several streams (CrossViT)": partial(_of_timm, "crossvit_tiny_240", 240),
        "several streams (HRNet)": partial(_of_timm, "hrnet_w18_small", 64),
    }


def refusals(folder: Path) -> Iterator[tuple[str, str]]:
    """What is refused, and the message, in which FOLDER stands for the folder."""
    for name, attempt in cases(folder).items():
        try:
            attempt()
        except itinf.ItinfError as error:
            yield name, str(error).replace(str(folder), "FOLDER")
            continue
        raise AssertionError(f"{name} was opened")

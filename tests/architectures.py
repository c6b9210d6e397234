"""Architectures of three libraries at reduced size, opened by the names that a user types."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import timm
import torch
import transformers
from torch import nn
from torchvision import models

import itinf
from itinf import Network

CLASSES, WORDS = 5, 61
TINY = 1e-4
"""Weights that are nowhere larger are drawn again, so that no head and no branch is trivially 0."""
DIVIDED = ("in_channels", "out_channels", "groups", "in_features", "out_features", "num_features", "num_channels")
TOKENS, TEXTS, IMAGES = "AutoModelForCausalLM", "AutoModelForSequenceClassification", "AutoModelForImageClassification"


@dataclass(frozen=True)
class Architecture:
    """One row of the support table.

    Attributes:
        typed: the name as a user types it; of transformers the type of the model, which stands for its folder.
        options: that make it small.
        by: what the channels of all layers are divided by, where no option makes a network narrow.
        small: number of classes -> the model, where a name of torchvision takes no options.
        head: of transformers, the class that has the head.
        side: of the images in pixels.
        describe: model -> description, for a model that itinf does not find.
        quick: whether ``make test`` takes it through every step: one of each structure.
    """

    typed: str
    options: dict[str, Any] = field(default_factory=dict)
    by: int = 1
    small: Callable[[int], nn.Module] | None = None
    head: str = ""
    side: int = 32
    describe: Callable[[Any], Network] | None = None
    quick: bool = False

    def open(self, folder: Path) -> Network:
        """The network by its name, nothing in it trivially 0. A folder of transformers is made in ``folder``."""
        if self.describe is not None:
            torch.manual_seed(0)
            model = self._made(timm.create_model, self.typed.removeprefix("timm:"), num_classes=CLASSES, **self.options)
            return self.describe(model).named(self.typed)
        if self.head:
            return itinf.network(f"hf:{self._saved(folder)}", tokenizer="bytes").named(f"hf:{self.typed}")
        library, make, options = timm, "create_model", self.options
        if self.typed.startswith("torchvision:"):
            library, make, options = models, "get_model", {"in_size": self.side}
        original = getattr(library, make)

        def smaller(name: str, **given: Any) -> nn.Module:
            return self.small(given["num_classes"]) if self.small else original(name, **given)

        with mock.patch.object(library, make, lambda *a, **k: self._made(smaller, *a, **k)):
            return itinf.network(self.typed, "random:0", classes=CLASSES, **options)

    def _made(self, make: Callable[..., nn.Module], *args: Any, **kwargs: Any) -> nn.Module:
        with narrow(self.by):
            model = make(*args, **kwargs).eval()
        draw = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for name, values in model.named_parameters():
                if not name.endswith("bias") and values.abs().max() < TINY:
                    values.normal_(std=0.5 if values.ndim == 1 else 0.1, generator=draw)
        return model

    def _saved(self, folder: Path) -> Path:
        """A folder of transformers."""
        config = transformers.AutoConfig.for_model(self.typed, **self.options)
        where = folder / self.typed
        torch.manual_seed(0)
        kind = getattr(transformers, self.head)
        self._made(getattr(kind, "from_config", kind), config).save_pretrained(where)
        if self.head.endswith("ForImageClassification"):
            size = {"height": self.side, "width": self.side}
            transformers.ViTImageProcessor(size=size).save_pretrained(where)
        return where


@contextmanager
def narrow(by: int) -> Iterator[None]:
    """Meanwhile layers are made with a ``by``-th of their channels; numbers that it does not divide stay: 3 colours."""

    def patched(kind: type[nn.Module]) -> Any:
        make = kind.__init__

        def make_less(*args: Any, **kwargs: Any) -> None:
            given = inspect.signature(make).bind(*args, **kwargs)
            for name in DIVIDED:
                if name in given.arguments and given.arguments[name] % by == 0:
                    given.arguments[name] //= by
            make(*given.args, **given.kwargs)

        return mock.patch.object(kind, "__init__", make_less)

    with patched(nn.Conv2d), patched(nn.Linear), patched(nn.BatchNorm2d):
        yield

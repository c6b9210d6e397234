"""Any decoder language model or classifier in a Hugging Face folder, opened by structure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from itinf import ItinfError, Network
from itinf.errors import nearest
from itinf.networks.opening import open_model
from itinf.networks.weights import random_seed

from .encoder import encoder
from .huggingface import Family, folder, load, random_model, step

HEADS = ("ForCausalLM", "LMHeadModel", "ForSequenceClassification", "ForImageClassification")
"""Endings of the classes of models that predict one class per token, text or image."""


def transformers_model(name: str, weights: str | None = None, *, tokenizer: str | None = None) -> Network:
    """The model in a Hugging Face folder: a decoder language model, or a classifier of images or texts.

    Args:
        name: a folder (``config.json``, ``model.safetensors``, ``tokenizer.json`` or ``preprocessor_config.json``), or
            a hub id ``OWNER/NAME``, which is downloaded.
        weights: None for those in the folder; ``random[:SEED]`` for the same architecture at random.
        tokenizer: "bytes" for a model that reads UTF-8 bytes; None for the tokenizer in the folder.

    Raises:
        ItinfError: there is no such folder, it describes no model of a known class with a head that predicts one class
            per unit, or files are missing or do not fit.
    """
    where, source = folder("hf", name, "or random[:SEED] as weights")
    family = _family(where)
    if weights is None:
        model, dtypes = load(family, where)
        source += dtypes
    elif random_seed(weights) is not None:
        made = family.config.from_pretrained(where, local_files_only=True)
        model, source = random_model(family, "hf", made, weights), weights
    else:
        raise ItinfError(f"hf:{name}: weights {weights!r}; expected random[:SEED], or none for those in the folder.")
    images, tokens = family.title.endswith(HEADS[3]), family.title.endswith(HEADS[:2])
    opened = open_model(
        model.eval(),
        name=f"hf:{name}",
        weights=source,
        prepare=_ImageProcessor(where) if images else encoder(where, model.config.vocab_size, tokenizer),
        context=None if images else _context(model.config),
        classes=None if tokens else _classes(model.config),
        untrained=lambda seed: transformers_model(name, f"random:{seed}", tokenizer=tokenizer),
        trunk=_trunk if tokens else None,
    )
    opened.step = step if tokens else None
    return opened


def _family(where: Path) -> Family:
    """The class of the model that ``config.json`` names."""
    try:
        named = json.loads((where / "config.json").read_text(encoding="utf-8")).get("architectures") or []
        title = str(named[0]) if named else ""
    except (OSError, ValueError, AttributeError, TypeError, KeyError, RecursionError) as error:
        raise ItinfError(
            f"{where / 'config.json'} cannot be read ({error}). Expected the config of a model."
        ) from error
    if not title.endswith(HEADS):
        raise ItinfError(
            f"{where / 'config.json'} names the architecture {title or 'of no model'!r}; expected a class that ends in "
            f"{', '.join(HEADS)}: itinf needs one class target per unit."
        )
    model = getattr(transformers, title, None)
    if not (isinstance(model, type) and issubclass(model, nn.Module)):
        known = [n for n in dir(transformers) if n.endswith(HEADS)]
        raise ItinfError(
            f"{where / 'config.json'}: transformers has no architecture {title!r}. {nearest(title, known)}"
        )
    return Family(title, model)


def _trunk(model: Any, ids: Tensor) -> Any:
    return model.base_model(ids, use_cache=False)


def _context(config: Any) -> int | None:
    longest = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    return longest if isinstance(longest, int) and longest > 0 else None


def _classes(config: Any) -> list[str] | None:
    """Names of the classes, if the config has names of its own and not LABEL_0, LABEL_1, …"""
    names = [config.id2label[k] for k in sorted(config.id2label)]
    return None if all(n.startswith("LABEL_") for n in names) else names


class _ImageProcessor:
    """The image processor in a folder: PIL image -> (C, H, W) float32."""

    def __init__(self, where: Path) -> None:
        try:
            self.processor = transformers.AutoImageProcessor.from_pretrained(where, local_files_only=True)
        except Exception as error:
            raise ItinfError(
                f"{where} has no image processor that can be read ({error}). Expected preprocessor_config.json, as "
                "AutoImageProcessor.save_pretrained writes it."
            ) from error

    def __call__(self, image: Any) -> Tensor:
        """One image as the model expects it."""
        pixels = self.processor(image.convert("RGB"), return_tensors="pt")["pixel_values"][0]
        return torch.as_tensor(pixels)

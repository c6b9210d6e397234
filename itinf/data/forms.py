"""The forms that an item of a data set may have, and its input and target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .dataset import IGNORED

EXPECTED = {
    "image": "(image, class number), or a dict with pixel_values and label",
    "text": "(ids, class number), or a dict with input_ids and label",
    "token": "token ids, (ids, targets), or a dict with input_ids and perhaps labels and attention_mask",
}
"""Forms of an item, in words for messages."""


class FormError(Exception):
    """What is wrong with an item, as the end of a sentence about it."""


def named_fields(item: Any) -> Any:
    """An item whose fields have names as a mapping: dicts, dataclasses and NamedTuples; any other item as it is."""
    if is_dataclass(item) and not isinstance(item, type | Mapping):
        return {field.name: getattr(item, field.name) for field in fields(item)}
    if isinstance(item, tuple) and hasattr(item, "_fields"):
        return dict(zip(item._fields, item, strict=True))
    return item


def image_item(item: Any) -> tuple[Tensor, Tensor]:
    """The input of an image item, and its class number ().

    The item is ``(image, class number)``, or has the names ``pixel_values`` and ``label`` or ``labels``.

    Raises:
        FormError: it has another form.
    """
    image, target = _labelled(item, "pixel_values")
    return _tensor(image, "image"), target


def text_item(item: Any) -> tuple[Tensor, Tensor]:
    """The ids (T,) of a text, and its class number ().

    The item is ``(ids, class number)``, or has the names ``input_ids`` and ``label`` or ``labels``.

    Raises:
        FormError: it has another form, or its attention mask pads: an encoder would attend to the padding.
    """
    if padding(item):
        raise FormError("is padded, and itinf gives a model no attention mask: give texts of one length")
    ids, target = _labelled(item, "input_ids")
    return _ids(ids), target


def _labelled(item: Any, name: str) -> tuple[Any, Tensor]:
    """The input of an item, under its name or first, and its class number ().

    Raises:
        FormError: it has another form.
    """
    item = _by_name(item, name)
    if isinstance(item, Mapping):
        label = next((key for key in ("label", "labels") if key in item), None)
        if name not in item or label is None:
            raise FormError(f"is a dict with {', '.join(map(str, item))}")
        item = (item[name], item[label])
    given, target = _pair(item)
    target = _numbers(target)
    if target.ndim:
        raise FormError(
            f"has a target of shape {tuple(target.shape)}, and an item has one class number: itinf needs one class target per unit"
        )
    return given, target


def token_item(item: Any) -> tuple[Tensor, Tensor]:
    """The ids (T,) of a token item, and the next-token targets (T,).

    The item is ``(ids, targets)``; or ``ids`` alone, whose last T ids are the targets of the first T; or has the name
    ``input_ids``, and perhaps ``labels`` and ``attention_mask``. Labels that are the ids themselves, as transformers
    has them, are shifted. Padding on the left is moved to the right, where a causal model does not see it: positions
    then count from the first id, as in transformers with ``attention_mask`` and ``position_ids``, and the loss of every
    id is that without padding.

    Raises:
        FormError: it has another form.
    """
    item = _by_name(item, "input_ids")
    if isinstance(item, Mapping):
        return _token_dict(item)
    alone = isinstance(item, Tensor | np.ndarray) or (isinstance(item, list) and all(type(one) is int for one in item))
    if alone or (isinstance(item, Sequence) and len(item) == 1):
        ids = _ids(item if alone else item[0])
        return _at_least_one(ids[:-1], ids[1:])
    first, second = _pair(item)
    ids, targets = _ids(first), _numbers(second)
    if ids.shape != targets.shape:
        raise FormError(f"has {tuple(ids.shape)} ids and {tuple(targets.shape)} targets")
    known = targets != IGNORED
    own, following = _same(targets, ids, known), _same(targets[:-1], ids[1:], known[:-1])
    return _at_least_one(ids[:-1], targets[1:]) if own and not following and len(ids) > 1 else (ids, targets)


def padding(item: Any) -> int:
    """How many ids of a token item its attention mask leaves, if it pads any; else 0."""
    item = named_fields(item)
    if not isinstance(item, Mapping) or item.get("attention_mask") is None:
        return 0
    mask = _mask(item["attention_mask"])
    return 0 if bool(mask.all()) else int(mask.sum())


def _token_dict(item: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    if "input_ids" not in item:
        raise FormError(f"is a dict with {', '.join(map(str, item))}")
    given, labels, mask = (item.get(name) for name in ("input_ids", "labels", "attention_mask"))
    mask = None if mask is None else _mask(mask)
    ids = _ids(given, mask)
    labels = ids if labels is None else _numbers(labels)
    mask = torch.ones_like(ids) if mask is None else mask
    if labels.shape != ids.shape or mask.shape != ids.shape:
        raise FormError(f"has {len(ids)} input_ids, {labels.numel()} labels and an attention_mask of {mask.numel()}")
    labels = labels.masked_fill(mask == 0, IGNORED)
    if not bool(mask.any()):
        raise FormError("is padding alone by its attention_mask")
    left = int(mask.argmax())  # padding before the first id
    ids, labels, mask = (torch.roll(tensor, -left) for tensor in (ids, labels, mask))
    if bool((mask[1:] > mask[:-1]).any()):
        raise FormError("is padded inside by its attention_mask, and the model would attend to the padding")
    known = labels != IGNORED
    if _same(labels, ids, known):
        return _at_least_one(ids[:-1], labels[1:])
    if _same(labels[:-1], ids[1:], known[:-1]):
        return ids, labels
    raise FormError("has labels that are neither its input_ids nor the next ones")


def _same(a: Tensor, b: Tensor, where: Tensor) -> bool:
    return torch.equal(a[where], b[where])


def _at_least_one(ids: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    if not len(ids):
        raise FormError("has one token or none, and the first prediction takes two")
    return ids, targets


def _by_name(item: Any, name: str) -> Any:
    """An item with names as a mapping; a NamedTuple without the usual name is read as a tuple."""
    named = named_fields(item)
    return named if isinstance(named, Mapping) and (name in named or not isinstance(item, tuple)) else item


def _pair(item: Any) -> tuple[Any, Any]:
    if not isinstance(item, Sequence) or isinstance(item, str | bytes):
        raise FormError(f"is a {type(item).__name__}")
    if len(item) != 2:
        raise FormError(f"has {len(item)} fields, and which of them is the target is not for itinf to guess")
    return item[0], item[1]


def _tensor(value: Any, what: str) -> Tensor:
    if isinstance(value, np.ndarray):
        try:
            value = torch.from_numpy(value.copy())  # a copy, as arrays may be read-only or run backwards
        except TypeError:
            raise FormError(f"has an array of {value.dtype} as its {what}; give one of floats") from None
    if not isinstance(value, Tensor):
        raise FormError(
            f"has a {type(value).__name__} as its {what}; apply the model's transform first, such as the network's prepare"
        )
    if value.layout != torch.strided or value.is_meta:
        raise FormError(f"has a {'meta' if value.is_meta else value.layout} tensor as its {what}; give a plain one")
    return value.detach()


def _ids(value: Any, mask: Tensor | None = None) -> Tensor:
    """Token ids (T,); negative ones behind a mask become 0."""
    ids = _numbers(value)
    if ids.ndim != 1:
        raise FormError(f"has ids of shape {tuple(ids.shape)}, and a sequence is one-dimensional")
    if getattr(value, "dtype", None) in (torch.bool, np.dtype(bool)):
        raise FormError("has true and false for token ids")
    if mask is not None and mask.shape == ids.shape:
        ids = ids.masked_fill((mask == 0) & (ids < 0), 0)
    if len(ids) and int(ids.min()) < 0:
        raise FormError(f"has the token id {int(ids.min())}, and ids begin at 0")
    return ids


def _mask(value: Any) -> Tensor:
    """An attention mask (T,) of 0 and 1, of any dtype."""
    try:
        mask = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        raise FormError(f"has a {type(value).__name__} as its attention_mask") from None
    if not bool(((mask == 0) | (mask == 1)).all()):
        raise FormError("has an attention_mask with other numbers than 0 and 1")
    return mask.to(torch.int64)


def _numbers(value: Any) -> Tensor:
    """Whole numbers as int64; numbers with a fraction are no classes, and are refused rather than cut off."""
    try:
        numbers = torch.as_tensor(value.item() if isinstance(value, np.generic) else value)
    except (TypeError, ValueError, RuntimeError):
        raise FormError(f"has a {type(value).__name__} for numbers of classes or tokens") from None
    if numbers.is_floating_point() or numbers.is_complex():
        kind = str(numbers.dtype).removeprefix("torch.")
        raise FormError(f"has {kind} numbers for classes or tokens; give whole numbers (.long()) if they are")
    return numbers.to(torch.int64)

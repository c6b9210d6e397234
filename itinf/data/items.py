"""A data set of the user's own, as ``Data``: its items are measured as they are, or refused with the reason."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler, default_collate

from ..errors import ItinfError
from .dataset import IGNORED, Data

EXPECTED = {
    "image": "(image, class number), or a dict with pixel_values and label",
    "token": "token ids, (ids, targets), or a dict with input_ids and perhaps labels and attention_mask",
}
"""Forms of an item, in words for messages."""


class WrappedDataset:
    """A torch Dataset, a DataLoader over one, or a sequence of items, as ``Data``.

    An item's name is its index in the *dataset*, which no shuffling by a loader changes.

    An image item is ``(image, class number)`` or a dict with ``pixel_values`` and ``label`` or ``labels``. A token
    item is ``(ids, targets)``; or ``ids`` alone, whose last T ids are the targets of the first T; or a dict with
    ``input_ids``, and perhaps ``labels`` (the ids themselves, as transformers has them, or already shifted) and
    ``attention_mask``. A target of ``IGNORED`` (−100), or one behind the mask, is not predicted.

    Args:
        source: the data; from a DataLoader only its dataset is used.
        unit: ``"image"`` or ``"token"``.
        name: as recorded; by default the class name, the length, and a hash of up to 64 items spread over the data.

    Raises:
        ItinfError: for a stream, for a loader that chooses or changes items, for items of another form, and for items
            that differ between two readings.
    """

    def __init__(self, source: Any, unit: str, name: str | None = None) -> None:
        items = _dataset_of(source) if isinstance(source, DataLoader) else source
        if not (hasattr(items, "__len__") and hasattr(items, "__getitem__")):
            raise ItinfError(
                f"{type(items).__name__} is a stream; expected data with len() and indexing, "
                "because which items are measured must not depend on a loader. Put its items in a list."
            )
        self.items = items
        self.unit = unit
        self.note: dict[str, Any] = {"class": type(items).__name__, "items": len(items)}
        self._require_same_twice()
        self.name = name or f"{type(items).__name__}[{len(items)}]#{self._fingerprint()}"

    def _require_same_twice(self) -> None:
        for index in {0, len(self) - 1} if len(self) else ():
            if any(not torch.equal(a, b) for a, b in zip(self[index], self[index], strict=True)):
                raise ItinfError(
                    f"Item {index} of {type(self.items).__name__} differs between two readings: a transform is random. "
                    "Leave random augmentation out, so that everybody measures the same data."
                )

    def _fingerprint(self) -> str:
        digest = hashlib.blake2b(digest_size=4)
        for index in sorted({round(i) for i in np.linspace(0, len(self.items) - 1, 64)}) if len(self) else ():
            for tensor in self[index]:
                digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.items)

    def key(self, index: int) -> str:
        return str(index)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        item = self.items[index]
        try:
            return _image(item) if self.unit == "image" else _tokens(item)
        except _FormError as error:
            raise ItinfError(
                f"Item {index} of {type(self.items).__name__} {error}; expected {EXPECTED[self.unit]}. "
                "Give a data set, or a list, with items of that form."
            ) from None


def as_data(source: Any, unit: str) -> Data:
    """``source`` itself where it already is ``Data``, else wrapped.

    Raises:
        ItinfError: see ``WrappedDataset``.
    """
    if isinstance(source, str):
        raise ItinfError(f"The data are {source!r}; expected a data set. Write itinf.dataset({source!r}, network).")
    return source if isinstance(source, Data) else WrappedDataset(source, unit)


class _FormError(Exception):
    """What is wrong with an item, as the end of a sentence about it."""


def _dataset_of(loader: DataLoader[Any]) -> Any:
    """The dataset of a loader that neither chooses nor changes its items."""
    if not hasattr(loader.dataset, "__len__"):
        return loader.dataset  # a stream, which is refused as one
    sampler, batches = loader.sampler, loader.batch_sampler
    chooses = not isinstance(sampler, SequentialSampler | RandomSampler) or len(sampler) != len(loader.dataset)
    if chooses or type(batches) not in (BatchSampler, type(None)) or getattr(sampler, "replacement", False):
        named = sampler if chooses or type(batches) is BatchSampler else batches
        raise ItinfError(
            f"The loader draws its items by a {type(named).__name__}, and itinf reads data sets whole and in an order of "
            "its own. Give the data set itself, or torch.utils.data.Subset(dataset, indices) with the items to measure."
        )
    if loader.collate_fn is not default_collate and loader.batch_size is not None:
        name = getattr(loader.collate_fn, "__name__", type(loader.collate_fn).__name__)
        raise ItinfError(
            f"The loader changes items by its collate_fn {name}, which itinf does not call. Give a data set whose "
            f"items are what the model reads: {EXPECTED['image']}; {EXPECTED['token']}."
        )
    return loader.dataset


def _image(item: Any) -> tuple[Tensor, Tensor]:
    if isinstance(item, Mapping):
        label = next((key for key in ("label", "labels") if key in item), None)
        if "pixel_values" not in item or label is None:
            raise _FormError(f"is a dict with {', '.join(map(str, item))}")
        item = (item["pixel_values"], item[label])
    image, target = _pair(item)
    image, target = _tensor(image, "image"), _classes(target)
    if target.ndim:
        raise _FormError(f"has a target of shape {tuple(target.shape)}, and an image has one class number")
    return image, target


def _tokens(item: Any) -> tuple[Tensor, Tensor]:
    if isinstance(item, Mapping):
        return _token_dict(item)
    if isinstance(item, Tensor | np.ndarray) or (isinstance(item, Sequence) and len(item) == 1):
        ids = _ids(item if isinstance(item, Tensor | np.ndarray) else item[0])
        return ids[:-1], ids[1:]
    first, second = _pair(item)
    ids, targets = _ids(first), _classes(second)
    if ids.shape != targets.shape:
        raise _FormError(f"has {tuple(ids.shape)} ids and {tuple(targets.shape)} targets")
    return ids, targets


def _token_dict(item: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """The ids and next-token targets of a dict as transformers has it, whose labels stand at their own ids."""
    if "input_ids" not in item:
        raise _FormError(f"is a dict with {', '.join(map(str, item))}")
    ids = _ids(item["input_ids"])
    labels = _classes(item["labels"]) if "labels" in item else ids
    mask = _classes(item["attention_mask"]) if "attention_mask" in item else torch.ones_like(ids)
    if labels.shape != ids.shape or mask.shape != ids.shape:
        raise _FormError(f"has {len(ids)} input_ids, {labels.numel()} labels and an attention_mask of {mask.numel()}")
    if len(mask) and bool((mask[1:] > mask[:-1]).any()):
        raise _FormError("is padded on the left or inside, and the model would attend to the padding")
    labels = labels.masked_fill(mask == 0, IGNORED)
    known = labels != IGNORED
    if torch.equal(labels[known], ids[known]):
        return ids[:-1], labels[1:]
    shifted = known[:-1]
    if torch.equal(labels[:-1][shifted], ids[1:][shifted]):
        return ids, labels
    raise _FormError("has labels that are neither its input_ids nor the next ones")


def _pair(item: Any) -> tuple[Any, Any]:
    if not isinstance(item, Sequence) or isinstance(item, str | bytes):
        raise _FormError(f"is a {type(item).__name__}")
    if len(item) != 2:
        raise _FormError(f"has {len(item)} fields, and which of them is the target is not for itinf to guess")
    return item[0], item[1]


def _tensor(value: Any, what: str) -> Tensor:
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(value)
    if not isinstance(value, Tensor):
        raise _FormError(f"has a {type(value).__name__} as its {what}; apply the model's transform first")
    return value


def _ids(value: Any) -> Tensor:
    ids = _classes(value)
    if ids.ndim != 1:
        raise _FormError(f"has ids of shape {tuple(ids.shape)}, and a sequence is one-dimensional")
    return ids


def _classes(value: Any) -> Tensor:
    """Whole numbers as int64; numbers with a fraction are no classes, and are refused rather than cut off."""
    try:
        numbers = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        raise _FormError(f"has a {type(value).__name__} for numbers of classes or tokens") from None
    if numbers.is_floating_point() or numbers.is_complex():
        kind = str(numbers.dtype).removeprefix("torch.")
        raise _FormError(f"has {kind} numbers for classes or tokens; give whole numbers (.long()) if they are")
    return numbers.to(torch.int64)

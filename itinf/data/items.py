"""A data set of the user's own, as ``Data``: its items are measured as they are, or refused with the reason."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ItinfError
from .classes import require_meaning
from .dataset import IGNORED, Data, described
from .forms import EXPECTED, FormError, image_item, named_fields, padding, text_item, token_item
from .sources import dataset_of

SPREAD = 64
"""Number of items, spread over the data, that a name and a range are taken from."""
LARGEST = 20.0
"""Normalised images stay within a few units of 0; pixels from 0 to 255 do not."""


class WrappedDataset:
    """A torch Dataset, a DataLoader over one, or a sequence of items, as ``Data``.

    An item's name is its index in the *dataset*, which no shuffling by a loader changes. The forms of items are those
    of ``itinf.data.forms``. A target of ``IGNORED`` (−100), or one behind an attention mask, is not predicted.

    Args:
        source: the data; from a DataLoader only its dataset is used.
        unit: ``"image"``, ``"token"`` or ``"text"``.
        classes, network: names of the network's outputs, if it knows them, and its own name.

    Attributes:
        padded: the first item read that an attention mask pads, and how many of its ids are not padding; None before.

    Raises:
        ItinfError: for a stream, for a loader that chooses or changes items, for items of another form, for items
            that differ between two readings, and for classes that the data number in another way than the network.
    """

    def __init__(self, source: Any, unit: str, classes: Sequence[str] | None = None, network: str = "") -> None:
        items = dataset_of(source)
        self.items, self.unit = items, unit
        named = isinstance(items, NamedItems)
        self.title = type(items.data if named else items).__name__
        self.note: dict[str, Any] = {"class": self.title, "items": len(items)}
        self.note |= {"fields": items.fields} if named else {}
        self.padded: tuple[int, int] | None = None
        self.name = f"{self.title}[{len(items)}]"
        if not len(items):
            return
        if unit != "token":
            require_meaning(items, classes, network)
        self._require_same_twice()
        spread = [self[index] for index in sorted({round(i) for i in np.linspace(0, len(items) - 1, SPREAD)})]
        self.name += f"#{_hash([tensor for item in spread for tensor in item], 4).hex()}"
        if all(bool((targets == IGNORED).all()) for _, targets in spread):
            raise ItinfError(
                f"None of {len(spread)} items of {self.title}, spread over the data, has a target: all are {IGNORED}, or behind "
                "an attention mask. Give data with labels."
            )
        self._look_at_range(spread)

    def _require_same_twice(self) -> None:
        for index in {0, len(self) - 1}:
            if _hash(self[index], 16) != _hash(self[index], 16):
                raise ItinfError(
                    f"Item {index} of {self.title} differs between two readings: a transform is random. "
                    "Leave random augmentation out, so that everybody measures the same data."
                )

    def _look_at_range(self, spread: Sequence[tuple[Tensor, Tensor]]) -> None:
        floats = [inputs for inputs, _ in spread if inputs.is_floating_point() and inputs.numel()]
        largest = max((float(inputs.abs().max()) for inputs in floats), default=0.0)
        if self.unit == "image" and largest > LARGEST:
            doubt = (
                f"The inputs of {self.name} reach {largest:.4g}; networks usually read normalised images, which stay "
                "within a few units of 0. Did the network learn from pixels in this range?"
            )
            self.note["doubts"] = [doubt]
            logging.getLogger("itinf").warning(doubt)

    def __repr__(self) -> str:
        return described(self)

    def __len__(self) -> int:
        return len(self.items)

    def key(self, index: int) -> str:
        return str(index)

    def content(self, index: int) -> bytes:
        """A hash of the item's tensors."""
        return _hash(self[index], 16)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        where = f"Item {index} of {self.title}"
        try:
            item = self.items[index]
        except ItinfError:
            raise
        except Exception as error:
            raise ItinfError(
                f"{where} cannot be read ({type(error).__name__}: {error}). Expected items 0 … {len(self) - 1}, each "
                f"{EXPECTED[self.unit]}."
            ) from error
        try:
            if self.unit != "token":
                return image_item(item) if self.unit == "image" else text_item(item)
            if self.padded is None and (padded := padding(item)):
                self.padded = (index, padded)
            return token_item(item)
        except FormError as error:
            raise ItinfError(
                f"{where} {error}; expected {EXPECTED[self.unit]}. "
                "Give items of that form, or name the fields: itinf.items(data, inputs=…, targets=…)."
            ) from None


class NamedItems:
    """A data set whose items are the named fields of another one's items, see ``items``."""

    def __init__(self, data: Any, fields: Mapping[str, str | int | None]) -> None:
        self.data = data
        self.fields = {name: field for name, field in fields.items() if field is not None}

    def __repr__(self) -> str:
        named = ", ".join(f"{name}={field!r}" for name, field in self.fields.items())
        return f"itinf.items({type(self.data).__name__}, {named}): {len(self):,} items"

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Any:
        item = self.data[index]
        chosen = {name: self._field(item, field, index) for name, field in self.fields.items()}
        if "mask" not in chosen:
            return tuple(chosen.values())
        usual = {"inputs": "input_ids", "targets": "labels", "mask": "attention_mask"}
        return {usual[name]: value for name, value in chosen.items()}

    def _field(self, item: Any, field: str | int, index: int) -> Any:
        item = named_fields(item) if isinstance(field, str) else item
        positions = dict(enumerate(item)) if isinstance(item, tuple | list) else {}
        fields: Mapping[Any, Any] = item if isinstance(item, Mapping) else positions
        if field not in fields:
            known = ", ".join(map(repr, fields)) or f"none, as it is a {type(item).__name__}"
            raise ItinfError(
                f"Item {index} of {type(self.data).__name__} has no field {field!r}. Its fields: {known}. Name one of them."
            )
        return fields[field]


def items(
    data: Any, inputs: str | int, targets: str | int | None = None, *, mask: str | int | None = None
) -> NamedItems:
    """A data set with the fields of its items named, for items of more than two fields or with names of their own.

    Args:
        data: a data set, a DataLoader over one, or a list.
        inputs: name of the field (of a dict, dataclass or NamedTuple), or place of the field (of a tuple or list), that the
            network reads.
        targets: field of the class number, or of the labels; None for token ids whose next ids are the targets.
        mask: field of the attention mask of tokens; None if there is none.

    Returns:
        A data set for ``probe``, ``fit`` and ``transfer``; an item without such a field is refused when it is read.
    """
    return NamedItems(dataset_of(data), {"inputs": inputs, "targets": targets, "mask": mask})


def as_data(source: Any, unit: str, classes: Sequence[str] | None = None, network: str = "") -> Data:
    """``source`` itself where it already is ``Data``, else wrapped.

    Raises:
        ItinfError: see ``WrappedDataset``.
    """
    return source if isinstance(source, Data) else WrappedDataset(source, unit, classes, network)


def _hash(tensors: Sequence[Tensor], size: int) -> bytes:
    digest = hashlib.blake2b(digest_size=size)
    for tensor in tensors:
        digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.digest()

"""Data sets: images or token sequences, each item with a name of its own."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from ..errors import ItinfError

IGNORED = -100
"""Target of a unit that is not predicted (padding); such a unit counts in no result."""


@runtime_checkable
class Data(Protocol):
    """A finite set of clusters (images, or token sequences), each with a name of its own.

    Attributes:
        name: the data set and its split, as recorded in results; part of every cluster's key.
        unit: ``"image"`` or ``"token"``.
        note: how it was made (sizes, seeds, tokeniser, hashes), a JSON-ready mapping.
    """

    name: str
    unit: str
    note: dict[str, Any]

    def __len__(self) -> int:
        """Number of clusters."""

    def key(self, index: int) -> str:
        """The item's own name (relative path; document and offset), never its place in a loader."""

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Input (C, H, W) with target (), or ids (T,) with next-token targets (T,)."""


@dataclass(frozen=True)
class Batch:
    """Some clusters, stacked.

    Attributes:
        inputs: (N, C, H, W) or (N, T).
        targets: (N,) or (N, T) int64; ``IGNORED`` marks units that are not predicted.
        keys: (N,) uint64 cluster keys.
    """

    inputs: Tensor
    targets: Tensor
    keys: np.ndarray

    def __len__(self) -> int:
        return len(self.inputs)


class WrappedDataset:
    """A torch Dataset (or the one inside a DataLoader) as ``Data``.

    An item's name is its index in the *dataset*, which no shuffling by a loader changes.

    Args:
        source: a map-style Dataset, a DataLoader over one, or any sequence of
            ``(input, target)``; for token networks an item may be ``(ids,)`` or ``ids`` of
            length T + 1, which become T inputs and T next-token targets.
        unit: ``"image"`` or ``"token"``.
        name: as recorded; by default the class name, the length, and a hash of up to 64 items spread over the data.

    Raises:
        ItinfError: for a stream without length and index.
    """

    def __init__(self, source: Any, unit: str, name: str | None = None) -> None:
        items = getattr(source, "dataset", source)
        if not (hasattr(items, "__len__") and hasattr(items, "__getitem__")):
            raise ItinfError(
                f"{type(items).__name__} is a stream; expected data with len() and indexing, "
                "because which items are measured must not depend on a loader. Put its items in a list."
            )
        self.items = items
        self.unit = unit
        self.note: dict[str, Any] = {"class": type(items).__name__, "items": len(items)}
        self.name = name or f"{type(items).__name__}[{len(items)}]#{self._fingerprint()}"

    def _fingerprint(self) -> str:
        digest = hashlib.blake2b(digest_size=4)
        for index in sorted({round(i) for i in np.linspace(0, len(self.items) - 1, 64)}):
            for tensor in self[index]:
                digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.items)

    def key(self, index: int) -> str:
        return str(index)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        item = self.items[index]
        if self.unit == "token" and (isinstance(item, Tensor) or len(item) == 1):
            ids = item if isinstance(item, Tensor) else item[0]
            return ids[:-1], ids[1:]
        inputs, target = item[0], item[1]
        return inputs, torch.as_tensor(target, dtype=torch.int64)


def as_data(source: Any, unit: str) -> Data:
    """``source`` itself where it already is ``Data``, else wrapped."""
    return source if isinstance(source, Data) else WrappedDataset(source, unit)

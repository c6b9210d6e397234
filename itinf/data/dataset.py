"""Data sets: images or token sequences, each item with a name of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:  # slow, and reading results needs none
    from torch import Tensor

IGNORED = -100
"""Target of a unit that is not predicted (padding); such a unit counts in no result."""


@runtime_checkable
class Data(Protocol):
    """A finite set of clusters (images, or token sequences), each with a name of its own.

    Items that may change under the same name need a method ``content(index) -> bytes``, see ``clusters.content_of``; or
    the note has a hash of all of them.

    Attributes:
        name: the data set and its split, as recorded in results; part of every cluster's key.
        unit: ``"image"``, ``"token"`` or ``"text"``.
        note: how it was made (sizes, seeds, tokeniser, hashes), a JSON-ready mapping. Its entry ``doubts``, a list of
            sentences, is shown beside the results.
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

    def __repr__(self) -> str:
        return described(self)


def described(data: Data) -> str:
    """What a data set is, in one line; no item is read."""
    split = f", split {data.note['split']}" if "split" in data.note else ""
    if data.unit != "token":
        items = f"{len(data):,} {data.unit}s; unit {data.unit}, each {data.unit} is a cluster"
        return f"{type(data).__name__} {data.name}{split}: {items}"
    length = f" of {data.note['length']:,} tokens" if "length" in data.note else ""
    return f"{type(data).__name__} {data.name}{split}: {len(data):,} sequences{length}; unit token, each sequence is a cluster"


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

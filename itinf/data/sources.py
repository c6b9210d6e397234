"""What may be given as data: a data set with length and index, or a loader that reads one as it is."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler, default_collate

from ..errors import ItinfError
from .forms import EXPECTED


def dataset_of(source: Any) -> Any:
    """The data set with length and index behind what the user gave.

    Raises:
        ItinfError: for a stream, for a loader that chooses or changes items, and for what is no data set.
    """
    dataset = _loaded(source) if isinstance(source, DataLoader) else source
    kind = type(dataset).__name__
    if isinstance(dataset, Mapping):
        raise ItinfError(
            f"A {kind} with {', '.join(map(str, list(dataset)[:5]))} was given as data. Give one of its data sets, or a "
            "list of items."
        )
    if isinstance(dataset, str | bytes | PathLike):
        raise ItinfError(
            f"{dataset!r} was given as data. Open it first: itinf.dataset('NAME:ARGUMENT', network), such as images:FOLDER "
            "or text:FILE."
        )
    if isinstance(dataset, tuple) and all(isinstance(part, Tensor | np.ndarray) and len(part) > 2 for part in dataset):
        raise ItinfError(
            f"A tuple of {len(dataset)} arrays was given as data. Join them item by item: "
            "torch.utils.data.TensorDataset(inputs, targets), of tensors."
        )
    if not (hasattr(dataset, "__iter__") or hasattr(dataset, "__getitem__")):
        raise ItinfError(f"{kind} is no data set; expected a data set, a DataLoader over one, or a list of items.")
    if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
        raise ItinfError(
            f"{kind} is a stream; expected data with len() and indexing, "
            "because which items are measured must not depend on a loader. Put its items in a list."
        )
    return dataset


def _loaded(loader: DataLoader[Any]) -> Any:
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

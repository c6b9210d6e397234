"""Several processes under torchrun: they add up their float64 sums, and only the first process writes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist

from ..results.sums import StudySums, empty_sums, meaning_of
from ..statistics.bootstrap import FINISHED, Sums
from ..statistics.histograms import Histograms


@dataclass(frozen=True)
class ProcessGroup:
    """The rank of this process, and the number of processes."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0


@contextmanager
def process_group() -> Iterator[ProcessGroup]:
    """Joins the process group that torchrun describes in the environment; without torchrun, a group of one."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ProcessGroup()
        return
    joined = not dist.is_initialized()
    if joined:
        dist.init_process_group("gloo")  # gloo works on the CPU, and sums are on the CPU even if the model is on a GPU
    try:
        yield ProcessGroup(dist.get_rank(), dist.get_world_size())
    finally:
        if joined:
            dist.destroy_process_group()


def all_reduce(part: StudySums, here: ProcessGroup) -> StudySums:
    """Adds up the sums of all processes; every process gets the total, with the meaning that the first one has.

    Args:
        part: the sums of this process. They may have no clusters, except in the first process.
        here: this process.
    """
    if here.size == 1:
        return part
    part.sums.flush()
    clusters = torch.tensor(part.clusters)
    counted = [torch.zeros_like(clusters) for _ in range(here.size)]
    dist.all_gather(counted, clusters)
    lengths = [int(n) for n in counted]
    if not all(lengths):
        meaning = _broadcast_text(json.dumps(meaning_of(part)) if here.first else "", here)
        part = part if part.entries else empty_sums(json.loads(meaning), part.sums.count)
    arrays = part.sums.arrays()
    summed = {field: _summed(arrays[field]) for field in FINISHED}
    for field in Histograms.SUMS:
        setattr(part.histograms, field, _summed(getattr(part.histograms, field)))
    part.histograms.recount(*(_gathered(x.astype(np.int64)) for x in (part.histograms.fine, part.histograms.counts)))
    keys = _gathered(part.sums.keys.view(np.int64)).view(np.uint64)
    part.sums = Sums.of(part.sums.seed, part.sums.names, summed | {"keys": keys})
    return part


def _summed(array: np.ndarray) -> np.ndarray:
    whole = torch.from_numpy(np.ascontiguousarray(array))
    dist.all_reduce(whole)
    return whole.numpy()


def _gathered(mine: np.ndarray) -> np.ndarray:
    """The int64 arrays (N,) of all processes, one after another; their lengths may differ."""
    lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(dist.get_world_size())]
    dist.all_gather(lengths, torch.tensor([len(mine)]))
    padded = torch.zeros(max(map(int, lengths)), dtype=torch.int64)
    padded[: len(mine)] = torch.from_numpy(np.ascontiguousarray(mine))
    gathered = [torch.zeros_like(padded) for _ in lengths]
    dist.all_gather(gathered, padded)
    return np.concatenate([each.numpy()[: int(n)] for each, n in zip(gathered, lengths, strict=True)])


def _broadcast_text(text: str, here: ProcessGroup) -> str:
    """The text of the first process, sent to all processes."""
    content = torch.tensor(list(text.encode()), dtype=torch.uint8)
    length = torch.tensor(len(content))
    dist.broadcast(length, 0)
    if not here.first:
        content = torch.zeros(int(length), dtype=torch.uint8)
    dist.broadcast(content, 0)
    return bytes(content.numpy()).decode()

"""Several processes under torchrun: float64 sums are all-reduced, and the first process alone writes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist

from .accumulator import Accumulator
from .histogram import Histograms
from .statistics import Sums


@dataclass(frozen=True)
class World:
    """This process among its equals."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0


@contextmanager
def world() -> Iterator[World]:
    """Joins the process group that torchrun's environment describes, or none."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield World()
        return
    joined = not dist.is_initialized()
    if joined:
        dist.init_process_group("gloo")  # sums are float64 on the processor, whatever the model runs on
    try:
        yield World(dist.get_rank(), dist.get_world_size())
    finally:
        if joined:
            dist.destroy_process_group()


def reduce(part: Accumulator, here: World) -> Accumulator:
    """The sum of every process's accumulator, known to all; what it means is the first one's.

    Args:
        part: this process's, possibly without any cluster; the first process's has some.
        here: this process.
    """
    if here.size == 1:
        return part
    part.sums.flush()
    shape = torch.tensor([len(part.sums.names), len(part.histograms.names), len(part.sums.keys), part.done])
    shapes = [torch.zeros_like(shape) for _ in range(here.size)]
    dist.all_gather(shapes, shape)
    columns, histograms = int(shapes[0][0]), int(shapes[0][1])
    if not part.sums.names:
        blank = Sums(part.sums.seed, part.sums.count)
        blank.plain, blank.clusters = np.zeros(columns), np.zeros(columns)
        blank.replicates = np.zeros((blank.count, columns))
        part = Accumulator(blank, Histograms([""] * histograms))
    for holder, fields in ((part.sums, ("plain", "clusters", "replicates")), (part.histograms, Histograms.FIELDS)):
        for field in fields:
            whole = torch.from_numpy(np.ascontiguousarray(getattr(holder, field)))
            dist.all_reduce(whole)
            setattr(holder, field, whole.numpy())
    lengths = [int(s[2]) for s in shapes]
    mine = np.zeros(max(lengths), dtype=np.uint64)
    mine[: lengths[here.rank]] = part.sums.keys
    gathered = [torch.zeros(len(mine), dtype=torch.int64) for _ in lengths]
    dist.all_gather(gathered, torch.from_numpy(mine.view(np.int64)))
    part.sums._keys = [g.numpy().view(np.uint64)[:n] for g, n in zip(gathered, lengths, strict=True)]
    part.done = sum(int(s[3]) for s in shapes)
    return part

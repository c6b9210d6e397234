"""A sample of the clusters, with one unit and one random class each; it depends on seed and cluster keys alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..networks.trace import Trace


@dataclass(frozen=True)
class Sample:
    """One unit of each chosen cluster.

    Attributes:
        clusters: (M,) clusters of the batch; positions: (M,) the position of the unit, 0 for images.
        units: (M,) rows of the units, of ``Trace.per_prediction`` where positions are units.
        labels: (M,) their targets.
        random: (M,) a random class other than the target.
        again: (M,) bool, the share that a second, dearer measurement takes.
    """

    clusters: Tensor
    positions: Tensor
    units: Tensor
    labels: Tensor
    random: Tensor
    again: Tensor

    def __len__(self) -> int:
        return len(self.clusters)


def sample(trace: Trace, seed: int, classes: int, one_in: int, again_in: int) -> Sample:
    """Chooses one cluster in ``one_in``, a unit of it that has a target, and a class that is not this target.

    Args:
        trace: trace of the batch.
        seed: seed of the study.
        classes: number of classes.
        one_in: 1 takes every cluster; again_in: one of the chosen clusters in so many is measured again.
    """
    draws = np.stack([_draws(seed, int(key)) for key in trace.keys])  # (N, 4)
    known = trace.known.cpu().numpy()
    counts = known.sum(1)
    clusters = np.flatnonzero((draws[:, 0] * one_in < 1) & (counts > 0))
    draws = draws[clusters]
    rank = (draws[:, 1] * counts[clusters]).astype(np.int64)  # the place of the unit among those with a target
    positions = (known[clusters].cumsum(1) == rank[:, None] + 1).argmax(1)
    device, width = trace.targets.device, trace.targets.shape[1]
    rows = torch.as_tensor(clusters * width + positions, device=device)
    labels = trace.targets.flatten()[rows]
    other = torch.as_tensor((draws[:, 2] * (classes - 1)).astype(np.int64), device=device)
    return Sample(
        clusters=torch.as_tensor(clusters, device=device),
        positions=torch.as_tensor(positions, device=device),
        units=rows,
        labels=labels,
        random=other + (other >= labels),
        again=torch.as_tensor(draws[:, 3] * again_in < 1, device=device),
    )


def _draws(seed: int, key: int) -> np.ndarray:
    """Four numbers from 0 to 1 of a cluster."""
    return uniform(seed, key, 2, 4)


def uniform(seed: int, key: int, stream: int, count: int) -> np.ndarray:
    """Numbers from 0 to below 1 of a cluster; they depend on nothing but the arguments.

    Args:
        seed: of the study; ``key``: of the cluster.
        stream: 0 gives the bootstrap weights, 1 random depth orders, 2 samples, 3 random paths and pairs of tokens; others are free.
        count: how many.
    """
    start = np.array([0, 0, 0, stream], dtype=np.uint64)  # far along the stream
    generator = np.random.Philox(key=np.array([seed, key], dtype=np.uint64), counter=start)
    return (generator.random_raw(count) >> np.uint64(11)) * 2.0**-53

"""Lenses judged and transferred: every read streamed into sums, as far as the asked precision needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..architecture import Network
from ..data import IGNORED, Batch
from ..errors import ItinfError
from ..statistics import Array, Sums
from ..tracing import trace
from .collect import Place
from .fit import shared_maps
from .lens import Lens
from .reads import BINS, Read, Reading, read_all
from .temper import BETAS, ONE
from .translator import Translator

SHARED, LEFT_OUT, ROTATED = "shared", "shared, left out", "shared, left out, rotated"


def reads_of(network: Network, lens: Lens, rotations: int = 1) -> list[Read]:
    """Everything that is read: each translator at every state of its segment, the logit lens, and the shared ones.

    Args:
        network: the network.
        lens: an affine or tuned lens; one read from a file has no moments, so no shared lens beside it.
        rotations: how many seeds of the rotated-depth null.
    """
    places, width = lens.places, lens.places[-1].width
    reads = [
        Read(lens.kind, j, i, translator)
        for j, here in enumerate(places)
        for i, (there, translator) in enumerate(zip(places, lens.translators, strict=True))
        if here.segment == there.segment and translator is not None
    ]
    reads += [Read("logit", j, -1, Translator.identity(width)) for j, p in enumerate(places) if p.width == width]
    if lens.found is None:
        return reads
    maps = {SHARED: shared_maps(lens.found, False), LEFT_OUT: shared_maps(lens.found, True)}
    for seed in range(1, rotations + 1):
        maps[f"{ROTATED} {seed}"] = shared_maps(lens.found, True, rotated=seed)
    several = [k for k, p in enumerate(places) if sum(q.segment == p.segment for q in places) > 1]
    return reads + [Read(name, j, -1, Translator.of(*some[j])) for name, some in maps.items() for j in several]


class Grid:
    """Sums of what every read says, plainly and per replicate; merges over clusters.

    Attributes:
        places, reads: what is read where.
        prior: (classes,) log π.
        sums: columns per read, and of the units themselves.
    """

    def __init__(self, network: Network, lens: Lens, reads: Sequence[Read], seed: int, replicates: int) -> None:
        self.places: list[Place] = lens.places
        self.reads, self.prior = list(reads), lens.prior.to(network.device)
        self.sums = Sums(seed, replicates)

    def add(self, network: Network, batch: Batch) -> None:
        """Reads a batch of whole clusters."""
        seen = trace(network, batch, gradients=False)
        said = read_all(network, seen, self.places, self.reads, self.prior)
        known = seen.targets != IGNORED  # (N, P)
        labels = seen.targets.masked_fill(~known, 0)
        half = torch.from_numpy(second_half(batch.keys)).to(known.device)
        columns: dict[str, Tensor] = {}
        base = -self.prior[labels] * known
        for name, chosen in (("A", ~half), ("B", half)):
            columns[f"n|{name}"] = (known.sum(1) * chosen).double()
            columns[f"prior|{name}"] = (base.sum(1) * chosen).double()
        for read, one in zip(self.reads, said, strict=True):
            columns |= _columns(read, one, known, half)
        columns["prediction depth"] = (self._prediction_depth(said).reshape(known.shape) * known).sum(1)
        stacked = torch.stack(list(columns.values())).cpu().numpy()
        self.sums.add(batch.keys, dict(zip(columns, stacked, strict=True)))

    def _prediction_depth(self, said: Sequence[Reading]) -> Tensor:
        """(R,) relative depth from which the own lens's top-1 is the network's and stays so."""
        agrees = {read.at: one.agrees for read, one in zip(self.reads, said, strict=True) if read.own}
        stays = torch.ones_like(next(iter(agrees.values())))
        depth = torch.ones_like(stays)
        for k in sorted(agrees, reverse=True):
            stays = stays * agrees[k]
            depth = torch.where(stays > 0, self.places[k].depth, depth)
        return depth

    @property
    def units(self) -> int:
        self.sums.flush()
        return round(float(self.column("n|A")[0] + self.column("n|B")[0])) if self.sums.names else 0

    @property
    def clusters(self) -> int:
        return len(self.sums.keys)

    def column(self, name: str) -> Array:
        return self.sums.column(name)

    def mean(self, read: Read, what: str) -> Array:
        """Mean over units of a column of a read, (1 + B,)."""
        return self.per_unit(self.column(f"{read.name}|{what}"))

    def per_unit(self, total: Array) -> Array:
        """A sum over the number of units, (1 + B,); NaN in a replicate without clusters."""
        return ratio(total, self.column("n|A") + self.column("n|B"))

    def losses(self, read: Read, half: str) -> Array:
        """(len(BETAS),) nats, sum over the units of a half."""
        return np.array([self.column(f"{read.name}|{half}{k}")[0] for k in range(len(BETAS))])

    def readable(self, read: Read) -> Array:
        """What the reading tells beyond the prior at its best temperature, nats per unit, (1 + B,).

        The temperature is chosen on one half of the clusters and scored on the other, both ways.

        Raises:
            ItinfError: a half is empty.
        """
        counts = [round(self.column(f"n|{half}")[0]) for half in "AB"]
        if 0 in counts:
            raise ItinfError(
                f"The {self.clusters} clusters read fall into halves of {counts[0]} and {counts[1]} units; "
                "a temperature is chosen on one half and scored on the other. Read more clusters."
            )
        total = np.zeros(1 + self.sums.count)
        for chosen_on, scored_on in (("A", "B"), ("B", "A")):
            best = int(self.losses(read, chosen_on).argmin())
            total += self.column(f"prior|{scored_on}") - self.column(f"{read.name}|{scored_on}{best}")
        return self.per_unit(total)

    def raw_readable(self, read: Read) -> Array:
        """What the reading tells beyond the prior as it is; negative where it misleads."""
        total = sum(self.column(f"prior|{h}") for h in "AB") - self.column(f"{read.name}|loss")
        return self.per_unit(np.asarray(total))

    def calibration_error(self, read: Read) -> Array:
        """Expected calibration error of the top-1 over equal-width bins of confidence, (1 + B,)."""
        total = np.zeros(1 + self.sums.count)
        for k in range(BINS):
            total += np.abs(self.column(f"{read.name}|right{k}") - self.column(f"{read.name}|sure{k}"))
        return self.per_unit(total)

    def merge(self, other: Grid) -> None:
        """Adds another's clusters.

        Raises:
            ValueError: clusters in both, or other reads.
        """
        self.sums.merge(other.sums)


def ratio(above: Array, below: Array) -> Array:
    """A ratio of estimates (1 + B,); NaN in replicates where both vanish."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(above / below)


def second_half(keys: np.ndarray) -> np.ndarray:
    """(N,) bool: a half of the clusters, by their keys."""
    return ((keys >> np.uint64(20)) & np.uint64(1)).astype(bool)


def _columns(read: Read, said: Reading, known: Tensor, half: Tensor) -> dict[str, Any]:
    shape = known.shape
    made: dict[str, Tensor] = {}
    losses = (said.losses.reshape(-1, *shape) * known).sum(2)  # (betas, N)
    for name, chosen in (("A", ~half), ("B", half)):
        for k, loss in enumerate(losses):
            made[f"{read.name}|{name}{k}"] = loss * chosen
    made[f"{read.name}|loss"] = losses[ONE]
    for what in ("to_final", "from_own", "entropy", "agrees", "right"):
        made[f"{read.name}|{what}"] = (getattr(said, what).reshape(shape) * known).sum(1)
    bins = (said.confidence * BINS).long().clamp_max(BINS - 1).reshape(shape)
    for k in range(BINS):
        here = known & (bins == k)
        made[f"{read.name}|sure{k}"] = (said.confidence.reshape(shape) * here).sum(1)
        made[f"{read.name}|right{k}"] = (said.right.reshape(shape) * here).sum(1)
    return made

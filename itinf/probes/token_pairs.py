"""Pairs of positions of one sequence: an earlier one, where a prediction is raised, and a later one, where it is read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..networks.trace import Trace
from .sample import uniform

MATCH, NEAREST = "match", "nearest"
"""Pairs of positions that hold the same token, two or more apart: the earlier one is drawn, or the last one that there is. A
number is their distance instead."""
PART = 3


@dataclass(frozen=True)
class Pairs:
    """One pair of positions in each sequence, and a further earlier position that holds another token.

    Attributes:
        earlier, later, elsewhere: (N,) positions; 0 where the sequence has no pair.
        known: (N,) bool, the sequences that have one.
        again: (N,) bool, those of them that a dearer measurement takes, too.
        same: (N, T) bool, the positions that hold the token of ``later``.
    """

    earlier: Tensor
    later: Tensor
    elsewhere: Tensor
    known: Tensor
    again: Tensor
    same: Tensor

    def rows(self, positions: Tensor) -> Tensor:
        """(N,) rows of ``Network.per_prediction`` of one position in each sequence."""
        return torch.arange(len(positions), device=positions.device) * self.same.shape[1] + positions


def pairs_of(trace: Trace, lag: str | int, seed: int, after: int, again_in: int) -> Pairs:
    """Chooses a pair in every sequence at random, by seed and cluster key alone: the later position, then the earlier one.

    Args:
        trace: of sequences of ids; only positions that have a target are chosen.
        lag: ``MATCH`` or ``NEAREST``, whose later positions are the same, or how far apart the two stand.
        seed: seed of the study.
        after: the later position is one after this, counted from 0.
        again_in: one sequence in so many is measured again.
    """
    assert trace.inputs is not None
    ids, known = trace.inputs.cpu().numpy(), trace.known.cpu().numpy()
    draws = [uniform(seed, int(key), PART, 4) for key in trace.keys]
    every = [_pair(*one, lag=lag, after=after) for one in zip(ids, known, draws, strict=True)]
    found = torch.tensor([pair or (0, 0, 0) for pair in every], device=trace.targets.device)
    again = torch.tensor([draw[3] * again_in < 1 for draw in draws])
    has = torch.tensor([pair is not None for pair in every])
    later = found[:, 1]
    same = trace.inputs == trace.inputs.gather(1, later.unsqueeze(1))
    device = found.device
    return Pairs(found[:, 0], later, found[:, 2], has.to(device), (has & again).to(device), same)


def _pair(
    ids: np.ndarray, known: np.ndarray, draws: np.ndarray, lag: str | int, after: int
) -> tuple[int, int, int] | None:
    """(earlier, later, elsewhere) of one sequence, or None."""
    places = np.arange(len(ids))
    apart = places[None, :] - places[:, None]
    fits = known[:, None] & known[None, :] & (places > after)[None, :]
    fits &= apart == lag if isinstance(lag, int) else (ids[:, None] == ids[None, :]) & (apart >= 2)
    if not fits.any():
        return None
    later = _drawn(fits.any(0), draws[0])
    earlier = int(np.flatnonzero(fits[:, later])[-1]) if lag == NEAREST else _drawn(fits[:, later], draws[1])
    other = known & (places <= later - 2) & (ids != ids[earlier])
    return (earlier, later, _drawn(other, draws[2])) if other.any() else None


def _drawn(mask: np.ndarray, draw: float) -> int:
    places = np.flatnonzero(mask)
    return int(places[int(draw * len(places))])

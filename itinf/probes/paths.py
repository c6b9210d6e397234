"""The paths probe: how many branches does the gradient pass on its way back?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import comb

import torch
from torch import Tensor

from ..networks.path_lengths import PathLengths, longest, path_lengths
from ..networks.states import segments
from ..networks.trace import Trace
from ..results.estimators import Ratio
from ..results.reasons import NO_SKIP_PATH
from ..results.recorder import Recorder
from ..results.row import Row
from ..settings import truth, whole
from .batch import ProbeBatch
from .probe import Probe

PIECE = 16
"""Clusters whose graph is held at once."""


@dataclass(frozen=True, repr=False)
class Paths(Probe):
    """The gradient of the loss by the length of its paths, exactly.

    A residual network is a sum over paths: at every block a path takes the branch or the skip, and its length is the number
    of branches. G_k is the part of the gradient g = ∂ℓ/∂h of all paths of length k, with every Jacobian at the recorded
    states, so that Σ_k G_k = g. In rows about the first state of every segment, through all blocks that follow:

    * ``path_share``: ⟨G_k, g⟩ / |g|², in the form "length k". The shares add up to 1; one is negative where paths of that
      length point against the whole.
    * ``path_norm``: |G_k| / |g|. In the form "all lengths" their sum: 1 where the paths of all lengths point the same way,
      above 1 where they cancel.
    * ``effective_path_length``: Σ_k k · share. With branches as strong as skips, it is half the number of blocks.
    * ``sampled_path_norm``: C(B, k) · |one random path of length k| / |g|, as Veit et al. 2016 took it, at the first state.
      It counts paths that cancel each other.

    A ReLU after the addition belongs to skip and branch alike. Where the shape changes, the skip is the shortcut: all that
    does not go through the block's ``branch``. Every path takes the branch of a block without a skip. A length counts blocks, or parts of blocks (update "part"), not layers. All
    tokens of a sequence are one unit, as their losses share a backward pass. Numbers are means over units.

    Source: Veit et al. 2016, section 4, who sample paths; the exact sum is itinf's own.

    Attributes:
        units: at most so many images or sequences are measured, the first ones of the study.
        parts: whether the parts of a block, such as attention and MLP, count one each.
        sampled: whether single random paths are measured, too, which takes as long again.

    Raises:
        ItinfError: ``units`` is less than 1, or a switch is neither True nor False.
    """

    units: int = 64
    parts: bool = False
    sampled: bool = True

    measure = "path_share"

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("units", self.units, 1, "at most so many images or sequences are measured")
        truth("parts", self.parts)
        truth("sampled", self.sampled)

    def measure_batch(self, batch: ProbeBatch, record: Recorder) -> None:
        states = first_states(batch.trace)
        lengths = longest(batch.trace, states, self.parts)
        found = {state: _AtState(batch, count) for state, count in lengths.items()}
        for piece in self._pieces(batch):
            seed = batch.seed if self.sampled else None
            for state, measured in path_lengths(batch.trace, piece, states, self.parts, seed).items():
                found[state].add(piece, measured)
        for state in states:
            row = self._row(batch, state)
            if state in found:
                found[state].record(record, row, sampled=self.sampled and state == min(found))
            else:
                for measure in ("path_share", "path_norm", "effective_path_length"):
                    record.absent(replace(row, measure=measure), NO_SKIP_PATH)

    def _row(self, batch: ProbeBatch, state: int) -> Row:
        unit = "sequence" if batch.network.unit == "token" else batch.network.unit
        return batch.state_row("path_share", state, update="part" if self.parts else "branch", unit=unit)

    def _pieces(self, batch: ProbeBatch) -> Sequence[Tensor]:
        """The clusters to measure, some at a time."""
        chosen = (batch.trace.known.any(1) & batch.among_first(self.units)).nonzero().flatten()
        return chosen.split(max(1, min(PIECE, batch.at_once))) if len(chosen) else ()


def first_states(trace: Trace) -> list[int]:
    """The first state of every segment that a block follows."""
    numbers = segments(trace)
    firsts = [state for state, number in enumerate(numbers) if state == 0 or number != numbers[state - 1]]
    return [state for state in firsts if state < len(numbers) - 1]


class _AtState:
    """The numbers of every cluster of a batch at one state; zero for those that are not measured."""

    def __init__(self, batch: ProbeBatch, longest: int) -> None:
        clusters, device = len(batch.trace), batch.trace.targets.device
        empty = torch.zeros(longest + 1, clusters, dtype=torch.float64, device=device)
        self.share, self.norm, self.sampled = empty, empty.clone(), empty.clone()
        self.known = torch.zeros(clusters, 1, dtype=torch.bool, device=device)

    def add(self, clusters: Tensor, measured: PathLengths) -> None:
        """Adds some clusters; one whose gradient is zero has no shares."""
        known = measured.whole > 0
        whole = torch.where(known, measured.whole, 1.0)
        self.share[:, clusters] = measured.dots / whole
        self.norm[:, clusters] = (measured.squares / whole).sqrt()
        if measured.sampled is not None:
            self.sampled[:, clusters] = (measured.sampled / whole).sqrt()
        self.known[clusters] = known.unsqueeze(1)

    def record(self, record: Recorder, row: Row, sampled: bool) -> None:
        """Adds the rows: one for every measure and length, and the effective length."""
        count = record.count(f"paths|{row.state}|{row.update}|n", self.known)
        longest = len(self.share) - 1
        kinds = {"path_share": self.share, "path_norm": self.norm}
        if sampled:
            paths = torch.tensor([float(comb(longest, k)) for k in range(longest + 1)], dtype=torch.float64)
            kinds["sampled_path_norm"] = self.sampled * paths.to(self.sampled.device).unsqueeze(1)
        rows = [
            (replace(row, measure=measure, form=f"length {k}"), values[k])
            for measure, values in kinds.items()
            for k in range(longest + 1)
        ]
        lengths = torch.arange(longest + 1, dtype=torch.float64, device=self.share.device)
        rows.append((replace(row, measure="path_norm", form="all lengths"), self.norm.sum(0)))
        rows.append((replace(row, measure="effective_path_length"), lengths @ self.share))
        for each, values in rows:
            total = torch.where(self.known[:, 0], values, 0.0)
            record.add(each, Ratio, {"above": total}, below=count, n=count)

"""The batch that probes measure: its trace, readouts, calibration, groups and partners."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..networks.network import Network
from ..networks.trace import SiteId, Target, Trace, UpdateName
from ..results.reasons import NO_TRANSLATOR, Reason
from ..results.row import Row
from .calibration import Calibration
from .gradients import Gradient, GradientName, base, gradient
from .readouts import Readout
from .same_target import SameTargetPairs


@dataclass(frozen=True)
class Combination:
    """An update and a gradient to compare; a ``readout`` gradient is taken through ``lens``, "" for no lens."""

    update: UpdateName
    part: str
    gradient: GradientName
    target: Target
    lens: str = ""


@dataclass(frozen=True)
class ProbeBatch:
    """The batch that probes measure.

    Attributes:
        trace, readouts, calibration: the trace of the batch, its readouts by state, and the calibration.
        groups: slices of clusters; pairs are made within a group.
        partners: null -> (N·P,) row of each unit's partner, −1 for no partner.
        seed: seed of the study.
        lensed: name of a lens -> its readout at every state that it reads.
        at_once: clusters that a probe may send through the network at once.
        places: (N,) places of the clusters in the order of the study, for a probe that measures the first of them alone;
            None for the batch that is the whole study.
    """

    trace: Trace
    readouts: dict[SiteId, Readout]
    calibration: Calibration
    groups: list[slice]
    partners: dict[str, Tensor]
    seed: int
    lensed: Mapping[str, dict[SiteId, Readout]] = field(default_factory=dict)
    at_once: int = 64
    places: np.ndarray | None = None

    def among_first(self, units: int) -> Tensor:
        """(N,) bool: the clusters that are among so many first ones of the study."""
        device = self.trace.targets.device
        places = np.arange(len(self.trace)) if self.places is None else self.places
        return torch.as_tensor(places, device=device) < units

    @property
    def network(self) -> Network:
        """The network of the trace."""
        return self.trace.network

    @cached_property
    def same_target(self) -> SameTargetPairs:
        """All pairs of units with the same target in a group."""
        return SameTargetPairs(self.trace, self.groups)

    def readouts_of(self, lens: str) -> dict[SiteId, Readout]:
        """The readouts through a lens, or the network's own readouts for ""."""
        return self.lensed[lens] if lens else self.readouts

    def row(self, measure: str, block: int, **columns: Any) -> Row:
        """A row about a block, counted from 0 here and from 1 in the table."""
        return Row(measure, block + 1, **{"unit": self.network.unit} | columns)

    def state_row(self, measure: str, state: int, **columns: Any) -> Row:
        """A row about a state, an index in ``Trace.states``."""
        return Row(measure, 0, **{"unit": self.network.unit, "state": state} | columns)


def gradient_of(trace: Trace, readouts: dict[SiteId, Readout], block: int, c: Combination) -> Gradient | Reason:
    """The gradient of a combination, or the reason why it does not exist; ``readouts`` are those of its lens."""
    taken = gradient(trace, readouts, block, c.update, c.part, c.gradient, c.target)
    if not c.lens:
        return taken
    if isinstance(taken, Reason):
        return taken if base(trace, block, c.part) in readouts else NO_TRANSLATOR
    return replace(taken, key=(c.lens, *taken.key))

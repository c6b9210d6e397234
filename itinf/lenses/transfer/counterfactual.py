"""Counterfactual states: what one unit carries, with what blocks have written for another unit.

Between two states h_i and h_j of a segment, blocks add D = h_j − h_i. The lens of state i reads

    carried: h_i of the unit + D of a partner: what it still reads because h_i is a summand of h_j,
    written: h_i of the partner + D of the unit: what the blocks between have written in its code.

The partner is the unit at the same position of the next cluster (pairing), or one of another cluster with the same target.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...data.dataset import Batch
from ...networks.network import Network
from ...networks.trace import Trace, concatenate, trace
from ...statistics.nulls import PAIRING, SAME_TARGET, Null, partners_of

if TYPE_CHECKING:
    from .cells import Cell

CARRIED, CARRIED_SAME, WRITTEN = "carried", "carried, same-target", "written"
READS: dict[str, Null] = {CARRIED: PAIRING, CARRIED_SAME: SAME_TARGET, WRITTEN: PAIRING}
"""Form of a cell -> the null that gives each unit its partner."""
OWN: dict[str, Null] = {f"own, {null.name}": null for null in (PAIRING, SAME_TARGET)}
"""The same for a state's own lens, read at the units that have a partner: what these reads are divided by."""
AMONG = {form: null.name for form, null in (READS | OWN).items()}
"""Form -> name of the null whose partners a unit must have to be counted."""


@dataclass(frozen=True)
class Partners:
    """The partners of the units of a batch, which is one group.

    Attributes:
        rows: name of a null -> (N·P,) row of each unit's partner; its own where it has none.
        known: the same -> (N·P,) bool, whether it has one.
    """

    rows: Mapping[str, Tensor]
    known: Mapping[str, Tensor]

    @classmethod
    def of(cls, batch: Trace, cells: Iterable[Cell]) -> Partners:
        """The partners that some cells need."""
        needed = {cell.form for cell in cells} & AMONG.keys()
        targets, device = batch.targets.cpu().numpy(), batch.targets.device
        rows, known = {}, {}
        for null in dict.fromkeys((READS | OWN)[form].name for form in AMONG if form in needed):
            found = partners_of({n.name: n for n in OWN.values()}[null], targets, batch.keys, [slice(0, len(batch))])
            partner = torch.from_numpy(found).to(device)
            known[null] = partner >= 0
            rows[null] = torch.where(known[null], partner, torch.arange(len(partner), device=device))
        return cls(rows, known)

    def counted(self, cells: Iterable[Cell], units: Tensor) -> Tensor | None:
        """(M, R) float64: 1 where a cell counts a unit, else 0; None where all cells count all units."""
        every = torch.ones(len(units), dtype=torch.bool, device=units.device)
        counted = [self.known[cell.among][units] if cell.among else every for cell in cells]
        return torch.stack(counted).double() if any(one is not every for one in counted) else None

    def state(self, cell: Cell, states: Mapping[int, Tensor], units: Tensor) -> Tensor:
        """The vectors of some units that a cell reads; ``states``: index of a state -> vectors of all units."""
        here = states[cell.at]
        if cell.form not in READS:
            return here[units]
        others, start = self.rows[cell.among][units], states[cell.fitted_at]
        own, other = (units, others) if cell.form != WRITTEN else (others, units)
        parts = (start[own], here[other], start[other])
        carried, end, before = (x.float() if x.element_size() < 4 else x for x in parts)
        return carried + (end - before)


def traced(network: Network, batch: Batch, at_once: int | None = None) -> Trace:
    """The trace of a batch without gradients, ``at_once`` clusters in one forward pass; None for all of them."""
    size = at_once or len(batch)
    parts = [slice(start, start + size) for start in range(0, len(batch), size)]
    traces = [
        trace(network, Batch(batch.inputs[part], batch.targets[part], batch.keys[part]), gradients=False)
        for part in parts
    ]
    return concatenate(traces)

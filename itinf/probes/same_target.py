"""All pairs of units that have one target and are of different clusters of a group."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..networks.trace import Trace
from ..results.dyads import stacked
from ..statistics.nulls import cliques


class SameTargetPairs:
    """The pairs of a batch for the same-target null, found once for all blocks.

    Units are in *cliques*: every two units of a clique that are of different clusters are a pair.

    Attributes:
        cliques: for each group, row numbers (C, m) of the units of C cliques; −1 fills up smaller cliques.
    """

    def __init__(self, trace: Trace, groups: list[slice]) -> None:
        self.shape, self.groups = trace.targets.shape, groups
        targets = trace.targets.cpu().numpy()
        self.cliques: list[list[Tensor]] = []
        for members in groups:
            found = cliques(targets[members], trace.keys[members])
            start, device = members.start * self.shape[1], trace.targets.device
            self.cliques.append([torch.from_numpy(c + start * (c >= 0)).to(device) for c in found])

    def weights(self, fits: Tensor) -> tuple[Tensor, list[list[Tensor]]]:
        """(N, P) bool: the units that have a partner; and the weights of pairs.

        Args:
            fits: (N, P) bool, which units can be in a pair.

        Returns:
            which units have a partner; and for each clique tensor (C, m, m) float64 the weight of each pair: 1 / the
            number of partners of the first unit, so that every unit counts once.
        """
        flat = fits.flatten()
        partnered = torch.zeros_like(flat)
        found: list[list[Tensor]] = []
        for group in self.cliques:
            found.append([])
            for rows in group:
                owner = rows.div(self.shape[1], rounding_mode="floor")
                usable = (rows >= 0) & flat[rows.clamp_min(0)]
                pairs = usable.unsqueeze(2) & usable.unsqueeze(1) & (owner.unsqueeze(2) != owner.unsqueeze(1))
                number = pairs.sum(2)
                partnered[rows[number > 0]] = True
                found[-1].append(pairs.double() / number.clamp_min(1).unsqueeze(2))
        return partnered.view(self.shape), found

    def dyads(self, weights: list[list[Tensor]], values: Callable[[int, Tensor], Tensor] | None = None) -> Tensor:
        """Weighted values, or the weights alone, added up for every dyad: (groups, n, n) float64.

        Args:
            weights: see ``weights``.
            values: takes the number of a group and row numbers (C, m), and gives the values (C, m, m) of each first
                unit's update with each second unit's gradient.
        """
        tables = []
        for number, (members, group, weight) in enumerate(zip(self.groups, self.cliques, weights, strict=True)):
            size = members.stop - members.start
            table = torch.zeros(size * size, dtype=torch.float64, device=self.device)
            for rows, w in zip(group, weight, strict=True):
                owner = rows.div(self.shape[1], rounding_mode="floor") - members.start
                place = (owner * size).unsqueeze(2) + owner.unsqueeze(1)
                counted = w > 0
                given = w if values is None else w * values(number, rows)
                table.index_add_(0, place[counted], given[counted])
            tables.append(table.view(size, size))
        return stacked(tables)

    def tables(
        self, weights: list[list[Tensor]], values: Callable[[int, Tensor], Tensor], observed: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Values, weights and weighted observed values (N, P) for every dyad, see ``Recorder.partner_means``."""
        own = observed.flatten().double()

        def theirs(group: int, rows: Tensor) -> Tensor:
            return own[rows.clamp_min(0)].unsqueeze(2).expand(-1, -1, rows.shape[1])

        return self.dyads(weights, values), self.dyads(weights), self.dyads(weights, theirs)

    @property
    def device(self) -> torch.device | None:
        return next((rows.device for group in self.cliques for rows in group), None)

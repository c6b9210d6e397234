"""How long a transfer will take: a few units are read at one state of each segment, by all the cells of that state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import groupby, permutations
from typing import Any

import torch

from ..data.clusters import Order
from ..data.dataset import IGNORED, Batch, Data
from ..lenses.fit_statistics import no_statistics
from ..lenses.lens import Lens
from ..lenses.transfer.cells import LEFT_OUT, MATCHED, ROTATED, SHARED, Cell
from ..lenses.transfer.matrix import TransferMatrix
from ..lenses.transfer.pilot import UNITS, windows
from ..lenses.transfer.scores import TARGETS
from ..lenses.transfer.transfer import CHECK, cells_to_read
from ..lenses.translator import Translator
from ..networks.measuring import evaluating
from ..networks.network import Network
from ..networks.states import Site
from ..networks.trace import trace
from ..settings import Settings
from .forecast import FIT_CLUSTERS, Seconds, rate, some

FIRST_UNITS, MOST_UNITS = 16, 4096
"""Units of the first trial, and of the last one."""
LOOKS = 3
"""The tables take as long as so many checks of the precision, about."""


@dataclass(frozen=True)
class CellCosts:
    """What the cells of a transfer cost.

    Attributes:
        cells: how many there are.
        pilot, score: seconds for one unit at all cells, in the pilot and when it is scored.
        check: seconds to find out how precise the sums are.
        cluster: seconds of a forward pass, for one cluster.
    """

    cells: int
    pilot: float
    score: float
    check: float
    cluster: float


def transfer_seconds(costs: CellCosts, clusters: int, units_each: int, unit: str) -> Seconds:
    """Seconds of a transfer that reads so many clusters.

    Args:
        costs: of its cells.
        clusters: how many are scored; ``units_each``: units in one; ``unit``: "image" or "token".
    """
    units, checks = clusters * units_each, -(-clusters // CHECK[unit])
    return {
        "pilot": min(UNITS, units) * costs.pilot,
        "transfer": units * costs.score + clusters * costs.cluster,
        "tables": (checks + LOOKS) * costs.check,
    }


def cell_costs(
    network: Network, lens: Lens, data: Data, order: Order, settings: Settings, rotations: int = 1
) -> CellCosts:
    """Times a few units at one state of each segment, with all the cells that read it.

    Args:
        network: the network; ``lens``: its lens from a file, or a ``stand_in`` for one that will be fitted, beside
            which the shared lenses are read.
        data, order: what is scored; ``settings``: of the study; ``rotations``: seeds of the rotated null.
    """
    first = some(data, order, 1)
    cells = trial_cells(network, lens, first, rotations, settings)
    chosen = one_state_each(lens.sites, cells)
    units = first.targets.numel()
    most, share = min(MOST_UNITS, len(order) * units), len(cells) / len(chosen)
    cluster = rate(
        lambda count: trace(network, some(data, order, count), gradients=False), min(len(order), FIT_CLUSTERS)
    )
    window = torch.full((len(TARGETS), len(chosen)), 1 / 8, dtype=torch.float64)

    def batch(count: int) -> Batch:
        """As many clusters as it takes, with as many targets."""
        clusters = some(data, order, -(-count // units))
        targets = clusters.targets.clone()
        targets.view(-1)[count:] = IGNORED
        return replace(clusters, targets=targets)

    def scored(count: int) -> TransferMatrix:
        matrix = TransferMatrix(network, lens, chosen, window, settings.seed, settings.replicates)
        matrix.add(network, batch(count))
        for sums in matrix.halves:
            sums.flush()
        return matrix

    def alone(work: Callable[[int], Any]) -> float:
        return max(0.0, rate(work, most, FIRST_UNITS) - cluster / units) * share

    with evaluating(network):
        pilot = alone(lambda count: windows(network, lens, chosen, [batch(count)], settings.seed))
        score = alone(scored)
        matrix = scored(min(most, 2 * FIRST_UNITS))
        own = [cell for cell in chosen if cell.diagonal]
        look = rate(lambda count: [matrix.readable(cell, t) for cell in own[:count] for t in TARGETS], len(own))
    return CellCosts(len(cells), pilot, score, look * len(cells), cluster)


def trial_cells(network: Network, lens: Lens, batch: Batch, rotations: int, settings: Settings) -> list[Cell]:
    """The cells of a transfer of this lens; a stand-in also has the cells that moments would give."""
    cells, read = cells_to_read(network, lens, rotations, settings), lens.sites
    if "network" in lens.record:  # it was fitted, and read from a file without its moments
        return cells
    of = {k: [j for j, site in enumerate(read) if site.segment == read[k].segment] for k in range(len(read))}
    names = [(SHARED, "observed", -1), (LEFT_OUT, "observed", -1)]
    names += [(LEFT_OUT, ROTATED, seed) for seed in range(1, rotations + 1)]
    for name, null, seed in names:
        cells += [Cell(name, j, -1, _own(lens, j), null=null, seed=seed) for j in of if len(of[j]) > 1]
    for start in no_statistics(network, batch).products if settings.pairs else ():
        cells += [Cell(lens.kind, j, i, _own(lens, i), form=MATCHED) for i, j in permutations(of[start], 2)]
    return cells


def one_state_each(read: list[Site], cells: list[Cell]) -> list[Cell]:
    """The cells of the middle state of every segment."""
    known = sorted({cell.at for cell in cells})
    groups = [list(states) for _, states in groupby(known, key=lambda state: read[state].segment)]
    middle = {states[len(states) // 2] for states in groups}
    return [cell for cell in cells if cell.at in middle]


def _own(lens: Lens, state: int) -> Translator:
    translator = lens.translators[state]
    assert translator is not None, "a stand-in reads every state"
    return translator

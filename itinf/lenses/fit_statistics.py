"""One pass over the fitting data: for every state its moments with the last one, and how often each target occurs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ..data.dataset import IGNORED, Batch
from ..errors import ItinfError
from ..networks.network import Network
from ..networks.readout import chunks, classes_of, logits, pools_first, require_finite, vectors
from ..networks.states import Site, sites
from ..networks.trace import Trace, trace
from .moments import Moments

HELD_OUT = 8
"""One cluster in so many, by its key, chooses the ridge and is not fitted on."""


@dataclass
class FitStatistics:
    """What every closed-form lens is made from; merges by ``+``.

    Attributes:
        sites: of the states, in order of depth; the last is the network's own last state.
        fitted, held_out: for each place, moments of its vectors with the last state's.
        targets: (2, classes) how often each target occurs among fitted and held-out units.
        final: (classes,) sum of the network's final distributions over fitted units.
        products: first place of a segment -> (S · D, S · D) Σxxᵀ over fitted units of the vectors of its
            S states side by side, where channels may have to be matched.
    """

    sites: list[Site]
    fitted: list[Moments] = field(default_factory=list)
    held_out: list[Moments] = field(default_factory=list)
    targets: Tensor = field(default_factory=lambda: torch.zeros(2, 0))
    final: Tensor = field(default_factory=lambda: torch.zeros(0))
    products: dict[int, Tensor] = field(default_factory=dict)

    @property
    def units(self) -> int:
        """Images or tokens, whatever number of positions each has."""
        return round(float(self.targets.sum()))

    def __add__(self, other: FitStatistics) -> FitStatistics:
        if self.sites != other.sites:
            raise ItinfError("These were collected from different states and cannot be added.")
        return FitStatistics(
            self.sites,
            [a + b for a, b in zip(self.fitted, other.fitted, strict=True)],
            [a + b for a, b in zip(self.held_out, other.held_out, strict=True)],
            self.targets + other.targets,
            self.final + other.final,
            {first: some + other.products[first] for first, some in self.products.items()},
        )


def fit_statistics(network: Network, batches: Iterable[Batch], inside: bool = False) -> FitStatistics:
    """Streams data through a network and keeps sums only.

    Units without a target are left out. Where a neck stands between state and pool, every position
    counts as a unit for states of the last one's resolution, and the mean over positions for others.

    Args:
        network: the network.
        batches: of whole clusters; a cluster's key decides whether it is fitted on or held out.
        inside: see ``places``.

    Raises:
        ItinfError: no batch, or a state with numbers that are not finite (named).
    """
    total: FitStatistics | None = None
    for batch in batches:
        seen = trace(network, batch, gradients=False)
        if total is None:
            total = _nothing(seen, inside)
        _add(seen, total)
    if total is None:
        raise ItinfError("There are no data to fit a lens on.")
    return total


def is_held_out(keys: np.ndarray) -> np.ndarray:
    """(N,) bool: clusters that choose the ridge."""
    return (keys >> np.uint64(8)) % np.uint64(HELD_OUT) == 0


def _nothing(seen: Trace, inside: bool) -> FitStatistics:
    network, found = seen.network, sites(seen, inside)
    classes, width = classes_of(network, network.per_prediction(seen.states[-1])), found[-1].width
    fitted, held_out = ([Moments.none(place.width, width) for place in found] for _ in range(2))
    targets, final = (torch.zeros(*shape, dtype=torch.float64) for shape in ((2, classes), (classes,)))
    return FitStatistics(found, fitted, held_out, targets, final, _no_products(network, found))


def _no_products(network: Network, places: list[Site]) -> dict[int, Tensor]:
    """Channels have no common order but the one given wherever a skip does not fix it; rotations have none to match."""
    if not pools_first(network) or network.gauge not in (None, "channel-scale"):
        return {}
    widths = [place.width for place in places]
    sizes = {span.start: sum(widths[span]) for span in spans([place.segment for place in places], widths)}
    return {first: torch.zeros(size, size, dtype=torch.float64) for first, size in sizes.items()}


def _add(seen: Trace, total: FitStatistics) -> None:
    network = seen.network
    known = (seen.targets != IGNORED).flatten().cpu()
    held = torch.from_numpy(is_held_out(seen.keys)).repeat_interleave(seen.targets.shape[1])
    last = vectors(network, seen.states[-1])
    beside: dict[int, list[Tensor]] = {}
    for k, place in enumerate(total.sites):
        own = vectors(network, seen.state(place.id))
        require_finite(network, place.name, own)
        for moments, chosen in ((total.fitted, known & ~held), (total.held_out, known & held)):
            if bool(chosen.any()):
                moments[k] = moments[k] + Moments.of(*_pairs(own[chosen.to(own.device)], last[chosen.to(own.device)]))
        beside.setdefault(place.segment, []).append(own[(known & ~held).to(own.device)])
    for first, products in total.products.items():
        joined = torch.cat(beside[total.sites[first].segment], 1).double().cpu()
        products += joined.T @ joined
    labels = seen.targets.flatten().cpu()
    for row, chosen in enumerate((known & ~held, known & held)):
        total.targets[row] += torch.bincount(labels[chosen], minlength=total.targets.shape[1])
    fit = last[(known & ~held).to(last.device)]
    with torch.no_grad():
        for part in chunks(len(fit), len(total.final)):
            total.final += logits(network, fit[part]).double().softmax(1).sum(0).cpu()


def _pairs(own: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """Two (R, D) tables of vectors that belong together."""
    if own.ndim > 2 and own.shape[1:-1] != last.shape[1:-1]:
        own, last = (x.flatten(1, -2).mean(1) for x in (own, last))
    return own.flatten(0, -2).cpu(), last.flatten(0, -2).cpu()


MOST_BYTES = 2**28
"""Products of all channels of all states of a segment take at most so much."""


def spans(segments: Sequence[int], widths: Sequence[int]) -> list[slice]:
    """The segments of several states that are small enough, as slices of places.

    Args:
        segments: of every place, ascending; ``widths``: of every place.
    """
    edges = [0, *(k for k, (a, b) in enumerate(pairwise(segments), 1) if a != b), len(segments)]
    found = [slice(a, b) for a, b in pairwise(edges) if b - a > 1]
    return [s for s in found if 8 * sum(widths[s]) ** 2 <= MOST_BYTES]

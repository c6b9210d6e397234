"""One pass over the fitting data: moments of every state with the last one, and how often each target occurs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ..data.dataset import Batch
from ..errors import ItinfError
from ..networks.network import Network
from ..networks.readout import chunks, classes_of, logits, pools_first, require_finite, vectors
from ..networks.states import Site, sites
from ..networks.trace import Trace, trace
from ..statistics.processes import summed
from .moments import Moments

HELD_OUT = 8
"""One cluster of this many, chosen by its key, is held out: it is not fitted on, but used to choose the ridge."""


@dataclass
class FitStatistics:
    """Sums from which every closed-form lens is made; they merge by ``+``.

    Attributes:
        sites: of the states, in order of depth; the last is the network's own last state.
        fitted, held_out: for each site, moments of its vectors with the last state's.
        targets: (2, classes) how often each target occurs among fitted and held-out units.
        final: (classes,) sum of the network's final distributions over fitted units.
        products: index of a segment's first site -> (S · D, S · D) Σxxᵀ over fitted units of the vectors of
            its S states side by side, by which channels are matched; empty where channels need no matching.
    """

    sites: list[Site]
    fitted: list[Moments] = field(default_factory=list)
    held_out: list[Moments] = field(default_factory=list)
    targets: Tensor = field(default_factory=lambda: torch.zeros(2, 0))
    final: Tensor = field(default_factory=lambda: torch.zeros(0))
    products: dict[int, Tensor] = field(default_factory=dict)

    @property
    def units(self) -> int:
        """Images or tokens, however many positions each has."""
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
            {first: products + other.products[first] for first, products in self.products.items()},
        )


def fit_statistics(network: Network, batches: Iterable[Batch], parts: bool = False) -> FitStatistics:
    """Runs data through a network and keeps sums only.

    Units without a target are left out. Where a neck stands between state and pool, every position counts as
    a unit for states of the last state's resolution; for other states the mean over positions does.

    Args:
        network: the network.
        batches: of whole clusters; a cluster's key decides whether it is fitted on or held out.
        parts: see ``itinf.networks.states.sites``.

    Raises:
        ItinfError: no batch, or a state with numbers that are not finite (named).
    """
    total: FitStatistics | None = None
    for batch in batches:
        batch_trace = trace(network, batch, gradients=False)
        if total is None:
            total = _empty(batch_trace, parts)
        _add(batch_trace, total)
    if total is None:
        raise ItinfError("There are no data to fit a lens on.")
    return total


def no_statistics(network: Network, batch: Batch, parts: bool = False) -> FitStatistics:
    """Statistics of no units; any batch shows which states there are."""
    return _empty(trace(network, batch, gradients=False), parts)


def summed_statistics(part: FitStatistics) -> FitStatistics:
    """The statistics of all processes of a job, in place."""
    for moments in (*part.fitted, *part.held_out):
        moments.n, moments.yy = summed(torch.tensor([moments.n, moments.yy], dtype=torch.float64)).tolist()
        moments.x, moments.y, moments.xx, moments.xy = map(summed, (moments.x, moments.y, moments.xx, moments.xy))
    part.targets, part.final = summed(part.targets), summed(part.final)
    part.products = {first: summed(products) for first, products in part.products.items()}
    return part


def is_held_out(keys: np.ndarray) -> np.ndarray:
    """(N,) bool: clusters that choose the ridge."""
    return (keys >> np.uint64(8)) % np.uint64(HELD_OUT) == 0


def _empty(batch_trace: Trace, parts: bool) -> FitStatistics:
    network, all_sites = batch_trace.network, sites(batch_trace, parts)
    classes, width = classes_of(network, network.per_prediction(batch_trace.states[-1])), all_sites[-1].width
    fitted, held_out = ([Moments.none(site.width, width) for site in all_sites] for _ in range(2))
    targets, final = (torch.zeros(*shape, dtype=torch.float64) for shape in ((2, classes), (classes,)))
    return FitStatistics(all_sites, fitted, held_out, targets, final, _empty_products(network, all_sites))


def _empty_products(network: Network, all_sites: list[Site]) -> dict[int, Tensor]:
    """Zeros for every segment whose channels can be matched: under a gauge of rotations there are no channels to match."""
    if not pools_first(network) or network.gauge not in (None, "channel-scale"):
        return {}
    widths = [site.width for site in all_sites]
    sizes = {span.start: sum(widths[span]) for span in spans([site.segment for site in all_sites], widths)}
    return {first: torch.zeros(size, size, dtype=torch.float64) for first, size in sizes.items()}


def _add(batch_trace: Trace, total: FitStatistics) -> None:
    network = batch_trace.network
    known = batch_trace.known.flatten().cpu()
    held = torch.from_numpy(is_held_out(batch_trace.keys)).repeat_interleave(batch_trace.targets.shape[1])
    fitted, held_out = known & ~held, known & held
    last = vectors(network, batch_trace.states[-1])
    by_segment: dict[int, list[Tensor]] = {}
    for k, site in enumerate(total.sites):
        state = vectors(network, batch_trace.state(site.id))
        require_finite(network, site.name, state)
        for moments, chosen in ((total.fitted, fitted), (total.held_out, held_out)):
            if bool(chosen.any()):
                rows = chosen.to(state.device)
                moments[k] = moments[k] + Moments.of(*_pairs(state[rows], last[rows]))
        by_segment.setdefault(site.segment, []).append(state[fitted.to(state.device)])
    for first, products in total.products.items():
        side_by_side = torch.cat(by_segment[total.sites[first].segment], 1).double().cpu()
        products += side_by_side.T @ side_by_side
    labels = batch_trace.targets.flatten().cpu()
    for row, chosen in enumerate((fitted, held_out)):
        total.targets[row] += torch.bincount(labels[chosen], minlength=total.targets.shape[1])
    fitted_last = last[fitted.to(last.device)]
    with torch.no_grad():
        for part in chunks(len(fitted_last), len(total.final)):
            total.final += logits(network, fitted_last[part]).double().softmax(1).sum(0).cpu()


def _pairs(state: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors of a state (R, D) and of the last one (R, E), row by row of the same unit and position."""
    if state.ndim > 2 and state.shape[1:-1] != last.shape[1:-1]:
        state, last = (x.flatten(1, -2).mean(1) for x in (state, last))
    return state.flatten(0, -2).cpu(), last.flatten(0, -2).cpu()


MOST_BYTES = 2**28
"""Memory for the products of all channels of all states of a segment, at most; larger segments have none."""


def spans(segments: Sequence[int], widths: Sequence[int]) -> list[slice]:
    """The segments of several states whose products are small enough, as slices of sites.

    Args:
        segments: of every site, ascending; ``widths``: of every site.
    """
    edges = [0, *(k for k, (a, b) in enumerate(pairwise(segments), 1) if a != b), len(segments)]
    several = [slice(a, b) for a, b in pairwise(edges) if b - a > 1]
    return [s for s in several if 8 * sum(widths[s]) ** 2 <= MOST_BYTES]

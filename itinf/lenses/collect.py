"""One pass over the fitting data: for every state its moments with the last one, and how often each target occurs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..architecture import Network
from ..data import IGNORED, Batch
from ..errors import ItinfError
from ..readouts import StateId, part_input, state_at
from ..tracing import Trace, chunks, classes_of, trace
from .matching import spans
from .moments import Moments
from .reading import logits, pools_first, require_finite, vectors

HELD_OUT = 8
"""One cluster in so many, by its key, chooses the ridge and is not fitted on."""


@dataclass(frozen=True)
class Place:
    """A state that a lens reads.

    Attributes:
        name: in words: the block it follows, ``"before BLOCK"``, or ``"BLOCK.PART"`` for the state that
            a part reads.
        where: its place in a trace.
        width: of its vectors.
        segment: states of one segment follow each other and share their width.
        depth: blocks before it, as a share of all.
    """

    name: str
    where: StateId
    width: int
    segment: int
    depth: float


@dataclass
class Collected:
    """What every closed-form lens is made from; merges by ``+``.

    Attributes:
        places: the states, in order of depth; the last is the network's own last state.
        fitted, held_out: for each place, moments of its vectors with the last state's.
        targets: (2, classes) how often each target occurs among fitted and held-out units.
        final: (classes,) sum of the network's final distributions over fitted units.
        products: first place of a segment -> (S · D, S · D) Σxxᵀ over fitted units of the vectors of its
            S states side by side, where channels may have to be matched.
    """

    places: list[Place]
    fitted: list[Moments] = field(default_factory=list)
    held_out: list[Moments] = field(default_factory=list)
    targets: Tensor = field(default_factory=lambda: torch.zeros(2, 0))
    final: Tensor = field(default_factory=lambda: torch.zeros(0))
    products: dict[int, Tensor] = field(default_factory=dict)

    @property
    def units(self) -> int:
        """Images or tokens, whatever number of positions each has."""
        return round(float(self.targets.sum()))

    def __add__(self, other: Collected) -> Collected:
        if self.places != other.places:
            raise ItinfError("These were collected from different states and cannot be added.")
        return Collected(
            self.places,
            [a + b for a, b in zip(self.fitted, other.fitted, strict=True)],
            [a + b for a, b in zip(self.held_out, other.held_out, strict=True)],
            self.targets + other.targets,
            self.final + other.final,
            {first: some + other.products[first] for first, some in self.products.items()},
        )


def places(network: Network, seen: Trace, inside: bool = False) -> list[Place]:
    """The states of a network that a lens reads, in order of depth.

    Args:
        network: the network; ``seen``: any trace of it.
        inside: also the states that parts of a block read, such as the one between attention and MLP.
    """
    total, last = len(network.blocks), len(seen.states) - 1
    order: list[tuple[float, StateId, str]] = []
    named: set[int] = set()
    for block, opened in enumerate(network.blocks):
        if (before := seen.before[block]) not in named:
            order.append((block / total, before, f"before {opened.name}"))
        for part in opened.parts if inside else ():
            where = part_input(network, seen, block, part)
            if isinstance(where, tuple):
                order.append(((block + 0.5) / total, where, f"{opened.name}.{part}"))
        order.append(((block + 1) / total, seen.after[block], opened.name))
        named |= {before, seen.after[block]}
    assert order[-1][1] == last
    found: list[Place] = []
    for depth, where, name in order:
        width = vectors(network, state_at(network, seen, where)[:1]).shape[-1]
        segment = found[-1].segment + (width != found[-1].width) if found else 0
        found.append(Place(name, where, width, segment, depth))
    return found


def collect(network: Network, batches: Iterable[Batch], inside: bool = False) -> Collected:
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
    total: Collected | None = None
    for batch in batches:
        seen = trace(network, batch, gradients=False)
        if total is None:
            total = _nothing(network, seen, inside)
        _add(network, seen, total)
    if total is None:
        raise ItinfError("There are no data to fit a lens on.")
    return total


def is_held_out(keys: np.ndarray) -> np.ndarray:
    """(N,) bool: clusters that choose the ridge."""
    return (keys >> np.uint64(8)) % np.uint64(HELD_OUT) == 0


def _nothing(network: Network, seen: Trace, inside: bool) -> Collected:
    found = places(network, seen, inside)
    classes, width = classes_of(network, network.rows(seen.states[-1])), found[-1].width
    fitted, held_out = ([Moments.none(place.width, width) for place in found] for _ in range(2))
    targets, final = (torch.zeros(*shape, dtype=torch.float64) for shape in ((2, classes), (classes,)))
    return Collected(found, fitted, held_out, targets, final, _no_products(network, found))


def _no_products(network: Network, places: list[Place]) -> dict[int, Tensor]:
    """Channels have no common order but the one given wherever a skip does not fix it; rotations have none to match."""
    if not pools_first(network) or network.gauge not in (None, "channel-scale"):
        return {}
    widths = [place.width for place in places]
    sizes = {span.start: sum(widths[span]) for span in spans([place.segment for place in places], widths)}
    return {first: torch.zeros(size, size, dtype=torch.float64) for first, size in sizes.items()}


def _add(network: Network, seen: Trace, total: Collected) -> None:
    known = (seen.targets != IGNORED).flatten().cpu()
    held = torch.from_numpy(is_held_out(seen.keys)).repeat_interleave(seen.targets.shape[1])
    last = vectors(network, seen.states[-1])
    beside: dict[int, list[Tensor]] = {}
    for k, place in enumerate(total.places):
        own = vectors(network, state_at(network, seen, place.where))
        require_finite(network, place.name, own)
        for moments, chosen in ((total.fitted, known & ~held), (total.held_out, known & held)):
            if bool(chosen.any()):
                moments[k] = moments[k] + Moments.of(*_pairs(own[chosen.to(own.device)], last[chosen.to(own.device)]))
        beside.setdefault(place.segment, []).append(own[(known & ~held).to(own.device)])
    for first, products in total.products.items():
        joined = torch.cat(beside[total.places[first].segment], 1).double().cpu()
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

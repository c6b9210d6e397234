"""The effects of nudges on the last readout: exactly to first order, and measured with a finite nudge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from ..lenses.translator import Translator
from ..networks.measuring import evaluating
from ..networks.readout import gradient_through
from ..networks.rerun import gradients_at, spread, states_of
from ..networks.states import segments
from .batch import ProbeBatch
from .nudges import NONE, Nudges, above_mean, dots, most_probable_wrong, nudges, seeds
from .sample import Sample

PIECE = 16
"""Units whose nudges and logits are held at once."""


@dataclass(frozen=True)
class Aims:
    """What is nudged: units, at which states, and which classes.

    Attributes:
        batch: the batch; ``sample``: its units.
        through: state -> translator to read it through, in order of depth.
        classes: (S, K, M) for every state, kind of class and unit; ``NONE`` where there is none.
    """

    batch: ProbeBatch
    sample: Sample
    through: Mapping[int, Translator | None]
    classes: Tensor

    @property
    def states(self) -> list[int]:
        return list(self.through)

    @property
    def last(self) -> int:
        return len(self.batch.trace.states) - 1

    def at(self, place: int, units: Tensor, kinds: slice = slice(None)) -> list[Nudges]:
        """The nudges at the state in this place, of some units of the sample, for some kinds of classes."""
        batch, site = self.batch, self.states[place]
        scale = batch.calibration.scales.get(segments(batch.trace)[site])
        rows = batch.trace.per_prediction(site)[self.sample.units[units]]
        return nudges(batch.network, rows, self.through[site], self.classes[place, kinds][:, units], scale)

    def carries(self) -> list[bool]:
        """For every state, whether its nudges fit the last state: the same shape, and a basis in common."""
        trace, numbers = self.batch.trace, segments(self.batch.trace)
        shapes = [trace.states[site].shape == trace.states[-1].shape for site in self.states]
        return [fits and numbers[site] == numbers[-1] for site, fits in zip(self.states, shapes, strict=True)]


@dataclass(frozen=True)
class Effects:
    """Effects of nudges n, each (S, K, M) float64; g is the gradient of z_v − mean z of the network's own last logits.

    Attributes:
        later: ⟨g at the state, n⟩: the nudge goes through all later blocks.
        alone: ⟨g at the last state, n⟩: the nudge is added there; 0 where it does not fit.
        square: ⟨d, n⟩, 0 for a unit without a class.
    """

    later: Tensor
    alone: Tensor
    square: Tensor


def first_order(aims: Aims) -> Effects:
    """The effects to first order: one backward pass for every distinct class of a unit gives those at all states."""
    later, alone, square = (torch.zeros_like(aims.classes, dtype=torch.float64) for _ in range(3))
    found = Effects(later, alone, square)
    slots = [_slots(aims.classes[:, :, unit].tolist()) for unit in range(len(aims.sample))]
    # units with as many classes stand together, so that few backward passes are for a part of the units only
    order = torch.tensor(sorted(range(len(slots)), key=lambda unit: len(slots[unit])), dtype=torch.int64)
    with evaluating(aims.batch.network):
        for piece in _pieces(aims, order):
            _first_order(aims, piece.to(aims.classes.device), [slots[unit] for unit in piece.tolist()], found)
    return found


def _slots(classes: list[list[int]]) -> list[tuple[int, int]]:
    """The distinct classes of a unit (S, K), each with the first place that needs it, in order of these places."""
    first: dict[int, int] = {}
    for place, of_kinds in enumerate(classes):
        for chosen in of_kinds:
            if chosen != NONE:
                first.setdefault(chosen, place)
    return list(first.items())


def _pieces(aims: Aims, units: Tensor) -> Iterator[Tensor]:
    return (piece for piece in units.split(max(1, min(PIECE, aims.batch.at_once))) if len(piece))


def _first_order(aims: Aims, units: Tensor, slots: list[list[tuple[int, int]]], found: Effects) -> None:
    network, trace = aims.batch.network, aims.batch.trace
    assert trace.inputs is not None
    sample, carries = aims.sample, aims.carries()
    at = [aims.at(place, units) for place in range(len(aims.states))]
    with torch.enable_grad():
        states = states_of(network, trace.inputs[sample.clusters[units]])
        x = trace.per_prediction(aims.last)[sample.units[units]].detach().requires_grad_()
        z = network.readout(x)
    rows = torch.arange(len(units), device=units.device) * trace.targets.shape[1] + sample.positions[units]
    for slot in range(max(map(len, slots))):
        each = [of_unit[slot] if slot < len(of_unit) else (NONE, len(aims.states)) for of_unit in slots]
        chosen = torch.tensor([which for which, _ in each], device=units.device)
        first = min(place for _, place in each)
        end = gradient_through(network, z, x, seeds(chosen, z.shape[1], z.dtype), retain_graph=True)
        sites = [site for site in aims.states[first:] if site != aims.last]
        gradients = dict(zip(sites, gradients_at(network, states, sites, rows, end), strict=True)) | {aims.last: end}
        for place in range(first, len(aims.states)):
            for kind, nudge in enumerate(at[place]):
                mine = (aims.classes[place, kind, units] == chosen) & (chosen != NONE)
                if bool(mine.any()):
                    here, gradient = units[mine], gradients[aims.states[place]][mine]
                    found.square[place, kind, here] = nudge.square[mine]
                    found.later[place, kind, here] = dots(gradient, nudge.direction[mine])
                    if carries[place]:
                        found.alone[place, kind, here] = dots(end[mine], nudge.direction[mine])


def finite(aims: Aims, kinds: slice) -> Tensor:
    """The change of z_v − mean z of the last logits after a nudge n / ⟨d, n⟩, which raises the readout by 1 nat.

    Returns:
        (S, K, M) float64 for some kinds of classes; 0 for units that are not measured again.
    """
    change = torch.zeros_like(aims.classes[:, kinds], dtype=torch.float64)
    again = aims.sample.again.nonzero().flatten()
    with torch.no_grad(), evaluating(aims.batch.network):
        for piece in _pieces(aims, again):
            at = [aims.at(place, piece, kinds) for place in range(len(aims.states))]
            copies = list(product(range(len(at)), range(change.shape[1]), range(len(piece))))
            for some in _split(copies, max(1, aims.batch.at_once)):
                places, of_kind, unit = (torch.tensor(x, device=piece.device) for x in zip(*some, strict=True))
                steps = [_step(at[p][k], u) for p, k, u in some]  # states may differ in shape
                here = piece[unit]
                before, after = _before_and_after(aims, places, here, steps)
                chosen = aims.classes[:, kinds][places, of_kind, here]
                change[places, of_kind, here] = above_mean(after, chosen) - above_mean(before, chosen)
    return change


def _split(copies: list[tuple[int, int, int]], size: int) -> Iterator[list[tuple[int, int, int]]]:
    return (copies[start : start + size] for start in range(0, len(copies), size))


def _step(nudge: Nudges, unit: int) -> Tensor:
    square = float(nudge.square[unit])
    return nudge.direction[unit] / square if square > 0 else torch.zeros_like(nudge.direction[unit])


def _before_and_after(aims: Aims, places: Tensor, units: Tensor, steps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The last logits (R, classes) of copies of units, and those with a step at the state in the copy's place."""
    network, trace, sample = aims.batch.network, aims.batch.trace, aims.sample
    assert trace.inputs is not None
    sites = torch.tensor(aims.states, device=units.device)[places]
    rows = torch.arange(len(units), device=units.device) * trace.targets.shape[1] + sample.positions[units]

    def nudge(number: int, state: Tensor) -> Tensor:
        mine = (sites == number).nonzero().flatten()
        if not len(mine):
            return state
        return state + spread(network, state, rows[mine], torch.stack([steps[i] for i in mine.tolist()]))

    before = trace.per_prediction(aims.last)[sample.units[units]]
    after = before.clone()
    at_end = sites == aims.last  # nothing follows there but the readout
    for copy in at_end.nonzero().flatten().tolist():
        after[copy] += steps[copy].to(after.dtype)
    if not bool(at_end.all()):
        states = states_of(network, trace.inputs[sample.clusters[units]], nudge)
        after[~at_end] = network.per_prediction(network.batch_first(states[-1]))[rows][~at_end]
    return network.readout(before), network.readout(after)


def believed(batch: ProbeBatch, through: Mapping[int, Translator | None], units: Tensor, number: int) -> Tensor:
    """(S, M): the most probable wrong class at every state of units, which are rows of the batch.

    ``NONE`` for the row −1, and for a unit without a target.
    """
    trace = batch.trace
    known = (units >= 0) & batch.trace.known.flatten()[units]
    found = torch.full((len(through), len(units)), NONE, device=units.device)
    labels = trace.targets.flatten()[units[known]]
    with evaluating(batch.network):
        for place, (site, translator) in enumerate(through.items()):
            rows = trace.per_prediction(site)[units[known]]
            found[place, known] = most_probable_wrong(batch.network, rows, translator, labels, number)
    return found


def aims_of(
    batch: ProbeBatch,
    sample: Sample,
    through: Mapping[int, Translator | None],
    partners: Sequence[Tensor],
    number: int,
) -> Aims:
    """The aims of a batch: the label, the unit's most probable wrong class at every state, its random class, and each
    partner's most probable wrong class at that state, unless it is the unit's label.

    Args:
        batch, sample, through: as in ``Aims``.
        partners: for each null (N·P,) row of the partner, −1 for no partner.
        number: of classes.
    """
    whole = (len(through), len(sample))
    classes = [sample.labels.expand(whole), believed(batch, through, sample.units, number), sample.random.expand(whole)]
    for partner in partners:
        theirs = believed(batch, through, partner[sample.units], number)
        classes.append(theirs.masked_fill(theirs == sample.labels, NONE))
    return Aims(batch, sample, through, torch.stack(classes, 1))

"""Blocks as steps in prediction space: how far the readout moves, and how much of that is gain."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..data.dataset import IGNORED
from ..lenses.lens import translators_at
from ..lenses.translator import Translator, translated_logits
from ..networks.readout import classes_of
from ..networks.trace import SiteId, Target, Trace

if TYPE_CHECKING:
    from ..lenses.lens import Lens

CELLS = 2**17
"""Logits of one depth that exist at once, about, in float64: so few that those of a step stay in a cache."""
LEAST = 16
"""Units read at once, at least: every product streams the whole head."""


@dataclass(frozen=True)
class StepSpan:
    """Blocks in a row that are taken as one step.

    Attributes:
        block: the last of them; start, end: places in ``Trace.states``.
    """

    block: int
    start: int
    end: int


@dataclass
class Step:
    """One step in prediction space, in bits per unit.

    Attributes:
        gain: (N, P) float64, ℓ(z_{l−1}) − ℓ(z_l).
        movement: (N, P) float64, KL(p_{l−1} ‖ p_l) ≥ 0.
        known: (N, P) bool, units that have a target (and a partner, where the null needs one).
        block_gain: (N, P) float64, of the gain what the block does under the lens of its end,
            ℓ(lens_l(h_{l−1})) − ℓ(lens_l(h_l)); the rest is the change of lens. None without a lens,
            under a null, and where that lens does not fit the width of h_{l−1}.
    """

    gain: Tensor
    movement: Tensor
    known: Tensor
    block_gain: Tensor | None = None


def gain_and_movement(before: Tensor, after: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Gain and movement of a step from logits to logits, in nats.

    Their sum is ⟨z_l − z_{l−1}, t − p_{l−1}⟩ exactly, cross-entropy being convex in the logits.

    Args:
        before, after: (R, classes) float64 logits.
        target: (R,) int64 labels, or (R, classes) float64 probabilities.

    Returns:
        gain (R,), movement (R,).
    """
    start = _Logits.of(before)
    return _gain_and_movement(start, after - before, after.logsumexp(1), target)


class _Logits(NamedTuple):
    """Logits (R, classes) with their log-partition (R,) and softmax, which every step from here needs."""

    z: Tensor
    least: Tensor
    p: Tensor

    @classmethod
    def of(cls, z: Tensor) -> _Logits:
        least = z.logsumexp(1)
        return cls(z, least, (z - least.unsqueeze(1)).exp_())


def _gain_and_movement(start: _Logits, change: Tensor, end_least: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """``gain_and_movement`` by a change of logits, given the log-partition at its end."""
    spread = end_least - start.least
    if target.ndim == 1:
        reached = change.gather(1, target.unsqueeze(1)).squeeze(1)
    else:
        reached = torch.linalg.vecdot(target, change)
    return reached - spread, spread - torch.linalg.vecdot(start.p, change)


def block_steps(trace: Trace, states: Collection[SiteId]) -> list[StepSpan]:
    """Every block both of whose states are among those that can be read."""
    ends = enumerate(zip(trace.before, trace.after, strict=True))
    return [StepSpan(block, start, end) for block, (start, end) in ends if start in states and end in states]


def merged_steps(trace: Trace, states: Collection[SiteId], number: int) -> list[StepSpan]:
    """The depth between the first and the last readable state in about equal steps, from block end to block end.

    Every step begins where the one before ends, so that what happens between two blocks belongs to
    the later one.

    Args:
        trace: a trace.
        states: those that can be read.
        number: of steps; there are fewer where there are fewer blocks.
    """
    ends = [trace.before[0], *trace.after]
    readable = [blocks for blocks, state in enumerate(ends) if state in states]
    if len(readable) < 2:
        return []
    first, last = readable[0], readable[-1]
    goals = (first + (last - first) * k / number for k in range(number + 1))
    cuts = sorted({min(readable, key=lambda blocks: abs(blocks - goal)) for goal in goals})
    return [StepSpan(b - 1, ends[a], ends[b]) for a, b in pairwise(cuts)]


def steps(
    trace: Trace,
    targets: Sequence[Target] = ("label",),
    nulls: dict[str, np.ndarray] | None = None,
    shuffled: bool = True,
    seed: int = 0,
    lens: Lens | None = None,
) -> dict[tuple[int, Target, str], Step]:
    """Every block whose two states can be read, as a step in prediction space; see ``walk``.

    Returns:
        (block, target, null) -> step, ``"observed"`` among the nulls.
    """
    through = translators_at(trace, lens)
    found = prediction_steps(trace, through, {"": block_steps(trace, through)}, targets, nulls, shuffled, seed)
    return {(block, target, null): step for (_, block, target, null), step in found.items()}


def prediction_steps(
    trace: Trace,
    through: Mapping[SiteId, Translator | None],
    ways: Mapping[str, Sequence[StepSpan]],
    targets: Sequence[Target] = ("label",),
    nulls: dict[str, np.ndarray] | None = None,
    shuffled: bool = True,
    seed: int = 0,
    bare: Collection[str] = (),
) -> dict[tuple[str, int, Target, str], Step]:
    """Ways through depth, step by step in prediction space; every state is read once for all of them.

    Args:
        trace: of the batch.
        through: what each state is read through, see ``itinf.lenses.lens.translators_at``.
        ways: name -> the steps.
        targets: "label" or "model" (the network's final distribution).
        nulls: name -> (N·P,) row of the unit whose increment is applied instead, −1 for none.
        shuffled: also the ``order-shuffled`` null, the unit's own increments in random depth order,
            where the steps of a way follow each other without a bridge.
        seed: of those orders, one per cluster.
        bare: ways without nulls.

    Returns:
        (way, block, target, null) -> step, ``"observed"`` among the nulls.
    """
    network = trace.network
    places = sorted({place for way in ways.values() for span in way for place in (span.start, span.end)})
    label = trace.targets.flatten()
    known = label != IGNORED
    rows = {i: network.per_prediction(trace.states[i]) for i in places}
    partners = {name: torch.as_tensor(p, device=label.device) for name, p in (nulls or {}).items()}
    judged = {w: way for w, way in ways.items() if w not in bare}
    apart = sorted({place for way in judged.values() for span in way for place in (span.start, span.end)})
    orders = {w: _orders(trace, len(way), seed) for w, way in judged.items() if shuffled and _chain(way)}
    nothing = torch.zeros(len(label), dtype=torch.float64, device=label.device)
    result: dict[tuple[str, int, Target, str], Step] = {}
    for w, way in ways.items():
        for span in way:
            split = _same_lens_fits(through, span)
            for t in targets:
                null_names = [*(partners if w in judged else ()), *(["order-shuffled"] if w in orders else ())]
                for n in ("observed", *null_names):
                    part_of_block = nothing.clone() if split and n == "observed" else None
                    result[w, span.block, t, n] = Step(nothing.clone(), nothing.clone(), known, part_of_block)
    if not result:
        return {}
    last = network.per_prediction(trace.states[-1])

    def logits(place: int, chosen: slice | Tensor, translator: Translator | None) -> Tensor:
        return translated_logits(network, rows[place][chosen], translator).double()

    size = max(LEAST, CELLS // classes_of(network, last))
    with torch.no_grad():
        for first in range(0, len(label), size):
            part = slice(first, min(first + size, len(label)))
            z = {i: _Logits.of(logits(i, part, through[i])) for i in places}
            others = {n: {i: logits(i, p[part].clamp_min(0), through[i]) for i in apart} for n, p in partners.items()}
            goals: dict[Target, Tensor] = {"label": label[part].clamp_min(0)}
            if "model" in targets:
                goals["model"] = network.readout(last[part]).double().softmax(1)
            for w, way in ways.items():
                path = _ordered(z, way, orders[w][part]) if w in orders else None
                for place, span in enumerate(way):
                    start, end = z[span.start], z[span.end]
                    found = {"observed": (start, end.z - start.z, end.least)}
                    for n, x in others.items() if w in judged else ():
                        change = x[span.end] - x[span.start]
                        found[n] = (start, change, (start.z + change).logsumexp(1))
                    if path is not None:
                        here, there = path[place], path[place + 1]
                        found["order-shuffled"] = (here, there.z - here.z, there.least)
                    same_lens = None
                    if _same_lens_fits(through, span):
                        same_lens = _Logits.of(logits(span.start, part, through[span.end]))
                    for t in targets:
                        for n, (before, change, least) in found.items():
                            gain, movement = _gain_and_movement(before, change, least, goals[t])
                            step = result[w, span.block, t, n]
                            step.gain[part], step.movement[part] = gain / math.log(2), movement / math.log(2)
                        step = result[w, span.block, t, "observed"]
                        if step.block_gain is not None and same_lens is not None:
                            gain, _ = _gain_and_movement(same_lens, end.z - same_lens.z, end.least, goals[t])
                            step.block_gain[part] = gain / math.log(2)
    shape = trace.targets.shape
    for (*_, name), step in result.items():
        fits = known & (partners[name] >= 0) if name in partners else known
        step.gain, step.movement, step.known = (values.reshape(shape) for values in (step.gain, step.movement, fits))
        step.block_gain = None if step.block_gain is None else step.block_gain.reshape(shape)
    return result


def _same_lens_fits(through: Mapping[SiteId, Translator | None], span: StepSpan) -> bool:
    """Whether the translator of a step's end also reads its start."""
    start, end = through[span.start], through[span.end]
    return start is not None and end is not None and start.weight.shape == end.weight.shape


def _chain(way: Sequence[StepSpan]) -> bool:
    """Increments can change places only where the steps follow each other without a bridge."""
    return len(way) > 1 and all(a.end == b.start for a, b in pairwise(way))


def _orders(trace: Trace, length: int, seed: int) -> Tensor:
    """(R, length): one random order of the steps per cluster."""
    keys = [np.array([seed, k], dtype=np.uint64) for k in trace.keys]
    # far along the stream, whose beginning is the cluster's bootstrap weights
    drawn = [
        np.random.Philox(key=key, counter=np.array([0, 0, 0, 1], dtype=np.uint64)).random_raw(length) for key in keys
    ]
    order = np.repeat(np.argsort(np.stack(drawn), axis=1), trace.targets.shape[1], axis=0)
    return torch.as_tensor(order, device=trace.targets.device)


def _ordered(z: dict[int, _Logits], way: Sequence[StepSpan], order: Tensor) -> list[_Logits]:
    moves = torch.stack([z[span.end].z - z[span.start].z for span in way])  # (steps, R, classes)
    here = torch.arange(order.shape[0], device=order.device)
    path = [z[way[0].start]]
    for place in range(len(way) - 1):
        path.append(_Logits.of(path[-1].z + moves[order[:, place], here]))
    return [*path, z[way[-1].end]]  # whatever the order, it ends there

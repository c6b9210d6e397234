"""Blocks as steps in prediction space: how far the readout moves, and how much of that is gain."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .architecture import Network
from .data import IGNORED
from .lenses.translator import Translator
from .readouts import StateId, readers, said
from .tracing import Target, Trace, chunks, classes_of

if TYPE_CHECKING:
    from .lenses.lens import Lens

SHARE = 4
"""Units are read in portions this many times smaller than for one depth: few enough for memory, not for the head."""


@dataclass(frozen=True)
class Span:
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
    change, least = after - before, before.logsumexp(1)
    spread = after.logsumexp(1) - least
    if target.ndim == 1:
        reached = change.gather(1, target.unsqueeze(1)).squeeze(1)
    else:
        reached = torch.linalg.vecdot(target, change)
    expected = torch.linalg.vecdot((before - least.unsqueeze(1)).exp_(), change)
    return reached - spread, spread - expected


def each(trace: Trace, states: Collection[StateId]) -> list[Span]:
    """Every block both of whose states are among those that can be read."""
    ends = enumerate(zip(trace.before, trace.after, strict=True))
    return [Span(block, start, end) for block, (start, end) in ends if start in states and end in states]


def merged(trace: Trace, states: Collection[StateId], number: int) -> list[Span]:
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
    return [Span(b - 1, ends[a], ends[b]) for a, b in pairwise(cuts)]


def steps(
    network: Network,
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
    through = readers(network, trace, lens)
    found = walk(network, trace, through, {"": each(trace, through)}, targets, nulls, shuffled, seed)
    return {(block, target, null): step for (_, block, target, null), step in found.items()}


def walk(
    network: Network,
    trace: Trace,
    through: Mapping[StateId, Translator | None],
    ways: Mapping[str, Sequence[Span]],
    targets: Sequence[Target] = ("label",),
    nulls: dict[str, np.ndarray] | None = None,
    shuffled: bool = True,
    seed: int = 0,
) -> dict[tuple[str, int, Target, str], Step]:
    """Ways through depth, step by step in prediction space; every state is read once for all of them.

    Args:
        network: the network.
        trace: a trace of it.
        through: what each state is read through, see ``itinf.readouts.readers``.
        ways: name -> the steps.
        targets: "label" or "model" (the network's final distribution).
        nulls: name -> (N·P,) row of the unit whose increment is applied instead, −1 for none.
        shuffled: also the ``order-shuffled`` null, the unit's own increments in random depth order,
            where the steps of a way follow each other without a bridge.
        seed: of those orders, one per cluster.

    Returns:
        (way, block, target, null) -> step, ``"observed"`` among the nulls.
    """
    places = sorted({place for way in ways.values() for span in way for place in (span.start, span.end)})
    label = trace.targets.flatten()
    known = label != IGNORED
    rows = {i: network.rows(trace.states[i]) for i in places}
    partners = {name: torch.as_tensor(p, device=label.device) for name, p in (nulls or {}).items()}
    orders = {w: _orders(trace, len(way), seed) for w, way in ways.items() if shuffled and _chain(way)}
    nothing = torch.zeros(len(label), dtype=torch.float64, device=label.device)
    result: dict[tuple[str, int, Target, str], Step] = {}
    for w, way in ways.items():
        for span in way:
            split = _same_lens_fits(through, span)
            for t in targets:
                for n in ("observed", *partners, *(["order-shuffled"] if w in orders else [])):
                    part_of_block = nothing.clone() if split and n == "observed" else None
                    result[w, span.block, t, n] = Step(nothing.clone(), nothing.clone(), known, part_of_block)
    if not result:
        return {}
    last = network.rows(trace.states[-1])

    def logits(place: int, chosen: slice | Tensor, translator: Translator | None) -> Tensor:
        return said(network, rows[place][chosen], translator).double()

    # every depth's float64 logits of a chunk are held at once
    with torch.no_grad():
        for part in chunks(len(label), classes_of(network, last) * SHARE):
            z = {i: logits(i, part, through[i]) for i in places}
            others = {n: {i: logits(i, p[part].clamp_min(0), through[i]) for i in places} for n, p in partners.items()}
            goals: dict[Target, Tensor] = {"label": label[part].clamp_min(0)}
            if "model" in targets:
                goals["model"] = network.readout(last[part]).double().softmax(1)
            for w, way in ways.items():
                path = _ordered(z, way, orders[w][part]) if w in orders else None
                for place, span in enumerate(way):
                    start, end = z[span.start], z[span.end]
                    ends = {"observed": (start, end)}
                    ends |= {n: (start, start + (x[span.end] - x[span.start])) for n, x in others.items()}
                    if path is not None:
                        ends["order-shuffled"] = (path[place], path[place + 1])
                    same_lens = logits(span.start, part, through[span.end]) if _same_lens_fits(through, span) else None
                    for t in targets:
                        for n, (x, y) in ends.items():
                            gain, movement = gain_and_movement(x, y, goals[t])
                            step = result[w, span.block, t, n]
                            step.gain[part], step.movement[part] = gain / math.log(2), movement / math.log(2)
                            if step.block_gain is not None and same_lens is not None:
                                step.block_gain[part] = gain_and_movement(same_lens, y, goals[t])[0] / math.log(2)
    shape = trace.targets.shape
    for (*_, name), step in result.items():
        here = known & (partners[name] >= 0) if name in partners else known
        step.gain, step.movement, step.known = (x.reshape(shape) for x in (step.gain, step.movement, here))
        step.block_gain = None if step.block_gain is None else step.block_gain.reshape(shape)
    return result


def _same_lens_fits(through: Mapping[StateId, Translator | None], span: Span) -> bool:
    """Whether the translator of a step's end also reads its start."""
    start, end = through[span.start], through[span.end]
    return start is not None and end is not None and start.weight.shape == end.weight.shape


def _chain(way: Sequence[Span]) -> bool:
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


def _ordered(z: dict[int, Tensor], way: Sequence[Span], order: Tensor) -> list[Tensor]:
    moves = torch.stack([z[span.end] - z[span.start] for span in way])  # (steps, R, classes)
    here = torch.arange(order.shape[0], device=order.device)
    path = [z[way[0].start]]
    for place in range(len(way)):
        path.append(path[-1] + moves[order[:, place], here])
    return path

"""Blocks as steps in prediction space: how far the readout moves, and how much of that is gain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from .architecture import Network
from .data import IGNORED
from .readouts import readable
from .tracing import Target, Trace, chunks, classes_of

SHARE = 4
"""Units are read in portions this many times smaller than for one depth: few enough for memory, not for the head."""


@dataclass
class Step:
    """One block seen in prediction space, in bits per unit.

    Attributes:
        gain: (N, P) float64, ℓ(z_{l−1}) − ℓ(z_l).
        movement: (N, P) float64, KL(p_{l−1} ‖ p_l) ≥ 0.
        known: (N, P) bool, units that have a target (and a partner, where the null needs one).
    """

    gain: Tensor
    movement: Tensor
    known: Tensor


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


def steps(
    network: Network,
    trace: Trace,
    targets: Sequence[Target] = ("label",),
    nulls: dict[str, np.ndarray] | None = None,
    shuffled: bool = True,
    seed: int = 0,
) -> dict[tuple[int, Target, str], Step]:
    """Every block whose two states the readout fits, as a step in prediction space.

    Args:
        network: the network.
        trace: a trace of it.
        targets: "label" or "model" (the network's final distribution).
        nulls: name -> (N·P,) row of the unit whose increment is applied instead, −1 for none.
        shuffled: also the ``order-shuffled`` null: the unit's own increments in random depth order.
        seed: of those orders, one per cluster.

    Returns:
        (block, target, null) -> step, ``"observed"`` among the nulls.
    """
    fits = readable(network, trace)
    blocks = [b for b in range(len(trace.before)) if fits[trace.before[b]] and fits[trace.after[b]]]
    places = sorted({trace.before[b] for b in blocks} | {trace.after[b] for b in blocks})
    if not blocks:
        return {}
    label = trace.targets.flatten()
    known = label != IGNORED
    rows = {i: network.rows(trace.states[i]) for i in places}
    partners = {name: torch.as_tensor(p, device=label.device) for name, p in (nulls or {}).items()}
    names = ["observed", *partners, *(["order-shuffled"] if shuffled and _chain(trace, blocks) else [])]
    nothing = torch.zeros(len(label), dtype=torch.float64, device=label.device)
    result = {(b, t, n): Step(nothing.clone(), nothing.clone(), known) for b in blocks for t in targets for n in names}
    order = _orders(trace, len(blocks), seed) if "order-shuffled" in names else None
    last = network.rows(trace.states[-1])
    # every depth's float64 logits of a chunk are held at once
    with torch.no_grad():
        for part in chunks(len(label), classes_of(network, last) * SHARE):
            z = {i: network.readout(rows[i][part]).double() for i in places}
            goals: dict[Target, Tensor] = {"label": label[part].clamp_min(0)}
            if "model" in targets:
                goals["model"] = network.readout(last[part]).double().softmax(1)
            moves = {n: _increments(network, rows, trace, blocks, p[part].clamp_min(0)) for n, p in partners.items()}
            ordered = _ordered(z, trace, blocks, order[part]) if order is not None else None
            for place, b in enumerate(blocks):
                start, end = z[trace.before[b]], z[trace.after[b]]
                ends = {"observed": (start, end), **{n: (start, start + m[place]) for n, m in moves.items()}}
                if ordered is not None:
                    ends["order-shuffled"] = (ordered[place], ordered[place + 1])
                for t in targets:
                    for n, (x, y) in ends.items():
                        gain, movement = gain_and_movement(x, y, goals[t])
                        step = result[b, t, n]
                        step.gain[part], step.movement[part] = gain / math.log(2), movement / math.log(2)
    shape = trace.targets.shape
    for (_, _, name), step in result.items():
        here = known & (partners[name] >= 0) if name in partners else known
        step.gain, step.movement, step.known = (x.reshape(shape) for x in (step.gain, step.movement, here))
    return result


def _increments(
    network: Network, rows: dict[int, Tensor], trace: Trace, blocks: list[int], partner: Tensor
) -> list[Tensor]:
    z = {i: network.readout(r[partner]).double() for i, r in rows.items()}
    return [z[trace.after[b]] - z[trace.before[b]] for b in blocks]


def _chain(trace: Trace, blocks: list[int]) -> bool:
    """Increments can change places only where the steps follow each other without a bridge."""
    joined = all(trace.after[a] == trace.before[b] for a, b in pairwise(blocks))
    return len(blocks) > 1 and joined


def _orders(trace: Trace, length: int, seed: int) -> Tensor:
    """(R, length): one random order of the steps per cluster."""
    keys = [np.array([seed, k], dtype=np.uint64) for k in trace.keys]
    # far along the stream, whose beginning is the cluster's bootstrap weights
    drawn = [
        np.random.Philox(key=key, counter=np.array([0, 0, 0, 1], dtype=np.uint64)).random_raw(length) for key in keys
    ]
    order = np.repeat(np.argsort(np.stack(drawn), axis=1), trace.targets.shape[1], axis=0)
    return torch.as_tensor(order, device=trace.targets.device)


def _ordered(z: dict[int, Tensor], trace: Trace, blocks: list[int], order: Tensor) -> list[Tensor]:
    moves = torch.stack([z[trace.after[b]] - z[trace.before[b]] for b in blocks])  # (blocks, R, classes)
    here = torch.arange(order.shape[0], device=order.device)
    path = [z[trace.before[blocks[0]]]]
    for place in range(len(blocks)):
        path.append(path[-1] + moves[order[:, place], here])
    return path

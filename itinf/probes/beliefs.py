"""Readings as beliefs: how honest the distribution at each state is and how far a step moves it, and both at other temperatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..lenses.translator import Translator
from ..networks.trace import SiteId, Trace
from .prediction_space import PathReadings, logits_in_order, orders_of, parts_of
from .steps import StepSpan, follow_each_other

READ, BEST, SHUFFLED = "", "best temperature", "order-shuffled"
"""As it is read; at the fixed temperature of each state; the unit's own steps in random order, as read."""


class Held(NamedTuple):
    """Of one state, each (R,): honesty, and at the temperature β its derivative by β and the loss's first two."""

    honesty: Tensor
    slope: Tensor
    first: Tensor
    second: Tensor


class Moved(NamedTuple):
    """Of one step, each (R,): excess movement and |p − p'|², and their derivatives by the β of its start and of its end."""

    excess: Tensor
    movement: Tensor
    excess_slopes: tuple[Tensor, Tensor]
    movement_slopes: tuple[Tensor, Tensor]


class Beliefs(NamedTuple):
    """(state, ``READ`` or ``BEST``) -> what is held there; (block, one of these or ``SHUFFLED``) -> how far its step moves it."""

    held: dict[tuple[int, str], Held]
    moved: dict[tuple[int, str], Moved]


class Belief(NamedTuple):
    """Probabilities (R, classes), and the excess of logits over log π, minus its mean under them."""

    p: Tensor
    excess: Tensor

    @classmethod
    def of(cls, logits: Tensor, log_prior: Tensor, beta: float = 1.0) -> Belief:
        """π^{1−β} q^β of the readings q."""
        excess = logits - log_prior
        p = torch.add(log_prior, excess, alpha=beta).softmax(1)
        return cls(p, excess - torch.linalg.vecdot(p, excess).unsqueeze(1))

    def held(self, label: Tensor) -> Held:
        """Honesty and loss for the labels (R,)."""
        index, weighted = label.unsqueeze(1), self.p * self.excess
        of_label = self.p.gather(1, index).squeeze(1)
        apart = self.excess.gather(1, index).squeeze(1)
        return Held(
            of_label - torch.linalg.vecdot(self.p, self.p),
            of_label * apart - 2 * torch.linalg.vecdot(self.p, weighted),
            -apart,
            torch.linalg.vecdot(weighted, self.excess),
        )

    def moved(self, after: Belief) -> Moved:
        """The step from this belief to another one."""
        dot = torch.linalg.vecdot
        own, end = self.p * self.excess, after.p * after.excess
        both, here, there = dot(self.p, after.p), dot(own, after.p), dot(self.p, end)
        square, here_square, there_square = dot(self.p, self.p), dot(own, self.p), dot(end, after.p)
        return Moved(
            2 * (square - both),
            dot(self.p - after.p, self.p - after.p),
            (4 * here_square - 2 * here, -2 * there),
            (2 * (here_square - here), 2 * (there_square - there)),
        )


def beliefs(
    trace: Trace,
    through: Mapping[SiteId, Translator | None],
    path: Sequence[StepSpan],
    log_prior: Tensor,
    beta: Mapping[int, float],
    seed: int | None = None,
) -> Beliefs:
    """What is held at every state that is read, and how far each step moves it.

    Args:
        trace: of a batch; ``through``: state -> its translator.
        path: the steps.
        log_prior: (classes,) log π; ``beta``: state -> its temperature.
        seed: of the random orders; None for no ``SHUFFLED``, which also needs steps that follow each other.
    """
    rows = {state: trace.per_prediction(state) for state in sorted({*beta, len(trace.states) - 1})}
    order = orders_of(trace, len(path), seed) if seed is not None and follow_each_other(path) else None
    held: dict[tuple[int, str], list[Held]] = {(state, form): [] for state in beta for form in (READ, BEST)}
    moved: dict[tuple[int, str], list[Moved]] = {}
    with torch.no_grad():
        for part in parts_of(trace, rows):
            read, label = PathReadings(trace, through, rows, part), trace.targets.flatten()[part].clamp_min(0)
            at: dict[tuple[int, str], Belief] = {}
            for state, form in held:
                at[state, form] = Belief.of(read.at(state).logits, log_prior, beta[state] if form == BEST else 1.0)
                held[state, form].append(at[state, form].held(label))
            for span in path:
                for form in (READ, BEST):
                    moved.setdefault((span.block, form), []).append(at[span.start, form].moved(at[span.end, form]))
            if order is not None:
                states = [Belief.of(one.logits, log_prior) for one in logits_in_order(read, path, order[part])]
                for number, span in enumerate(path):
                    moved.setdefault((span.block, SHUFFLED), []).append(states[number].moved(states[number + 1]))
    return Beliefs(
        {k: Held(*_joined(of)) for k, of in held.items()}, {k: Moved(*_joined(of)) for k, of in moved.items()}
    )


def _joined(parts: Sequence[Sequence[Tensor | tuple[Tensor, Tensor]]]) -> list:
    """The parts of a batch as one."""
    return [
        torch.cat(field) if isinstance(field[0], Tensor) else tuple(map(torch.cat, zip(*field, strict=True)))
        for field in zip(*parts, strict=True)
    ]

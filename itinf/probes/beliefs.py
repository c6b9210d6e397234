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
HONESTY, LOSS, EXCESS, MOVEMENT = "honesty", "loss", "excess_movement", "squared_movement"
Numbers = dict[str, dict[str, Tensor]]
"""Measure -> role in its estimator (``itinf.results.tempered``) -> (R,)."""
dot = torch.linalg.vecdot


class Belief(NamedTuple):
    """Probabilities at a temperature β, with their derivatives.

    Attributes:
        p: (R, classes), π^{1−β} q^β renormalised.
        change: (R, classes) d log p / d log β.
        variance: (R,) of ``change`` under p; d change / d log β is ``change`` − ``variance``.
    """

    p: Tensor
    change: Tensor
    variance: Tensor

    @classmethod
    def of(cls, logits: Tensor, log_prior: Tensor, beta: float = 1.0) -> Belief:
        """Of the readings q with these logits."""
        excess = beta * (logits - log_prior)
        p = (log_prior + excess).softmax(1)
        change = excess - dot(p, excess).unsqueeze(1)
        return cls(p, change, dot(p, change * change))

    @property
    def first(self) -> Tensor:
        """dp / d log β."""
        return self.p * self.change

    @property
    def second(self) -> Tensor:
        """The second derivative."""
        return self.first * (self.change + 1) - self.p * self.variance.unsqueeze(1)

    def held(self, label: Tensor) -> Numbers:
        """Honesty for the labels (R,), and the derivatives of their loss."""
        first, second, index = self.first, self.second, label.unsqueeze(1)
        p, one, two, change = (each.gather(1, index).squeeze(1) for each in (self.p, first, second, self.change))
        skew = dot(first, self.change * self.change)
        return {
            HONESTY: {
                "sum": p - dot(self.p, self.p),
                "slope": one - 2 * dot(self.p, first),
                "bend": two - 2 * dot(first, first) - 2 * dot(self.p, second),
            },
            LOSS: {"first": -change, "second": self.variance - change, "third": skew + 3 * self.variance - change},
        }

    def moved(self, after: Belief) -> Numbers:
        """The step from this belief to another one: excess movement 2 ⟨p', p' − p⟩, and |p − p'|²."""
        a, b = (self.p, self.first, self.second), (after.p, after.first, after.second)
        step = a[0] - b[0]
        return {
            EXCESS: {
                "sum": 2 * dot(a[0], step),
                "slope": 2 * dot(a[1], step + a[0]),
                "bend": 2 * dot(a[2], step + a[0]) + 4 * dot(a[1], a[1]),
                "later_slope": -2 * dot(a[0], b[1]),
                "later_bend": -2 * dot(a[0], b[2]),
                "cross": -2 * dot(a[1], b[1]),
            },
            MOVEMENT: {
                "sum": dot(step, step),
                "slope": 2 * dot(a[1], step),
                "bend": 2 * (dot(a[2], step) + dot(a[1], a[1])),
                "later_slope": -2 * dot(b[1], step),
                "later_bend": 2 * (dot(b[1], b[1]) - dot(b[2], step)),
                "cross": -2 * dot(a[1], b[1]),
            },
        }


def beliefs(
    trace: Trace,
    through: Mapping[SiteId, Translator | None],
    path: Sequence[StepSpan],
    log_prior: Tensor,
    beta: Mapping[int, float],
    seed: int | None = None,
) -> tuple[dict[tuple[int, str], Numbers], dict[tuple[int, str], Numbers]]:
    """What is held at every state that is read, and how far each step moves it.

    Args:
        trace: of a batch; ``through``: state -> its translator.
        path: the steps.
        log_prior: (classes,) log π; ``beta``: state -> its temperature.
        seed: of the random orders; None for no ``SHUFFLED``, which also needs steps that follow each other.

    Returns:
        (state, ``READ`` or ``BEST``) -> numbers; (block, one of these or ``SHUFFLED``) -> numbers.
    """
    rows = {state: trace.per_prediction(state) for state in sorted({*beta, len(trace.states) - 1})}
    order = orders_of(trace, len(path), seed) if seed is not None and follow_each_other(path) else None
    held: dict[tuple[int, str], list[Numbers]] = {(state, form): [] for state in beta for form in (READ, BEST)}
    moved: dict[tuple[int, str], list[Numbers]] = {}
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
    return {key: _joined(parts) for key, parts in held.items()}, {key: _joined(parts) for key, parts in moved.items()}


def _joined(parts: Sequence[Numbers]) -> Numbers:
    """The parts of a batch as one."""
    return {
        measure: {role: torch.cat([part[measure][role] for part in parts]) for role in roles}
        for measure, roles in parts[0].items()
    }

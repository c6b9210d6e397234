"""One forward and one backward through a network: states, branches, parts and all their gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from ..data.dataset import IGNORED, Batch
from ..errors import ItinfError, shown
from .hooks import Recording, recorded
from .inputs import run
from .measuring import evaluating
from .network import Network, require_network
from .readout import chunks, classes_of, gradient_through
from .residual import label_residual, top1

Target = Literal["label", "answer", "model"]
TARGETS: tuple[Target, ...] = get_args(Target)
SiteId = int | tuple[int, str]
"""An index in ``Trace.states``, or (block, part) for the state inside a block that a part reads."""


@dataclass
class Gradients:
    """Gradients of every unit's own normalised loss; times ``scale`` they are those of the loss.

    Attributes:
        states: ∂ℓ/∂h for each of ``Trace.states``.
        branches: ∂ℓ/∂F per block, at the sum where the branch is added; None where there is none.
        parts: part name -> gradient at the sum where the part is added.
        scale: (N, P) float64; for images the norm of the unit's residual, for tokens (whose losses
            share a backward pass) one factor per sequence, the norm over all its residuals.
    """

    states: list[Tensor]
    branches: list[Tensor | None]
    parts: list[dict[str, Tensor]]
    scale: Tensor


@dataclass
class Trace:
    """States, branches, parts and gradients of one batch.

    Attributes:
        network: the network that the batch went through.
        states: the distinct recorded states in order of depth, in the network's layout but with the batch first.
        before: block -> index of the state before it in ``states``; ``after``: of the state after it.
        branches: F per block, or None.
        parts: part name -> output, per block.
        gradients: target ("label", "answer") -> gradients; empty without gradients.
        targets: (N, P) int64; P is 1 for images, T for tokens. ``IGNORED`` where not predicted.
        keys: (N,) uint64 cluster keys.
        loss: (N, P) float64, cross-entropy against the label in nats.
        answer: (N, P) int64, the network's final top-1.
        inputs: what the network read; None for a trace that no forward pass has made.
    """

    network: Network
    states: list[Tensor]
    before: list[int]
    after: list[int]
    branches: list[Tensor | None]
    parts: list[dict[str, Tensor]]
    gradients: dict[Target, Gradients]
    targets: Tensor
    keys: np.ndarray
    loss: Tensor
    answer: Tensor
    inputs: Tensor | None = None

    @property
    def known(self) -> Tensor:
        """(N, P) bool: units that have a target."""
        return self.targets != IGNORED

    def state(self, site: SiteId) -> Tensor:
        """The state at a site, in the network's layout but with the batch first."""
        if isinstance(site, int):
            return self.states[site]
        block, part = site
        state = self.states[self.before[block]]
        for name in self.network.blocks[block].parts:
            if name == part:
                break
            state = state + self.parts[block][name]
        return state

    def per_prediction(self, site: SiteId) -> Tensor:
        """The state at a site as rows of what one readout reads, see ``Network.per_prediction``."""
        return self.network.per_prediction(self.state(site))

    def __len__(self) -> int:
        return len(self.keys)


def trace(
    network: Network,
    batch: Batch,
    targets: Sequence[Target] = ("label",),
    gradients: bool = True,
) -> Trace:
    """Runs a batch forward through a network and, once per target, back to the first state.

    Parameters are frozen meanwhile, and all is as before afterwards (``evaluating``).

    Args:
        network: the network.
        batch: inputs, targets and cluster keys.
        targets: what the loss is taken against. ``"model"`` has no gradient here: at the network's own
            distribution it is zero.
        gradients: False records states only.

    Raises:
        ItinfError: blocks that do not run as described, targets that do not fit the logits, or
            numbers that are not finite (names the first block).
    """
    require_network(network)
    if not isinstance(batch, Batch):
        raise ItinfError(f"The batch is {shown(batch)}; expected an itinf.Batch(inputs, targets, keys).")
    with evaluating(network):
        return _traced(network, batch, targets, gradients)


def _traced(network: Network, batch: Batch, targets: Sequence[Target], gradients: bool) -> Trace:
    inputs = network.ready(batch.inputs)
    with torch.set_grad_enabled(gradients), recorded(network) as recording:
        run(network, inputs)
    labels = batch.targets.to(network.device).reshape(len(batch), -1)
    _require_sizes(network, recording, labels)
    states, before, after = distinct(recording)
    last = network.per_prediction(network.batch_first(states[-1].detach()))
    final = _Final.of(network, last, labels.flatten(), gradients and "label" in targets, recording)
    by_target: dict[Target, Gradients] = {}
    if gradients:
        with_gradient = [t for t in targets if t != "model"]
        for target in with_gradient:
            if target == "answer":
                index = final.answer.masked_fill(labels.flatten() == IGNORED, IGNORED)
                end = _Final.of(network, last, index, True, recording)
            else:
                end = final
            keep = target != with_gradient[-1]
            by_target[target] = _backward(network, recording, states, end, labels.shape, keep)

    def own(tensor: Tensor) -> Tensor:
        return network.batch_first(tensor.detach())

    return Trace(
        network=network,
        states=[own(s) for s in states],
        before=before,
        after=after,
        branches=[None if b is None else own(b) for b in recording.branches],
        parts=[{k: own(v) for k, v in p.items()} for p in recording.parts],
        gradients=by_target,
        targets=labels,
        keys=batch.keys,
        loss=final.loss.reshape(labels.shape),
        answer=final.answer.reshape(labels.shape),
        inputs=inputs,
    )


def _require_sizes(network: Network, recording: Recording, labels: Tensor) -> None:
    """Requires that batch and time axes of all that was recorded are as long as the targets (N, P)."""
    expected = dict(zip("nt", labels.shape, strict=True)) if network.unit == "token" else {"n": len(labels)}
    inside = [*recording.branches, *(tensor for parts in recording.parts for tensor in parts.values())]
    for tensor in (*recording.befores, *recording.afters, *inside):
        if tensor is None:
            continue
        for axis, length in zip(network.layout.split(), tensor.shape, strict=True):
            if length != expected.get(axis, length):
                what, has = ("clusters", "") if axis == "n" else ("predictions for each cluster", " targets for each")
                raise ItinfError(
                    f"{network.name}: a state has shape {tuple(tensor.shape)}, which layout {network.layout!r} makes "
                    f"{length} {what}, but the batch has {expected[axis]}{has}. Are layout and unit those of the model?"
                )


def concatenate(traces: Sequence[Trace]) -> Trace:
    """Several traces of one network as one, in the order given."""
    if len(traces) == 1:
        return traces[0]
    return Trace(**{f.name: _join([getattr(t, f.name) for t in traces], f.name) for f in fields(Trace)})


def distinct(recording: Recording) -> tuple[list[Tensor], list[int], list[int]]:
    """Every state once, and each block's indices before and after."""
    states: list[Tensor] = []
    before, after = [], []
    for x, y in zip(recording.befores, recording.afters, strict=True):
        if not states or x is not states[-1]:
            states.append(x)
        before.append(len(states) - 1)
        states.append(y)
        after.append(len(states) - 1)
    return states, before, after


@dataclass
class _Final:
    """The last readout: loss and answer per unit and, on request, the gradient at the last state."""

    direction: Tensor | None  # as rows: gradient of each unit's normalised loss
    norm: Tensor  # (R,)
    loss: Tensor  # (R,)
    answer: Tensor  # (R,)

    @classmethod
    def of(cls, network: Network, rows: Tensor, target: Tensor, gradient: bool, recording: Recording) -> _Final:
        classes = classes_of(network, rows)
        if classes < 2:
            raise ItinfError(
                f"{network.name}: the head has {classes} output; itinf needs one class target per unit, of two classes "
                "or more. For two classes give a head of two logits."
            )
        if len(rows) != len(target):
            raise ItinfError(
                f"{network.name}: the readout makes {len(rows)} predictions from states of shape "
                f"{tuple(recording.afters[-1].shape)}, but the batch has {len(target)} targets. "
                "Is the unit (image, token or text) right?"
            )
        out_of_range = target[(target != IGNORED) & ((target < 0) | (target >= classes))]
        if len(out_of_range):
            raise ItinfError(
                f"{network.name}: target {int(out_of_range[0])} is out of range for a head of {classes} classes; "
                f"expected 0 to {classes - 1}, or {IGNORED} for none."
            )
        direction = torch.empty_like(rows) if gradient else None
        norm, loss = (torch.empty(len(rows), dtype=torch.float64, device=rows.device) for _ in range(2))
        answer = torch.empty_like(target)
        with evaluating(network):
            for part in chunks(len(rows), classes):
                x = rows[part].detach().requires_grad_(gradient)
                with torch.set_grad_enabled(gradient):
                    logits = network.readout(x)
                with torch.no_grad():
                    residual = label_residual(logits, target[part])
                    answer[part] = top1(logits)
                norm[part], loss[part] = residual.norm, residual.loss
                if direction is not None:
                    direction[part] = gradient_through(network, logits, x, residual.direction)
        if not bool(loss.isfinite().all()):
            raise ItinfError(_first_not_finite(network, recording))
        return cls(direction, norm, loss, answer)


def _backward(
    network: Network, recording: Recording, states: list[Tensor], end: _Final, shape: torch.Size, keep: bool
) -> Gradients:
    """Gradients of the loss at every state, branch and part; ``keep`` the graph for another target."""
    assert end.direction is not None
    norm = end.norm.reshape(shape)  # (N, P)
    largest = norm.amax(1, keepdim=True)  # squares of very small norms would vanish
    unit = torch.where(largest > 0, norm / largest, 0.0)
    scale = (largest * torch.linalg.vector_norm(unit, dim=1, keepdim=True)).expand(shape)
    seed = end.direction
    if shape[1] > 1:
        share = torch.where(scale > 0, norm / scale, 0.0).flatten().to(seed.dtype)
        seed = seed * share.unsqueeze(1)
    if not states[-1].requires_grad:
        raise ItinfError(f"{network.name}: no gradient reaches any state; does a block detach its input?")
    branches = [b for b in recording.branches if b is not None]
    parts = [t for p in recording.parts for t in p.values()]
    tensors = [*states[:-1], *branches, *parts]
    seed = seed.reshape(network.batch_first(states[-1]).shape)  # the batch first
    gradients = torch.autograd.grad(
        states[-1], tensors, network.batch_first(seed), retain_graph=keep, allow_unused=True
    )
    if any(g is None for g in gradients):
        raise ItinfError(f"{network.name}: {_unreached(gradients[: len(states) - 1])}")
    rest = map(network.batch_first, gradients)
    at_states = [next(rest) for _ in states[:-1]] + [seed]
    at_branches = [None if b is None else next(rest) for b in recording.branches]
    at_parts = [{name: next(rest) for name in p} for p in recording.parts]
    return Gradients(at_states, at_branches, at_parts, scale)


def _unreached(at_states: Sequence[Tensor | None]) -> str:
    for index, gradient in enumerate(at_states):
        if gradient is None:
            return f"no gradient reaches state {index} of {len(at_states)}; does a later block detach it?"
    return "no gradient reaches one of its branches or parts; is its output used in the sum?"


def _first_not_finite(network: Network, recording: Recording) -> str:
    for block, before, after in zip(network.blocks, recording.befores, recording.afters, strict=True):
        for state, end in ((before, "input"), (after, "output")):
            if not bool(state.isfinite().all()):
                return (
                    f"{network.name}: the {end} of block {block.name!r} holds numbers that are not finite. "
                    "Look for NaN in the weights or the inputs, or use a wider --dtype."
                )
    return f"{network.name}: the logits are not finite although every state is. Look at the head's weights."


def _join(values: list[Any], name: str) -> Any:
    first = values[0]
    if name in ("before", "after"):
        return first
    if isinstance(first, Tensor):
        return torch.cat(values)
    if isinstance(first, np.ndarray):
        return np.concatenate(values)
    if isinstance(first, list):
        return [_join(list(v), "") for v in zip(*values, strict=True)]
    if isinstance(first, dict):
        return {k: _join([v[k] for v in values], "") for k in first}
    if isinstance(first, Gradients):
        return Gradients(**{f.name: _join([getattr(v, f.name) for v in values], "") for f in fields(Gradients)})
    return first


UpdateName = Literal["update", "branch", "part"]


def updates(trace: Trace, block: int) -> dict[tuple[UpdateName, str], Tensor]:
    """(update, part) -> the vector, in the state's layout.

    ``update`` is after − before and absent where the shapes differ; ``branch`` is F; ``part`` is
    one of the outputs that add up to the update.
    """
    vectors: dict[tuple[UpdateName, str], Tensor] = {}
    before, after = trace.states[trace.before[block]], trace.states[trace.after[block]]
    if before.shape == after.shape:
        vectors["update", ""] = after - before
    branch = trace.branches[block]
    if branch is not None:
        vectors["branch", ""] = branch
    for name, value in trace.parts[block].items():
        vectors["part", name] = value
    return vectors

"""Finds what reads the last state of a model: neck, pool and head, in the flow of one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from ..errors import ItinfError
from .flow import SAME_CONTENT, Call, Flow

CLOSE = 1e-5
"""Largest relative difference between two computations of the same vectors."""
FAILURES = (ItinfError, RuntimeError, ValueError, TypeError, IndexError)
"""What a module may raise that is called by itself."""
FORKS = "as with two heads, class attention or maps of several sizes; itinf needs one pool and one head"
Pool = Callable[[Tensor], Tensor]


@dataclass
class FoundTail:
    """What reads the last state.

    Attributes:
        neck: from the last state to what is pooled, or None.
        pool: from that to one vector per unit; None for tokens.
        pooled: how it pools, in a few words.
        head: from vectors to logits.
    """

    neck: nn.Module | None
    pool: Pool | None
    pooled: str
    head: nn.Module


@dataclass
class _Step:
    """One module, or one operation outside of any, on the way from the last state to the logits."""

    before: int
    after: int
    module: nn.Module | None
    name: str


def find_tail(flow: Flow, last: Call, source: int, sink: int, tokens: bool) -> FoundTail:
    """The neck, pool and head of a model.

    Args:
        flow: a recorded forward pass.
        last: the call of the last block.
        source, sink: values of inputs and logits.
        tokens: whether every position has its own prediction.

    Raises:
        ItinfError: something between the last state and the logits cannot be called by itself, or the readout found
            does not give the model's logits.
    """
    problems = []
    for split in (True, False):  # a module that pools by weights of its own stays whole where taking it apart fails
        try:
            tail = _read(flow, _steps(flow, last, source, sink, split), last, sink, tokens)
            _require_logits(flow, tail, last.outputs[0], sink)
            return tail
        except FAILURES as error:
            problems.append(str(error).splitlines()[0])
    joins = _joins(flow, last, source, sink)
    why = f"the flow forks after it and joins again at {joins}, {FORKS}" if joins else problems[0]
    raise ItinfError(f"what reads the last state of {last.path!r} was not found: {why}")


def _joins(flow: Flow, last: Call, source: int, sink: int) -> str:
    """Operations outside of any module between the last state and the logits that join several values of the flow."""
    through = flow.paths_through(source, sink)
    names = []
    for step in _steps(flow, last, source, sink, split=True):
        if step.module is None and any(0 < through[v] < through[sink] for v in range(step.before + 1, step.after)):
            names.append(step.name)
    return ", ".join(dict.fromkeys(names))


def steps_to(flow: Flow, last: Call, source: int, sink: int) -> list[str]:
    """Names of the modules and operations between the last block and the logits."""
    steps = _steps(flow, last, source, sink, split=False)
    return [step.name for step in steps if step.module is not None or step.name not in SAME_CONTENT]


def _steps(flow: Flow, last: Call, source: int, sink: int, split: bool) -> list[_Step]:
    """The way from the last state to the logits, by the largest modules.

    Args:
        split: take a module apart that pools and maps vectors, too.
    """
    through = flow.paths_through(source, sink)
    bottlenecks = [v for v in range(last.outputs[0], sink + 1) if through[v] == through[sink]]
    known = set(bottlenecks)
    later = [call for call in flow.calls if call.order > last.last and call.inputs and call.outputs]
    steps, value = [], last.outputs[0]
    while value != sink:
        calls = [c for c in later if c.inputs[0] == value and c.outputs[0] in known and c.outputs[0] > value]
        whole = [c for c in calls if not _pools_and_maps(c, flow, split)]
        if whole:
            steps.append(_Step(value, whole[0].outputs[0], whole[0].module, whole[0].path))
        else:
            after = next(v for v in bottlenecks if v > value)
            steps.append(_Step(value, after, None, flow.operations[after]))
        value = steps[-1].after
    return steps


def _pools_and_maps(call: Call, flow: Flow, split: bool) -> bool:
    before, after = flow.tensors[call.inputs[0]], flow.tensors[call.outputs[0]]
    if before.ndim <= 2 or _is_vector(before) or not _is_vector(after):
        return False
    return split and any(p.ndim > 1 for p in call.module.parameters())


def _is_vector(value: Tensor) -> bool:
    return value.ndim == 2 or (value.ndim > 2 and value.numel() == value.shape[0] * value.shape[1])


def _read(flow: Flow, steps: list[_Step], last: Call, sink: int, tokens: bool) -> FoundTail:
    state = flow.tensors[last.outputs[0]]
    if tokens:
        place = max((k for k, step in enumerate(steps) if step.module is not None), default=None)
        if place is None:
            raise ItinfError("no module follows the last block, so there is no head")
        return FoundTail(_chain(flow, steps[:place]), None, "", _chain(flow, steps[place:]) or nn.Identity())
    if state.ndim == 2:
        head = _chain(flow, steps)
        if head is None:
            raise ItinfError("no module follows the last block, so there is no head")
        return FoundTail(None, None, "", head)
    cut = _cut(flow, steps, state)
    if cut is None:
        raise ItinfError(
            f"the logits have shape {tuple(flow.tensors[sink].shape)}: itinf needs one class target per unit"
        )
    after_pool = _head(flow, steps, cut)
    for first in range(cut + 1):
        for pool, said in _simple_pools(flow.tensors[steps[first].before]):
            if _fits(flow, steps, first, cut, pool):
                neck = _chain(flow, steps[:first])
                if said == BESIDE:  # twice as wide: it does not commute with an affine map
                    neck = neck or nn.Identity()
                if said in ONE_POSITION and neck is not None:  # the neck of one position is cheaper
                    return FoundTail(None, pool, said, nn.Sequential(neck, after_pool))
                return FoundTail(neck, pool, said, after_pool)
    first = max((k for k in range(cut + 1) if not _is_vector(flow.tensors[steps[k].before])), default=0)
    module = _chain(flow, steps[first : cut + 1]) or nn.Identity()
    pool = _Flattened(module)
    if not _fits(flow, steps, first, cut, pool):
        raise ItinfError(
            f"{', '.join(s.name for s in steps[first : cut + 1])} is no mean, no single position and no module"
        )
    said = ", ".join(s.name for s in steps[first : cut + 1] if s.module is not None) or "all positions side by side"
    return FoundTail(_chain(flow, steps[:first]) or nn.Identity(), pool, said, after_pool)


def _cut(flow: Flow, steps: list[_Step], state: Tensor) -> int | None:
    """The step from which on there is one vector per image; of images of one pixel, the step that takes off its axes."""
    one_pixel = _is_vector(state)
    vectors = [after.ndim == 2 if one_pixel else _is_vector(after) for after in (flow.tensors[s.after] for s in steps)]
    return next((k for k in range(len(steps)) if all(vectors[k:])), None)


def _chain(flow: Flow, steps: Sequence[_Step]) -> nn.Module | None:
    """Steps as one module; operations that only change the shape are left out, and proven not to matter later."""
    modules = [module for step in steps if (module := _module(flow, step)) is not None]
    return None if not modules else modules[0] if len(modules) == 1 else nn.Sequential(*modules)


def _module(flow: Flow, step: _Step) -> nn.Module | None:
    if step.module is not None:
        return None if isinstance(step.module, nn.Identity | nn.Dropout) else step.module
    func, args, kwargs = flow.how[step.after] or (None, (), {})
    tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    if func is None or len(tensors) != 1 or tensors[0] is not args[0]:
        return None
    before, after = flow.tensors[step.before], flow.tensors[step.after]
    if before.shape != after.shape or torch.equal(before, after):
        return None
    return _Operation(func, args[1:], kwargs)


class _Operation(nn.Module):
    """An operation that a model applies between its modules, such as the tanh of a soft-capped head."""

    def __init__(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super().__init__()
        self.func, self.args, self.kwargs = func, args, kwargs

    def __deepcopy__(self, memo: dict[int, Any]) -> _Operation:
        return _Operation(self.func, self.args, self.kwargs)

    def extra_repr(self) -> str:
        return ", ".join([str(self.func), *map(str, self.args)])

    def forward(self, x: Tensor) -> Tensor:
        """The operation, of a copy where it works in place."""
        return self.func(x.clone() if self.func._schema.name.endswith("_") else x, *self.args, **self.kwargs)


class _Flattened(nn.Module):
    """A module that pools, followed by a flattening to one vector per unit."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """(N, …) -> (N, D)."""
        return self.module(x).flatten(1)


def _head(flow: Flow, steps: list[_Step], cut: int) -> nn.Module:
    """What follows the pool; it may expect vectors with empty axes, (N, D, 1, 1)."""
    head = _chain(flow, steps[cut + 1 :]) or nn.Identity()
    shape = flow.tensors[steps[cut].after].shape
    last = flow.tensors[steps[-1].after]
    if len(shape) == 2:
        return head
    try:
        with torch.no_grad():
            if head(flow.tensors[steps[cut].after].flatten(1)).shape == last.shape:
                return head
    except RuntimeError:
        pass
    return nn.Sequential(nn.Unflatten(1, tuple(shape[1:])), head, nn.Flatten(1))


def _fits(flow: Flow, steps: list[_Step], first: int, cut: int, pool: Pool) -> bool:
    x, y = flow.tensors[steps[first].before], flow.tensors[steps[cut].after].flatten(1)
    with torch.no_grad():
        found = pool(x)
    return found.shape == y.shape and _gap(found, y) < CLOSE


BESIDE = "first token beside the mean of the others"
ONE_POSITION = ("first token", "last token")


def _simple_pools(x: Tensor) -> list[tuple[Pool, str]]:
    if _is_vector(x) and x.ndim == 2:
        return []
    if x.ndim == 4:
        return [
            (lambda h: h.mean((2, 3)), "mean over pixels"),
            (lambda h: h.mean((1, 2)), "mean over pixels"),
        ]
    if x.ndim == 3:
        return [
            (lambda h: h[:, 0], "first token"),
            (lambda h: h[:, -1], "last token"),
            (lambda h: h.mean(1), "mean over tokens"),
            (lambda h: h[:, 1:].mean(1), "mean over tokens after the first"),
            (lambda h: torch.cat([h[:, 0], h[:, 1:].mean(1)], 1), BESIDE),
        ]
    return []


def _require_logits(flow: Flow, tail: FoundTail, last: int, sink: int) -> None:
    with torch.no_grad():
        x = flow.tensors[last].clone()
        x = x if tail.neck is None else tail.neck(x)
        logits = tail.head(x if tail.pool is None else tail.pool(x))
    expected = flow.tensors[sink]
    if logits.shape != expected.shape:
        raise ItinfError(f"the readout found gives {tuple(logits.shape)}, the model {tuple(expected.shape)}")
    if (gap := _gap(logits, expected)) > CLOSE:
        raise ItinfError(f"the readout found and the model's logits differ by {gap:.1e} of the largest")


def _gap(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max().clamp_min(1e-30))

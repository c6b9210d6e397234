"""The flow of one forward pass: which module calls and operations made which value from which."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

SAME_CONTENT = ("view", "_unsafe_view", "reshape", "squeeze", "unsqueeze", "clone", "alias", "contiguous", "detach")
"""Operations whose result holds the numbers of their input in the same order."""


@dataclass(eq=False)
class Call:
    """One call of a module.

    Attributes:
        path: of the module; "" for the model itself.
        module: the module that was called.
        inputs: numbers of the values that it was given, keyword arguments last; ``outputs``: that it returned.
        start: number of the first value made inside; ``end``: of the first one made afterwards.
        count: which call of this module it is, from 1.
        order: number of this call; ``last``: of the last call inside it.
    """

    path: str
    module: nn.Module
    inputs: list[int]
    start: int
    count: int
    order: int
    outputs: list[int] = field(default_factory=list)
    end: int = -1
    last: int = -1

    def contains(self, other: Call) -> bool:
        """Whether the other call happened inside this one."""
        return self.order < other.order <= self.last


class Flow(TorchDispatchMode):
    """Records a forward pass as a graph of values.

    A value is a tensor at one moment: an in-place operation makes a new value of the same tensor.

    Attributes:
        tensors: value -> tensor; a copy where something worked on it in place later.
        made_from: value -> the values it was computed from.
        operations: value -> name of the operation that made it, such as "add"; "" for one that came from outside.
        how: value -> the operation and its arguments; None for one that came from outside.
        calls: all module calls, in the order they began.
    """

    def __init__(self) -> None:
        super().__init__()
        self.tensors: list[Tensor] = []
        self.made_from: list[list[int]] = []
        self.operations: list[str] = []
        self.how: list[tuple[Any, tuple[Any, ...], dict[str, Any]] | None] = []
        self.calls: list[Call] = []
        self._value_of: dict[int, int] = {}
        self._open: list[Call] = []
        self._kept: list[Tensor] = []

    def value(self, tensor: Tensor) -> int:
        """The number of a tensor's present value."""
        number = self._value_of.get(id(tensor))
        return self._add(tensor, [], "", None) if number is None else number

    def _add(self, tensor: Tensor, made_from: list[int], operation: str, how: Any) -> int:
        self.tensors.append(tensor)  # kept alive, so that no other tensor gets its id
        self.made_from.append(made_from)
        self.operations.append(operation)
        self.how.append(how)
        self._value_of[id(tensor)] = len(self.tensors) - 1
        return len(self.tensors) - 1

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [self.value(x) for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        for changed in _changed_in_place(func, args):
            self.tensors[self.value(changed)] = changed.clone()
            self._kept.append(changed)
        result = func(*args, **kwargs)
        name = func._schema.name.split("::")[-1].rstrip("_")
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._add(tensor, given, name, (func, args, kwargs))
        return result

    def record(self, model: nn.Module, run: Callable[[], Any]) -> Any:
        """Runs a forward pass and records it; returns what it returns."""
        with ExitStack() as hooks, torch.no_grad():
            for path, module in model.named_modules():
                enter, leave = self._enter(path), self._leave
                hooks.callback(module.register_forward_pre_hook(enter, with_kwargs=True, prepend=True).remove)
                hooks.callback(module.register_forward_hook(leave).remove)
            with self:
                return run()

    def _enter(self, path: str) -> Any:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
            inputs = [self.value(x) for x in tensors_in((args, kwargs))]
            count = 1 + sum(call.path == path for call in self.calls)
            call = Call(path, module, inputs, len(self.tensors), count, len(self.calls))
            self.calls.append(call)
            self._open.append(call)

        return hook

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        call = self._open.pop()
        call.outputs = [self.value(x) for x in tensors_in(output)]
        call.end, call.last = len(self.tensors), len(self.calls) - 1

    def paths_through(self, source: int, sink: int) -> list[int]:
        """For every value how many paths from the source to the sink lead through it; 0 beside the flow."""
        count = len(self.tensors)
        before, after = [0] * count, [0] * count
        before[source] = after[sink] = 1
        for value in range(source + 1, sink + 1):
            before[value] = sum(before[v] for v in self.made_from[value])
        for value in range(sink, source, -1):
            if after[value]:
                for origin in self.made_from[value]:
                    after[origin] += after[value]
        return [a * b for a, b in zip(before, after, strict=True)]

    def content(self, value: int) -> int:
        """The value whose numbers, in the same order, a value has: views and copies are taken off."""
        while self.operations[value] in SAME_CONTENT:
            value = self.made_from[value][0]
        return value

    def summands(self, value: int, start: int) -> list[int]:
        """The values that add up to a value, apart from a ReLU; itself, where it is no sum.

        Args:
            value: the sum; ``start``: sums made before it are not taken apart.
        """
        value = self.content(value)
        if self.operations[value] == "relu":
            value = self.made_from[value][0]
        leaves, waiting = [], [value]
        while waiting:
            value = self.content(waiting.pop())
            if value >= start and self.operations[value] == "add" and len(self.made_from[value]) == 2:
                waiting += self.made_from[value]
            else:
                leaves.append(value)
        return sorted(leaves)

    def reaches(self, value: int, later: int, start: int = 0) -> bool:
        """Whether a later value was computed from a value, with none before ``start`` between them."""
        return self.steps(value, later, start) > 0

    def steps(self, value: int, later: int, start: int = 0) -> int:
        """The largest number of operations between two values; 0 if the later was not computed from the other."""
        longest = {value: 0}
        for number in range(max(value + 1, start), later + 1):
            known = [longest[v] for v in self.made_from[number] if v in longest]
            if known:
                longest[number] = 1 + max(known)
        return longest.get(later, 0)


def _changed_in_place(func: Any, args: tuple[Any, ...]) -> Iterator[Tensor]:
    """The tensors that an operation writes into."""
    for argument, given in zip(func._schema.arguments, args, strict=False):
        if argument.alias_info is not None and argument.alias_info.is_write and isinstance(given, Tensor):
            yield given


def tensors_in(value: Any) -> Iterator[Tensor]:
    """All tensors in nested tuples, lists and dicts, model outputs included."""
    return (leaf for leaf in _leaves(value) if isinstance(leaf, Tensor))


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item)
    else:
        yield value

"""Recording the states, branches and parts of a forward pass, and leaving no trace of having done so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ItinfError
from .network import Block, Network


@dataclass
class Taps:
    """What one forward pass left behind, block by block in the order of ``network.blocks``.

    Every tensor is the one the graph was built on; what went downstream is a clone, because the
    next operation may work in place (torchvision's ``out += identity; relu(out)``).

    Attributes:
        befores: each block's first tensor argument; the same object as the previous block's
            ``after`` unless a bridge stands between.
        afters: each block's first tensor output.
        branches: output of the block's ``branch`` module, or None.
        parts: part name -> output of its module.
    """

    befores: list[Tensor] = field(default_factory=list)
    afters: list[Tensor] = field(default_factory=list)
    branches: list[Tensor | None] = field(default_factory=list)
    parts: list[dict[str, Tensor]] = field(default_factory=list)


def first_tensor(value: Any) -> Tensor | None:
    """The first tensor of a tensor, tuple, list or dict; None where there is none."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, tuple | list):
        return next((t for t in value if isinstance(t, Tensor)), None)
    return None


def _replace_first(value: Any, new: Tensor) -> Any:
    if isinstance(value, Tensor):
        return new
    if isinstance(value, dict):
        key = next(k for k, v in value.items() if isinstance(v, Tensor))
        return {**value, key: new}
    place = next(i for i, v in enumerate(value) if isinstance(v, Tensor))
    return type(value)([*value[:place], new, *value[place + 1 :]])


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """No parameter asks for a gradient inside; afterwards each does as before."""
    asked = [p for p in model.parameters() if p.requires_grad]
    for p in asked:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in asked:
            p.requires_grad_(True)


@contextmanager
def tapped(network: Network) -> Iterator[Taps]:
    """Hooks the network's blocks for one forward pass.

    With gradients enabled the graph starts at the first block's input, a leaf.

    Raises:
        ItinfError: on leaving without an error, where a block did not run, ran out of order,
            or ran more often than its description says.
    """
    recorder = _Recorder(network)
    with ExitStack() as hooks, frozen(network.model):
        for handle in recorder.attach():
            hooks.callback(handle.remove)
        yield recorder.taps
    recorder.verify()


class _Recorder:
    def __init__(self, network: Network) -> None:
        self.network = network
        self.taps = Taps()
        self.calls: dict[str, int] = {}
        self.ran: list[Block] = []
        self.active: Block | None = None
        self.handed: Tensor | None = None

    def attach(self) -> list[Any]:
        handles: list[Any] = []
        modules = dict(self.network.model.named_modules())
        by_module: dict[str, list[Block]] = {}
        for block in self.network.blocks:
            by_module.setdefault(block.name, []).append(block)
        for name, blocks in by_module.items():
            inner = {(p, r) for b in blocks for p, r in _inner(b)}
            for path, role in sorted(inner, key=str):
                handles.append(modules[f"{name}.{path}"].register_forward_hook(self._inside(role)))
            handles.append(modules[name].register_forward_pre_hook(self._enter(name, blocks), with_kwargs=True))
            handles.append(modules[name].register_forward_hook(self._leave))
        return handles

    def _enter(self, name: str, blocks: list[Block]) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            call = self.calls[name] = self.calls.get(name, 0) + 1
            self.active = next((b for b in blocks if b.call in (None, call)), None)
            if self.active is None:
                return None
            state = first_tensor(args)
            holder: Any = args
            if state is None:
                holder, state = kwargs, first_tensor(kwargs)
            if state is None:
                raise ItinfError(f"{self.network.name}: block {name!r} is called without a tensor argument.")
            self.ran.append(self.active)
            if state is self.handed and (state.is_inference() or state._version == 0):  # else a bridge worked in place
                self.taps.befores.append(self.taps.afters[-1])
                return None
            if not self.taps.befores:
                state = state.detach().requires_grad_(torch.is_grad_enabled())
            self.taps.befores.append(state)
            holder = _replace_first(holder, state.clone())
            return (holder, kwargs) if isinstance(holder, tuple) else (args, holder)

        return hook

    def _inside(self, role: str | None) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
            if self.active is None:
                return None
            value = first_tensor(output)
            depth = len(self.taps.befores)
            self.taps.parts += [{} for _ in range(depth - len(self.taps.parts))]
            self.taps.branches += [None] * (depth - len(self.taps.branches))
            twice = role in self.taps.parts[-1] if role else self.taps.branches[-1] is not None
            if value is None or twice:
                problem = "puts out no tensor" if value is None else "is called more than once in one pass"
                raise ItinfError(
                    f"{self.network.name}: {role or 'the branch'} of block {self.active.name!r} {problem}."
                )
            if role is None:
                self.taps.branches[-1] = value
            else:
                self.taps.parts[-1][role] = value
            return _replace_first(output, value.clone())

        return hook

    def _leave(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        if self.active is None:
            return None
        state = first_tensor(output)
        if state is None:
            raise ItinfError(f"{self.network.name}: block {self.active.name!r} puts out no tensor.")
        depth = len(self.taps.befores)
        self.taps.parts += [{} for _ in range(depth - len(self.taps.parts))]
        self.taps.branches += [None] * (depth - len(self.taps.branches))
        self.taps.afters.append(state)
        self.handed = state.clone()
        self.active = None
        return _replace_first(output, self.handed)

    def verify(self) -> None:
        blocks = self.network.blocks
        for block in blocks:
            count = self.calls.get(block.name, 0)
            if count == 0:
                raise ItinfError(f"{self.network.name}: block {block.name!r} did not run in the forward pass.")
            if block.call is None and count > 1:
                raise ItinfError(
                    f"{self.network.name}: block {block.name!r} ran {count} times in one pass; "
                    f"name the call, e.g. Block({block.name!r}, call=1) … Block({block.name!r}, call={count})."
                )
        if self.ran != list(blocks):
            order = ", ".join(b.name for b in self.ran)
            raise ItinfError(f"{self.network.name}: the blocks ran in another order than listed: {order}.")
        for block, branch, parts in zip(blocks, self.taps.branches, self.taps.parts, strict=True):
            silent = [p for p in block.parts if p not in parts]
            if block.branch is not None and branch is None:
                silent.append(block.branch)
            if silent:
                raise ItinfError(f"{self.network.name}: {silent[0]!r} of block {block.name!r} did not run.")


def _inner(block: Block) -> list[tuple[str, str | None]]:
    branch: list[tuple[str, str | None]] = [(block.branch, None)] if block.branch is not None else []
    return branch + [(path, part) for part, path in block.parts.items()]

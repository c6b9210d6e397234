"""The calls of a network's blocks, which can be repeated by themselves with something changed inside."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from .containers import Path, replaced, state_in, summand_in, tensors
from .hooks import inner_call, modules_inside
from .network import Block, Network

Change = Callable[[str, Tensor], Tensor]


@dataclass
class BlockCall:
    """One call of a block.

    Attributes:
        network: the network; ``block``: the description of the block; ``module``: what is called.
        given: what it was given, by position and keyword; ``path``: where the state stands there.
        before, after: the states, the batch where the layout has it.
        inside: path -> what its branch or parts put out, in the state's shape.
    """

    network: Network
    block: Block
    module: nn.Module
    given: dict[Any, Any]
    path: Path
    before: Tensor
    after: Tensor
    inside: dict[str, Tensor]

    @property
    def added(self) -> list[str]:
        """Paths of branch and parts, where these are added to the state before the block; none where its shape changes."""
        return [path for path, _ in modules_inside(self.block)] if self.before.shape == self.after.shape else []

    def again(
        self, replaced_by: Mapping[str, Tensor], before: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Calls the block again.

        Args:
            replaced_by: path of a branch or part -> what takes the place of its output.
            before: another state before the block.

        Returns:
            The state after it, and path -> what branch and parts put out by themselves.
        """
        given = replaced(_own_caches(self.given), self.path, (self.before if before is None else before).clone())
        seen: dict[str, Tensor] = {}

        def change(path: str, value: Tensor) -> Tensor:
            seen[path] = value.clone()
            return replaced_by.get(path, value).clone()

        with torch.no_grad(), _watched(self.block, self.module, self.before, change):
            positional = [given[k] for k in range(sum(isinstance(key, int) for key in given))]
            output = self.module(*positional, **{key: value for key, value in given.items() if isinstance(key, str)})
        found = state_in(output, self.network.axes, self.block.output)
        assert found is not None
        return found[1], seen

    def in_float32(self) -> BlockCall:
        """The call of a copy of the block in float32, if it runs in 16 bits, where rounding hides small changes."""
        if self.before.element_size() >= 4:
            return self
        given = self.given
        for path, tensor in tensors(given).items():
            given = replaced(given, path, tensor.float()) if tensor.is_floating_point() else given
        call = replace(self, module=copy.deepcopy(self.module).float(), given=given, before=self.before.float())
        call.after, call.inside = call.again({})
        return call


def _own_caches(given: dict[Any, Any]) -> dict[Any, Any]:
    """The same with copies of the caches of keys and values, to which every call would add."""
    return {k: copy.deepcopy(v) if type(v).__name__.endswith("Cache") else v for k, v in given.items()}


def block_calls(network: Network, inputs: Tensor) -> list[BlockCall]:
    """The calls of all blocks in one pass over prepared inputs."""
    calls: list[BlockCall] = []
    by_module: dict[str, list[Block]] = {}
    for block in network.blocks:
        by_module.setdefault(block.name, []).append(block)
    with ExitStack() as hooks, torch.no_grad():
        for name, blocks in by_module.items():
            hooks.enter_context(_recording(network, network.model.get_submodule(name), blocks, calls))
        network.forward(inputs)
    return calls


@contextmanager
def _recording(network: Network, module: nn.Module, blocks: list[Block], calls: list[BlockCall]) -> Iterator[None]:
    """Adds every call of a module that is a block."""
    count, inner = 0, ExitStack()
    begun: list[BlockCall] = []

    def enter(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        nonlocal count
        count += 1
        block = next((b for b in blocks if b.call in (None, count)), None)
        given: dict[Any, Any] = dict(enumerate(args)) | kwargs
        found = None if block is None else state_in(given, network.axes, block.input)
        if block is None or found is None:
            return
        path, state = found
        given = _own_caches(replaced(given, path, state.clone()))
        call = BlockCall(network, block, module, given, path, state.clone(), state, {})
        begun.append(call)

        def keep(path: str, value: Tensor) -> Tensor:
            call.inside[path] = value.clone()
            return value

        inner.enter_context(_watched(block, module, state, keep))

    def leave(module: nn.Module, args: Any, output: Any) -> None:
        inner.close()
        if begun:
            call = begun.pop()
            found = state_in(output, network.axes, call.block.output)
            if found is not None:
                call.after = found[1].clone()
                calls.append(call)

    with ExitStack() as hooks:
        hooks.callback(module.register_forward_pre_hook(enter, with_kwargs=True).remove)
        hooks.callback(module.register_forward_hook(leave).remove)
        yield


@contextmanager
def _watched(block: Block, module: nn.Module, state: Tensor, change: Change) -> Iterator[None]:
    """Hands what branch and parts of a block put out to ``change``, and goes on with what this returns."""
    numbers: dict[nn.Module, int] = {}
    wanted: dict[nn.Module, list[tuple[str, int | None]]] = {}
    for written, _ in modules_inside(block):
        path, number = inner_call(written)
        wanted.setdefault(module.get_submodule(path), []).append((written, number))

    def hook(inner: nn.Module, args: Any, output: Any) -> Any:
        numbers[inner] = numbers.get(inner, 0) + 1
        for written, number in wanted[inner]:
            if number in (None, numbers[inner]):
                found = summand_in(output, state)
                if found is not None:
                    path, value = found
                    shape = value.shape
                    like = value if value.ndim == state.ndim else value.reshape(state.shape)
                    output = replaced(output, path, change(written, like).reshape(shape))
        return output

    with ExitStack() as hooks:
        for inner in wanted:
            hooks.callback(inner.register_forward_hook(hook).remove)
        yield

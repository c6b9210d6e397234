"""Records states, branches and parts by hooks; removes the hooks afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ItinfError
from .containers import Path, in_words, replaced, state_in, summand_in
from .measuring import evaluating
from .network import Block, Network


@dataclass
class Recording:
    """The tensors of one forward pass, block by block in the order of ``network.blocks``.

    Every tensor is the one in autograd's graph; the model goes on with a clone, because its next
    operation may work in place (torchvision's ``out += identity; relu(out)``).

    Attributes:
        befores: the state that each block takes; the same object as the previous block's ``after`` unless a bridge
            stands between.
        afters: the state that each block puts out.
        branches: output of the block's ``branch`` module, or None.
        parts: part name -> output of its module.
    """

    befores: list[Tensor] = field(default_factory=list)
    afters: list[Tensor] = field(default_factory=list)
    branches: list[Tensor | None] = field(default_factory=list)
    parts: list[dict[str, Tensor]] = field(default_factory=list)


Nudge = Callable[[int, Tensor], Tensor]
"""(number of a state, the state as the model has it) -> what the model goes on with."""


@contextmanager
def recorded(network: Network, nudge: Nudge | None = None) -> Iterator[Recording]:
    """Records one forward pass through the network's blocks.

    With gradients enabled the graph starts at the first block's input, which is a leaf. A ``nudge`` changes states on
    their way to the next block; states are recorded as they were before their own nudge.

    Raises:
        ItinfError: after the pass, where a block did not run, ran out of order, or ran more often
            than its description says.
    """
    recorder = _Recorder(network, nudge)
    with ExitStack() as hooks, evaluating(network):
        for handle in recorder.attach():
            hooks.callback(handle.remove)
        yield recorder.recording
    recorder.verify()


class _Recorder:
    def __init__(self, network: Network, nudge: Nudge | None = None) -> None:
        self.network, self.nudge = network, nudge
        self.states = 0  # distinct ones so far
        self.recording = Recording()
        self.inside: dict[int, list[tuple[nn.Module, int | None, str | None]]] = {}  # id of a block -> branch and parts
        self.calls: dict[str, int] = {}
        self.inner_calls: dict[nn.Module, int] = {}  # of modules inside the active block
        self.ran: list[Block] = []
        self.active: Block | None = None
        self.passed_on: Tensor | None = None

    def attach(self) -> list[Any]:
        handles: list[Any] = []
        modules = dict(self.network.model.named_modules(remove_duplicate=False))
        by_module: dict[str, list[Block]] = {}
        for block in self.network.blocks:
            by_module.setdefault(block.name, []).append(block)
            self.inside[id(block)] = [
                (modules[f"{block.name}.{path}"], call, part)
                for written, part in modules_inside(block)
                for path, call in [inner_call(written)]
            ]
        for module in dict.fromkeys(module for inside in self.inside.values() for module, *_ in inside):
            handles.append(module.register_forward_hook(self._inside))
        for name, blocks in by_module.items():
            handles.append(modules[name].register_forward_pre_hook(self._enter(name, blocks), with_kwargs=True))
            handles.append(modules[name].register_forward_hook(self._leave))
        return handles

    def _enter(self, name: str, blocks: list[Block]) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            call = self.calls[name] = self.calls.get(name, 0) + 1
            self.active = next((b for b in blocks if b.call in (None, call)), None)
            if self.active is None:
                return None
            given = dict(enumerate(args)) | kwargs
            path, state = self._state(given, "takes", f"block {name!r}", self.active.input, "input")
            self.ran.append(self.active)
            self.inner_calls.clear()
            unchanged = state.is_inference() or state._version == 0  # no bridge has worked on it in place
            if state is self.passed_on and unchanged:
                self.recording.befores.append(self.recording.afters[-1])
                return None
            if not self.recording.befores:
                state = state.detach().requires_grad_(torch.is_grad_enabled())
            self.recording.befores.append(state)
            given = replaced(given, path, self._passed_on(state))
            return tuple(given[k] for k in range(len(args))), {key: given[key] for key in kwargs}

        return hook

    def _inside(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        if self.active is None:
            return output
        number = self.inner_calls[module] = self.inner_calls.get(module, 0) + 1
        for inside, call, part in self.inside[id(self.active)]:
            if inside is module and call in (None, number):  # blocks may share it
                output = self._record(part, output)
        return output

    def _record(self, part: str | None, output: Any) -> Any:
        """Records the branch (None) or a part of the active block; returns what the model goes on with."""
        assert self.active is not None
        what = f"{part or 'the branch'} of block {self.active.name!r}"
        path, value = self._state(output, "puts out", what, like=self.recording.befores[-1])
        self._add_missing()
        twice = part in self.recording.parts[-1] if part else self.recording.branches[-1] is not None
        if twice:
            raise ItinfError(
                f"{self.network.name}: {what} is called more than once in one pass. Name the call: 'path:1' or 'path:2'."
            )
        shape, before = value.shape, self.recording.befores[-1]
        if value.ndim != before.ndim:
            value = value.reshape(before.shape)  # a module may run on flattened positions
        if part is None:
            self.recording.branches[-1] = value
        else:
            self.recording.parts[-1][part] = value
        return replaced(output, path, value.reshape(shape).clone())

    def _leave(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        if self.active is None:
            return None
        what = f"block {self.active.name!r}"
        path, state = self._state(output, "puts out", what, self.active.output, "output")
        self._add_missing()
        self.recording.afters.append(state)
        self.passed_on = self._passed_on(state)
        self.active = None
        return replaced(output, path, self.passed_on)

    def _passed_on(self, state: Tensor) -> Tensor:
        """What the model goes on with: a clone of the next distinct state, nudged."""
        self.states += 1
        return state.clone() if self.nudge is None else self.nudge(self.states - 1, state.clone())

    def _state(
        self,
        value: Any,
        does: str,
        what: str,
        named: int | str | None = None,
        option: str = "",
        like: Tensor | None = None,
    ) -> tuple[Path, Tensor]:
        """The state in what a module takes or puts out, or what it adds to a state like this, and where it stands."""
        network = self.network
        try:
            found = state_in(value, network.axes, named) if like is None else summand_in(value, like)
        except ItinfError as error:
            remedy = f"Name it: Block(…, {option}=…)" if option else "Let it put out the tensor alone"
            raise ItinfError(
                f"{network.name}: which tensor is the state in what {what} {does}? It {error}. {remedy}."
            ) from None
        if found is None:
            axes = f"{network.axes} axes, as layout {network.layout!r} says"
            raise ItinfError(
                f"{network.name}: {what} {does} {in_words(value)}; expected a tensor of floating-point numbers with {axes}. "
                "Give the layout of its states."
            )
        return found

    def _add_missing(self) -> None:
        """Gives every block so far a place for its parts and its branch."""
        count = len(self.recording.befores)
        self.recording.parts += [{} for _ in range(count - len(self.recording.parts))]
        self.recording.branches += [None] * (count - len(self.recording.branches))

    def verify(self) -> None:
        """Raises ItinfError where the blocks did not run as described."""
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
        for block, branch, parts in zip(blocks, self.recording.branches, self.recording.parts, strict=True):
            missing = [p for p in block.parts if p not in parts]
            if block.branch is not None and branch is None:
                missing.append(block.branch)
            if missing:
                raise ItinfError(f"{self.network.name}: {missing[0]!r} of block {block.name!r} did not run.")


def inner_call(written: str) -> tuple[str, int | None]:
    """The path of a module inside a block, and which of its calls there: ``"drop_path:2"`` is its second one."""
    path, colon, number = written.partition(":")
    return path, int(number) if colon else None


def modules_inside(block: Block) -> list[tuple[str, str | None]]:
    """Path and part of every module inside a block that is recorded; the part is None for the branch."""
    branch: list[tuple[str, str | None]] = [(block.branch, None)] if block.branch is not None else []
    return branch + [(path, part) for part, path in block.parts.items()]

"""Proofs by perturbation: what a description claims about a block is changed, and what moves is compared.

Every block is called again by itself, with the inputs that it had and with some outputs inside it replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .hooks import _modules_inside, _replace_first, first_tensor
from .network import Block, Network

SHIFT = 0.1
"""Size of a perturbation, as a share of the root mean square of what it is added to."""
ROUNDING = 64
"""A difference is rounding if it is smaller than this many units of the last place of the largest number added up."""
MOVED = 1e-3
"""What moves by less than this share of the perturbation has not moved."""


@dataclass
class BlockCall:
    """One call of a block, that can be repeated.

    Attributes:
        block: its description; ``module``: what is called, with ``args`` and ``kwargs``.
        before, after: the states; ``inside``: path -> what its modules put out, for those in the description.
    """

    block: Block
    module: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    before: Tensor
    after: Tensor
    inside: dict[str, Tensor]

    def again(self, replaced: dict[str, Tensor], before: Tensor | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The block's output, and those inside it, with some outputs replaced, or another state before it."""
        seen: dict[str, Tensor] = {}

        def hook(path: str) -> Any:
            def replace(module: nn.Module, args: Any, output: Any) -> Any:
                seen[path] = first_tensor(output)  # type: ignore[assignment]
                return _replace_first(output, replaced[path].clone()) if path in replaced else None

            return replace

        args, kwargs = self.args, self.kwargs
        state = (self.before if before is None else before).clone()
        if first_tensor(args) is not None:
            args = _replace_first(args, state)
        else:
            kwargs = _replace_first(kwargs, state)
        with ExitStack() as hooks, torch.no_grad():
            for path in self.inside:
                hooks.callback(self.module.get_submodule(path).register_forward_hook(hook(path)).remove)
            output = first_tensor(self.module(*args, **kwargs))
        assert output is not None
        return output, seen


def block_calls(network: Network, inputs: Tensor) -> list[BlockCall]:
    """The calls of a network's blocks on a batch of inputs."""
    calls: list[BlockCall] = []
    counts: dict[str, int] = {}
    given: dict[str, tuple[Any, Any]] = {}
    inside: dict[str, Tensor] = {}
    wanted = {(b.name, b.call): b for b in network.blocks}

    def copied(value: Any) -> Any:
        state = first_tensor(value)
        return value if state is None else _replace_first(value, state.clone())

    def enter(name: str) -> Any:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
            counts[name] = counts.get(name, 0) + 1
            given[name] = (copied(args), kwargs) if first_tensor(args) is not None else (args, copied(kwargs))
            inside.clear()

        return hook

    def within(path: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            if (value := first_tensor(output)) is not None:
                inside[path] = value.clone()

        return hook

    def leave(name: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            block = wanted.get((name, None)) or wanted.get((name, counts[name]))
            after = first_tensor(output)
            if block is None or after is None:
                return
            args, kwargs = given[name]
            before = first_tensor(args)
            before = first_tensor(kwargs) if before is None else before
            assert before is not None
            calls.append(BlockCall(block, module, args, kwargs, before.clone(), after.clone(), dict(inside)))

        return hook

    with ExitStack() as hooks, torch.no_grad():
        for name in dict.fromkeys(b.name for b in network.blocks):
            module = network.model.get_submodule(name)
            hooks.callback(module.register_forward_pre_hook(enter(name), with_kwargs=True).remove)
            for block in network.blocks:
                if block.name == name:
                    for path, _ in _modules_inside(block):
                        hooks.callback(module.get_submodule(path).register_forward_hook(within(path)).remove)
            hooks.callback(module.register_forward_hook(leave(name)).remove)
        network.forward(inputs)
    return calls


def summand_faults(call: BlockCall) -> Iterator[str]:
    """What is wrong with the claim that branch and parts are added to the skip of a block."""
    paths = [path for path, _ in _modules_inside(call.block)]
    for path in paths:
        shift = _shift(call.inside[path])
        others = {p: call.inside[p] for p in paths if p != path}
        moved, _ = call.again(others | {path: call.inside[path] + shift})
        if shift.numel() != call.after.numel():
            yield f"{path!r} puts out {tuple(shift.shape)}, and the state is {tuple(call.after.shape)}"
            continue
        shift = shift.reshape(call.after.shape)
        open_ = (call.after > 0) & (moved > 0) if _ends_in_relu(call) else torch.ones_like(moved, dtype=torch.bool)
        gap = ((moved - call.after - shift) * open_).abs().max()
        if float(gap) > MOVED * float(shift.abs().max()) + _rounding(call.after):
            yield f"the block's output does not move by what is added to the output of {path!r}"
    if paths and call.before.shape == call.after.shape:
        skip, _ = call.again({path: torch.zeros_like(call.inside[path]) for path in paths})
        expected = call.before.relu() if _ends_in_relu(call) else call.before
        if float((skip - expected).abs().max()) > _rounding(call.before):
            what = "its branch" if call.block.branch is not None else "its parts"
            none = float(skip.abs().max()) <= _rounding(call.after)
            yield f"with {what} at zero its output is {'zero' if none else 'not its input'}: " + (
                "there is no skip" if none else "something else is added, too, or a norm follows the sum"
            )


def order_faults(call: BlockCall) -> Iterator[str]:
    """What is wrong with the order of the parts of a block: sequential parts read what those before them add."""
    paths = list(call.block.parts.values())
    for earlier, later in zip(paths, paths[1:], strict=False):
        _, seen = call.again({earlier: call.inside[earlier] + _shift(call.inside[earlier], 1.0)})
        moves = _moves(call.inside[later], seen[later])
        if moves and call.block.parallel:
            yield f"{later!r} reads what {earlier!r} adds, but the block is described as parallel; use parallel=False"
        if not moves and not call.block.parallel:
            _, seen = call.again({later: call.inside[later] + _shift(call.inside[later], 1.0)})
            if _moves(call.inside[earlier], seen[earlier]):
                yield f"{earlier!r} reads what {later!r} adds; name the parts in the order in which they are added"
            else:
                yield f"{later!r} does not read what {earlier!r} adds; use parallel=True"


def name_faults(network: Network, call: BlockCall) -> Iterator[str]:
    """What is wrong with parts called attention and mlp: attention mixes the positions of a unit, an mlp does not."""
    if network.layout not in ("n t c", "n h w c") or not call.block.parts or call.before[0].shape[:-1].numel() < 2:
        return
    before = call.before.clone()
    place = (slice(None), *[0] * (before.ndim - 2))
    before[place] += _shift(before[place], 1.0)
    for part, path in call.block.parts.items():
        if part not in ("attention", "mlp"):
            continue
        others = {p: call.inside[p] for p in call.block.parts.values() if p != path}
        _, seen = call.again(others, before)
        old, new = (x.reshape(len(before), -1, x.shape[-1]) for x in (call.inside[path], seen[path]))
        if old.numel() != call.inside[path].numel() or old.shape[1] < 2:
            continue
        mixes = _moves(old[:, 1:], new[:, 1:])
        if part == "mlp" and mixes:
            yield f"part 'mlp' ({path!r}) mixes positions, as attention does; are the parts swapped?"
        if part == "attention" and not mixes:
            yield f"part 'attention' ({path!r}) does not mix positions; are the parts swapped?"


def has_skip(call: BlockCall) -> bool | None:
    """Whether a block passes its input on: its output with branch and parts at zero. None where it names neither."""
    paths = [path for path, _ in _modules_inside(call.block)]
    if not paths:
        return None
    skip, _ = call.again({path: torch.zeros_like(call.inside[path]) for path in paths})
    return float(skip.abs().max()) > _rounding(call.after)


def independence_fault(network: Network, inputs: Tensor) -> str:
    """What is wrong with the claim that axis 0 of every state counts images or sequences; "" if nothing is."""
    if len(inputs) < 2:
        return ""
    other = inputs.clone()
    other[0] = inputs[0].flip(-1) if not torch.equal(inputs[0].flip(-1), inputs[0]) else inputs[0].roll(1, -1)
    if torch.equal(other, inputs):
        return ""
    old, new = block_calls(network, inputs), block_calls(network, other)
    for a, b in zip(old, new, strict=True):
        if len(a.after) != len(inputs):
            return f"{a.block.name!r} puts out {tuple(a.after.shape)} for {len(inputs)} inputs; expected them on axis 0"
        if _moves(a.after[1:], b.after[1:]):
            return (
                f"when only input 0 changes, other rows of the output of {a.block.name!r} change, too; expected states "
                "with one row for each input"
            )
    return ""


def readout_fault(network: Network, inputs: Tensor, compare: Callable[[Any, Tensor], float | None]) -> str:
    """What is wrong with the claim that the readout of any last state gives the model's logits; "" if nothing is.

    Args:
        network: the network; ``inputs``: of a batch.
        compare: (the model's output, logits of the readout) -> largest relative difference, None if not comparable.
    """
    replaced: list[Tensor] = []
    last = network.blocks[-1]
    count = 0

    def hook(module: nn.Module, args: Any, output: Any) -> Any:
        nonlocal count
        count += 1
        if last.call not in (None, count):
            return None
        state = first_tensor(output)
        assert state is not None
        replaced.append(state + _shift(state, 1.0))
        return _replace_first(output, replaced[0].clone())

    handle = network.model.get_submodule(last.name).register_forward_hook(hook)
    try:
        with torch.no_grad():
            output = network.model(inputs)
            logits = network.readout(network.per_prediction(replaced[0]))
    finally:
        handle.remove()
    gap = compare(output, logits)
    return (
        ""
        if gap is None or gap < MOVED
        else f"another last state is read differently by {gap:.1e} of the largest logit"
    )


def _shift(value: Tensor, share: float = SHIFT) -> Tensor:
    """A random perturbation, small compared with a value; of size 1 where the value is zero."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(value.shape, generator=generator).to(value)
    size = value.double().square().mean().sqrt().to(value)
    return share * torch.where(size > 0, size, 1.0) * noise


def _rounding(value: Tensor) -> float:
    return ROUNDING * torch.finfo(value.dtype).eps * float(value.abs().max())


def _moves(old: Tensor, new: Tensor) -> bool:
    return float((new - old).abs().max()) > _rounding(old)


def _ends_in_relu(call: BlockCall) -> bool:
    """Whether the sum goes through a ReLU: no entry of the output is negative, and some are exactly zero."""
    return bool((call.after >= 0).all()) and bool((call.after == 0).any())

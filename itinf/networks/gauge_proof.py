"""Proves a gauge: whatever reads or writes a state can absorb a change of its basis.

A block is called with a changed state. Every module in it that can absorb the change (a matrix, a norm in front of a
matrix, for scales also whatever treats each channel by itself) then puts out what it put out before; what it writes to
the state is changed. The gauge is proven if the state after the block is the changed one, and the logits stay.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from .block_call import BlockCall
from .containers import replaced, tensors
from .gauge import GAUGES, Gauge, random_change, random_rotation
from .hooks import modules_inside
from .network import Network

FUSED = ("MultiheadAttention", "ShiftedWindowAttention")
"""Modules that use the matrices of their submodules without calling these."""
NORMS = (_BatchNorm, nn.GroupNorm, nn.LayerNorm)
"""Norms, which may have an activation as a submodule."""
NOISE = 0.1
"""Size of the noise that is added to weights that may be zero."""
TOLERANCE = 1e-3
"""Largest difference between equal values, as a share of the largest entry."""


@dataclass
class _Use:
    """One call of a module without submodules: the first tensor that it was given, and the first that it put out."""

    module: nn.Module
    given: Tensor
    out: Tensor


def prove_gauge(network: Network, inputs: Tensor, calls: Sequence[BlockCall], gauge: Gauge) -> tuple[bool | None, str]:
    """Whether a gauge holds, and why it does not; None where a block that changes the shape, or the readout, leaves it open.

    Args:
        network: the network, with its branches or parts described.
        inputs: prepared; ``calls``: of all blocks with these, see ``block_calls``.
        gauge: the changes of basis, of which a random one is tried in every block.
    """
    open_: list[str] = []
    for call in calls:
        why = _block(_generic(call), gauge)
        if why and call.added:
            return False, f"{call.block.name}: {why}"
        open_ += [f"{call.block.name}: {why}"] if why else []
    why = _first_state(network, inputs, calls[0].before, gauge)
    if why:
        return False, why
    why = _readout(network, calls[-1].after, gauge)  # which may add vectors of its own to the states
    open_ += [why] if why else []
    return (None, open_[0]) if open_ else (True, "")


def find_gauge(network: Network, inputs: Tensor, calls: Sequence[BlockCall]) -> tuple[Gauge | None, str]:
    """The gauge that can be proven, and why there is none."""
    refused = []
    for gauge in GAUGES:
        holds, why = prove_gauge(network, inputs, calls, gauge)
        if not holds:
            refused.append(why)
            continue
        further: Gauge = "orthogonal" if gauge == "channel-scale" else "channel-scale"
        added = {(type(call.module), network.width(call.before)): call for call in calls if call.added}
        free = [call for call in added.values() if not _block(_generic(call), further)]
        if not free:
            return gauge, ""
        return None, (
            f"around {free[0].block.name} any linear change of basis leaves the function as it is, so no cosine is a property "
            "of it"
        )
    late = [why for why in refused if not why.startswith(f"{calls[0].block.name}:")]  # the nearest to a proof
    return None, f"no change of basis is proven to leave the function as it is ({(late or refused)[-1]})"


def _generic(call: BlockCall) -> BlockCall:
    """The call of a copy with no special weights: those at zero or one, as at initialisation, would prove too much.

    Scales by which the block itself multiplies become one: the matrix whose output they multiply can absorb them.
    """
    module = copy.deepcopy(call.module)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for owner in module.modules():
            of_block = (
                bool(list(owner.children())) and not isinstance(owner, NORMS) and type(owner).__name__ not in FUSED
            )
            for values in owner.parameters(recurse=False):
                noise = torch.rand(values.shape, generator=generator).to(values)
                if values.numel() == max(values.shape, default=1):
                    values.mul_(1 + noise)
                    values.add_(NOISE * (noise - 0.5) if bool((values <= 0).any()) else 0)
                    values.copy_(torch.ones_like(values) if of_block else values)
                elif not bool(values.any()):
                    values.add_(NOISE * (noise - 0.5))
    plain = replace(call, module=module).in_float32()
    plain.after, plain.inside = plain.again({})
    return plain


def _block(call: BlockCall, gauge: Gauge) -> str:
    change = _Change(gauge, call.network, call.before)
    uses: list[_Use] = []
    with _hooked(call.module, lambda use: uses.append(use)):
        call.again({})
    writers: set[int] = set()
    for path in call.added:
        writer = _writer(call, path, uses, change)
        if writer is None:
            return f"what {path!r} writes to the state cannot absorb a change of basis ({gauge})"
        writers.add(writer)
    stuck: list[nn.Module] = []
    with _hooked(call.module, _absorbing(uses, change, writers, stuck)):
        after, _ = call.again({}, change(call.before))
    if _same(after, change(call.after) if call.added else call.after):
        return ""
    reader = next((path for path, module in call.module.named_modules() if module in stuck[:1]), None)
    return f"{repr(reader) if reader else 'what'} reads the state and cannot absorb a change of basis ({gauge})"


def _first_state(network: Network, inputs: Tensor, state: Tensor, gauge: Gauge) -> str:
    """Weights of a norm that makes the first state cannot absorb a rotation."""
    uses: list[_Use] = []
    with torch.no_grad(), _hooked(network.model, lambda use: uses.append(use)):
        network.forward(inputs)
    change = _Change(gauge, network, state)
    makes = [use for use in uses if use.out.shape == state.shape and torch.equal(use.out, state)]
    if gauge != "channel-scale" and any(_gauges_of_norm(use, change) for use in makes):
        return f"the weights of the norm that makes the first state cannot absorb a change of basis ({gauge})"
    return ""


def _readout(network: Network, state: Tensor, gauge: Gauge) -> str:
    uses: list[_Use] = []
    change = _Change(gauge, network, state)
    rows = [network.per_prediction(network.batch_first(x)) for x in (state, change(state))]
    with torch.no_grad(), ExitStack() as hooks:
        with _hooked(_Readout(network), lambda use: uses.append(use)):
            logits = network.readout(rows[0])
        hooks.enter_context(_hooked(_Readout(network), _absorbing(uses, change, set(), [])))
        same = _same(network.readout(rows[1]), logits)
    return "" if same else f"the readout cannot absorb a change of basis ({gauge})"


class _Readout(nn.ModuleList):
    """The modules of a readout, which may be functions that use modules of the model."""

    def __init__(self, network: Network) -> None:
        parts: list[Any] = [network.model, network.neck, network.pool, network.head]
        super().__init__(part for part in parts if isinstance(part, nn.Module))


class _Change:
    """A random change of the basis of a state's channels, and another one for what a norm puts out."""

    def __init__(self, gauge: Gauge, network: Network, state: Tensor) -> None:
        self.gauge, self.width, self.axes = gauge, network.width(state), state.ndim
        self.axis = 1 if network.layout == "n c h w" else state.ndim - 1
        self.matrix = random_change(gauge, self.width).to(state)
        self.other = random_rotation(self.width, 1).to(state)

    def axis_in(self, value: Tensor, module: nn.Module | None = None) -> int | None:
        """The axis of the channels in a state, or in what a module takes or puts out; None if their number differs.

        Several states side by side, as a token's and a mean, are channels that a matrix can read.
        """
        axis = self.axis if value.ndim == self.axes else value.ndim - 1
        if isinstance(module, _ConvNd | _BatchNorm | nn.GroupNorm):
            axis = 1
        elif module is not None and _mixes(module):
            axis = value.ndim - 1
            return axis if value.shape[axis] % self.width == 0 else None
        return axis if value.shape[axis] == self.width else None

    def __call__(self, value: Tensor, module: nn.Module | None = None, other: bool = False) -> Tensor:
        """The value in the changed basis."""
        axis = self.axis_in(value, module)
        assert axis is not None
        matrix = self.other if other else self.matrix
        last = value.movedim(axis, -1).unflatten(-1, (-1, self.width))
        return (last * matrix if matrix.ndim == 1 else last @ matrix.T).flatten(-2).movedim(-1, axis)


def _absorbing(
    uses: list[_Use], change: _Change, writers: set[int], stuck: list[nn.Module]
) -> Callable[[_Use], Tensor | None]:
    """What the modules put out once they have absorbed the change, in the order in which they are called.

    Modules with weights that are given something changed and cannot absorb it are added to ``stuck``.
    """
    numbers = iter(range(len(uses)))

    def output(use: _Use) -> Tensor | None:
        number = next(numbers, None)
        if number is None or uses[number].module is not use.module:
            return None
        plain, out, absorbed = uses[number], use.out, False
        if plain.given.shape == use.given.shape and change.axis_in(plain.given, use.module) is not None:
            if _mixes(use.module) and any(
                _same(use.given, change(plain.given, use.module, other)) for other in (False, True)
            ):
                out, absorbed = plain.out, True
            elif _same(use.given, change(plain.given, use.module)):
                if change.gauge == "channel-scale" and _keeps_channels_apart(use.module):
                    out, absorbed = plain.out, True
                elif change.gauge in _gauges_of_norm(plain, change):
                    out, absorbed = change(plain.out, use.module, other=True), True  # which only a matrix can read
        if not absorbed and list(use.module.parameters()) and not _holds(use.given, plain.given):
            stuck.append(use.module)
        return change(out, use.module) if number in writers else out

    return output


def _writer(call: BlockCall, path: str, uses: list[_Use], change: _Change) -> int | None:
    """The number of the module whose output, changed, changes what a branch or part adds in the same way."""
    expected = change(call.inside[path])
    others = {p: call.inside[p] for p, _ in modules_inside(call.block) if p != path}
    for number in reversed(range(len(uses))):
        if change.axis_in(uses[number].out, uses[number].module) is None or not _can_write(number, uses, change):
            continue
        with _hooked(call.module, _absorbing(uses, change, {number}, [])):
            _, seen = call.again(others)
        if _same(seen[path], expected):
            return number
    return None


def _can_write(number: int, uses: list[_Use], change: _Change) -> bool:
    """Whether a module has parameters that can absorb a change of what it puts out."""
    module, given = uses[number].module, uses[number].given
    if _mixes(module):
        return True
    if change.gauge == "channel-scale":
        return isinstance(module, _ConvNd) or any(p.numel() == change.width for p in module.parameters())
    scales = isinstance(module, _BatchNorm) or _only_scales(module, given)
    return scales and any(_mixes(use.module) and _holds(use.out, given) for use in uses[:number])


def _only_scales(module: nn.Module, given: Tensor) -> bool:
    """Whether a module only multiplies by its parameters, as LayerScale does: twice the input gives twice the output."""
    parameters = list(module.parameters())
    if not parameters or any(p.numel() > given.shape[-1] for p in parameters):
        return False
    with torch.no_grad():
        return _same(module.forward(2 * given), 2 * module.forward(given))


def _mixes(module: nn.Module) -> bool:
    """Whether a module is a matrix over channels."""
    if isinstance(module, _ConvNd):
        return module.groups == 1
    return isinstance(module, nn.Linear) or type(module).__name__ in ("Conv1D", *FUSED)


def _keeps_channels_apart(module: nn.Module) -> bool:
    """Whether a module treats each channel by itself, with weights that can absorb a scale."""
    if isinstance(module, _ConvNd | _BatchNorm):
        return True
    return type(module).__name__ == "Affine"


def _gauges_of_norm(use: _Use, change: _Change) -> tuple[Gauge, ...]:
    """The gauges under which a norm, apart from its weights, passes the change on; none for other modules."""
    axis = change.axis_in(use.given, use.module)
    weighted = any(p.numel() == change.width for p in use.module.parameters())
    if axis is None or not weighted or use.out.shape != use.given.shape:
        return ()
    generator = torch.Generator().manual_seed(0)
    tried = [size * torch.randn(use.given.shape, generator=generator).to(use.given) for size in (10, 30)]
    with torch.no_grad():
        bias = use.module.forward(torch.zeros_like(use.given))
        outs = [use.module.forward(x) - bias for x in tried]
    for gauges, centred in ((("orthogonal", "orthogonal-layernorm"), False), (("orthogonal-layernorm",), True)):
        weights = []
        for x, out in zip(tried, outs, strict=True):
            x = x - x.mean(axis, keepdim=True) if centred else x
            weights.append(out * x.square().mean(axis, keepdim=True).sqrt() / x)
        usual = [w.movedim(axis, -1).flatten(0, -2).median(0).values for w in weights]
        if _same(usual[0], usual[1]):
            return gauges  # type: ignore[return-value]
    return ()


def _holds(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and _same(a, b)


def _same(a: Tensor, b: Tensor) -> bool:
    tolerance = max(TOLERANCE, 8 * torch.finfo(b.dtype).eps)
    return a.shape == b.shape and float((a - b).abs().max()) <= tolerance * float(b.abs().max())


@contextmanager
def _hooked(module: nn.Module, output: Callable[[_Use], Tensor | None]) -> Iterator[None]:
    """Hands every call of a module without submodules to ``output``, whose result takes the place of what it puts out."""

    def hook(inner: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> Any:
        given = next((x for x in tensors((args, kwargs)).values() if x.is_floating_point()), None)
        path, first = next(((p, x) for p, x in tensors(out).items() if x.is_floating_point()), ((), None))
        if given is None or first is None:
            return None
        new = output(_Use(inner, given.clone(), first.clone()))
        return None if new is None or new is first else replaced(out, path, new)

    with ExitStack() as hooks:
        for inner in module.modules():
            if not list(inner.children()) or isinstance(inner, NORMS) or type(inner).__name__ in FUSED:
                hooks.callback(inner.register_forward_hook(hook, with_kwargs=True).remove)
        yield

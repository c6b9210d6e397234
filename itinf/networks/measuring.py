"""What holds around a measurement: a network in eval mode, in its own precision, and afterwards as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar

import torch
from torch import nn

from ..errors import ItinfError
from .devices import require_float64
from .network import Network

_measured: ContextVar[frozenset[int]] = ContextVar("measured", default=frozenset())
"""Modules that a measurement is about at the moment: one inside another changes nothing more."""


@contextmanager
def evaluating(network: Network | nn.Module) -> Iterator[None]:
    """Every measurement runs inside; afterwards the network is as the user had it, also after an error.

    Inside, every module is in eval mode, no parameter requires a gradient, and the caller's autocast and inference mode
    are off, so that numbers have the network's own dtype. PyTorch's fast path of attention is off, because it skips the
    hooks of submodules, and compiled modules run as they were written. Afterwards modes, ``requires_grad``, buffers and
    these switches are as before.

    Raises:
        ItinfError: parameters on several devices, on a device without float64, or made under inference mode.
    """
    opened = [network.model, network.head, network.neck, network.pool] if isinstance(network, Network) else [network]
    roots = [part for part in opened if isinstance(part, nn.Module)]
    outer = _measured.get()
    if all(id(root) in outer for root in roots):
        yield
        return
    modules = list(dict.fromkeys(module for root in roots for module in root.modules()))
    device = _require_measurable(getattr(network, "name", type(network).__name__), modules)
    with ExitStack() as stack:
        token = _measured.set(outer | {id(root) for root in roots})
        stack.callback(_measured.reset, token)
        gradients = torch.is_grad_enabled()  # leaving inference mode would switch them on
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.set_grad_enabled(gradients))
        for kind in {device.type, "cpu"}:
            if torch.amp.is_autocast_available(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        stack.callback(torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled())
        torch.backends.mha.set_fastpath_enabled(False)
        if any(_is_compiled(module) for module in modules):
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(_as_before(modules))
        yield


@contextmanager
def _as_before(modules: list[nn.Module]) -> Iterator[None]:
    """Modes, ``requires_grad`` and buffers are the same after it as before."""
    modes = [(module, module.training) for module in modules]
    trainable = [p for module in modules for p in module.parameters(recurse=False) if p.requires_grad]
    buffers = [(module, name, b, b.clone()) for module in modules for name, b in module.named_buffers(recurse=False)]
    for module in modules:
        module.training = False
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter in trainable:
            parameter.requires_grad_(True)
        with torch.no_grad():
            for module, name, buffer, value in buffers:
                module._buffers[name] = buffer
                if not torch.equal(buffer, value):
                    buffer.copy_(value)


def _require_measurable(name: str, modules: list[nn.Module]) -> torch.device:
    """The device of the modules."""
    devices = {p.device for module in modules for p in module.parameters(recurse=False)}
    if len(devices) > 1:
        raise ItinfError(
            f"{name} has parameters on {' and '.join(sorted(map(str, devices)))}; itinf measures on one device. "
            "Move all of it there with network.to(device)."
        )
    if any(p.is_inference() for module in modules for p in module.parameters(recurse=False)):
        raise ItinfError(
            f"{name}: its parameters were made under torch.inference_mode, and PyTorch takes no gradients through "
            "them. Make the model, or load it, outside of it."
        )
    device = next(iter(devices), torch.device("cpu"))
    require_float64(device)
    return device


def _is_compiled(module: nn.Module) -> bool:
    return type(module).__name__ == "OptimizedModule" or getattr(module, "_compiled_call_impl", None) is not None

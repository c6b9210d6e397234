"""The states of a model in training: for losses that are taken at several depths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn


@contextmanager
def states(model: nn.Module, blocks: Sequence[str]) -> Iterator[list[Tensor]]:
    """Collects h_0 … h_L of every forward pass inside, in autograd's graph and in the model's own mode.

    Unlike ``itinf.networks.trace`` it leaves training as it is: gradients reach the parameters, and BatchNorm takes the
    statistics of the batch.

    Args:
        model: the model.
        blocks: paths of its blocks, in the order they run; each takes the state first, and puts it out alone or first.
    """
    found: list[Tensor] = []

    def first(module: nn.Module, args: tuple[Any, ...]) -> None:
        found.append(args[0])

    def after(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        found.append(output[0] if isinstance(output, tuple) else output)

    with ExitStack() as hooks:
        hooks.callback(model.get_submodule(blocks[0]).register_forward_pre_hook(first).remove)
        for block in blocks:
            hooks.callback(model.get_submodule(block).register_forward_hook(after).remove)
        yield found

"""What a model and the list of its blocks have to be, so that hooks see every block and gradients pass through it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import nn

from ..errors import ItinfError, nearest

if TYPE_CHECKING:
    from .network import Block

WRAPPERS = ("DataParallel", "DistributedDataParallel", "FullyShardedDataParallel", "ScriptModule")
"""Classes of models whose submodules run elsewhere than where hooks are set."""
QUANTIZED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized")
"""Where PyTorch keeps its quantized modules."""


def require_transparent(name: str, model: nn.Module) -> None:
    """Requires that hooks see the model's modules, and that gradients pass through them."""
    for module in model.modules():
        if type(module).__module__.startswith(QUANTIZED):
            raise ItinfError(
                f"{name}: the model holds a quantized {type(module).__name__}, through which PyTorch takes no "
                "gradients. Give the model that it was made from."
            )
        wrapper = next((kind.__name__ for kind in type(module).__mro__ if kind.__name__ in WRAPPERS), None)
        if wrapper is not None:
            inside = "the model that it was made from" if wrapper == "ScriptModule" else "its .module"
            raise ItinfError(
                f"{name}: the model holds a {wrapper}, whose submodules run where itinf cannot see them. Give {inside}."
            )


def require_modules(name: str, model: nn.Module, blocks: Sequence[Block]) -> None:
    """Requires that every block and submodule is there, and that no block is listed twice or inside another."""
    known = dict(model.named_modules(remove_duplicate=False))
    for block in blocks:
        inside = [p.partition(":")[0] for p in (block.branch, *block.parts.values()) if p is not None]
        for path in (block.name, *(f"{block.name}.{p}" for p in inside)):
            if path not in known:
                raise ItinfError(f"{name} has no module {path!r}. {nearest(path, known)}")
    calls: set[tuple[str, int | None]] = set()
    for block in blocks:
        if (block.name, block.call) in calls:
            raise ItinfError(
                f"{name}: block {block.name!r} is listed twice; "
                "name the call, e.g. Block(name, call=1), where one module is called repeatedly."
            )
        calls.add((block.name, block.call))
    first: dict[int, str] = {}
    for path in dict.fromkeys(block.name for block in blocks):
        same = first.setdefault(id(known[path]), path)
        if same != path:
            raise ItinfError(
                f"{name}: {same!r} and {path!r} are one module. Name its calls: Block({same!r}, call=1), "
                f"Block({same!r}, call=2) …"
            )
        if outer := next((other.name for other in blocks if path.startswith(f"{other.name}.")), None):
            raise ItinfError(f"{name}: block {path!r} lies inside block {outer!r}. List one of them.")

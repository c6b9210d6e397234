"""Tensors inside what modules take and put out: tuples, lists, dicts, NamedTuples, dataclasses, ModelOutputs."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from ..errors import ItinfError

Path = tuple[Any, ...]
"""Keys, indices and fields that lead to a tensor; () for the tensor itself."""


def tensors(value: Any) -> dict[Path, Tensor]:
    """Every tensor in a value by its path, the outermost first."""
    found: dict[Path, Tensor] = {}
    level: list[tuple[Path, Any]] = [((), value)]
    while level:
        inside: list[tuple[Path, Any]] = []
        for path, item in level:
            if isinstance(item, Tensor):
                found[path] = item
            inside += (((*path, key), part) for key, part in _parts(item))
        level = inside
    return found


def state_in(value: Any, axes: int, named: int | str | None = None) -> tuple[Path, Tensor] | None:
    """The state in what a module takes or puts out, and its path; None where there is none.

    It is the first floating-point tensor with as many axes as a state, at the outermost level that holds one.

    Args:
        value: a tensor or a container.
        axes: number of axes of a state.
        named: key, index or field of the state; None to find it.

    Raises:
        ItinfError: the level holds another tensor of the same shape, so which is the state is not clear; or nothing
            has the name.
    """
    all_tensors = tensors(value)
    if named is not None:
        if (named,) not in all_tensors:
            keys = ", ".join(repr(path[0]) for path in all_tensors if len(path) == 1)
            raise ItinfError(f"has no tensor {named!r}; its tensors: {keys or 'none'}")
        all_tensors = {(named,): all_tensors[named,]}
    fits = [(p, t) for p, t in all_tensors.items() if t.is_floating_point() and t.ndim == axes]
    if not fits:
        return None
    path, state = fits[0]
    for other, tensor in fits[1:]:
        if len(other) == len(path) and tensor.shape == state.shape and tensor is not state:
            names = " and ".join(".".join(map(str, p)) for p in (path, other))
            raise ItinfError(f"holds several tensors of shape {tuple(state.shape)}, {names}")
    return path, state


def summand_in(value: Any, state: Tensor) -> tuple[Path, Tensor] | None:
    """What a module adds to a state, in what it puts out: like ``state_in``, or as many numbers in another shape.

    A module may run on flattened positions, and its output be reshaped before it is added.
    """
    path, first = next(iter(tensors(value).items()), ((), None))
    if first is not None and first.is_floating_point() and first.ndim != state.ndim and first.numel() == state.numel():
        return path, first
    return state_in(value, state.ndim)


def replaced(value: Any, path: Path, new: Tensor) -> Any:
    """A copy of a container, of the same type, with another tensor at a path; what is not on the path is shared."""
    if not path:
        return new
    key, *rest = path
    if isinstance(value, tuple):
        place = value._fields.index(key) if hasattr(value, "_fields") else key
        items = [*value[:place], replaced(value[place], tuple(rest), new), *value[place + 1 :]]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    changed = copy.copy(value)
    if isinstance(value, Mapping | list):
        changed[key] = replaced(value[key], tuple(rest), new)
    else:
        object.__setattr__(changed, key, replaced(getattr(value, key), tuple(rest), new))
    return changed


def only_tensor(value: Any, what: str) -> Tensor:
    """The tensor that a neck, pool or head puts out: alone, in a container, or under ``logits`` among others.

    Raises:
        ItinfError: none, or several without that name.
    """
    if isinstance(value, Tensor):
        return value
    floating = {path: tensor for path, tensor in tensors(value).items() if tensor.is_floating_point()}
    if ("logits",) in floating:
        return floating["logits",]
    if len(floating) != 1:
        raise ItinfError(
            f"{what} puts out {in_words(value)}; expected one tensor. Give a function that puts out the tensor alone."
        )
    return next(iter(floating.values()))


def in_words(value: Any) -> str:
    """The shapes of the tensors in a value."""
    found = tensors(value)
    if len(found) == 1:
        return f"a tensor of shape {tuple(next(iter(found.values())).shape)}"
    return (
        ", ".join(f"{'.'.join(map(str, path))} {tuple(tensor.shape)}" for path, tensor in found.items()) or "no tensor"
    )


def _parts(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        yield from value.items()
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        yield from zip(value._fields, value, strict=True)
    elif isinstance(value, tuple | list):
        yield from enumerate(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from ((f.name, getattr(value, f.name, None)) for f in dataclasses.fields(value))

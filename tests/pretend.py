"""A pretend accelerator: a device whose tensors live on the CPU, but which refuses what a real accelerator refuses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("lazy", 0)
"""A device type that every build of PyTorch knows and nobody uses."""
COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)


class Far(torch.Tensor):
    """A tensor on the pretend device; ``near`` holds its numbers on the CPU."""

    near: torch.Tensor

    @staticmethod
    def __new__(cls, near):
        tensor = torch.Tensor._make_wrapper_subclass(
            cls, near.shape, near.stride(), near.storage_offset(), dtype=near.dtype, device=DEVICE
        )
        tensor.near = near
        return tensor

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {}, float64=True)

    def numpy(self):
        raise TypeError("can't convert a tensor of the pretend device to numpy")

    def tolist(self):
        return self.near.tolist()

    def __getitem__(self, key):
        return super().__getitem__(_there(key))

    def __setitem__(self, key, value):
        super().__setitem__(_there(key), value)

    def __deepcopy__(self, memo):
        copy = Far(self.near.clone())
        if isinstance(self, torch.nn.Parameter):
            copy = torch.nn.Parameter(copy, self.requires_grad)
        return memo.setdefault(id(self), copy)


def _there(key: Any) -> Any:
    """An index with its lists as tensors of the pretend device: PyTorch would make them where no mode sees it."""
    if isinstance(key, tuple):
        return tuple(map(_there, key))
    return torch.tensor(key).to(DEVICE) if isinstance(key, list) else key


@contextmanager
def accelerator(float64: bool = True) -> Iterator[None]:
    """The pretend device is there inside; it refuses operations on tensors of two devices, and float64 where it has none."""
    with _Operations(float64), _Literals():
        yield


class _Operations(TorchDispatchMode):
    def __init__(self, float64: bool) -> None:
        super().__init__()
        self.float64 = float64

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {}, self.float64)


class _Literals(TorchFunctionMode):
    """``torch.tensor`` makes its tensor where no dispatch mode sees it, so it makes it on the CPU first."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            device = kwargs.pop("device")
            return func(*args, **kwargs).to(device)
        return func(*args, **kwargs)


def _run(func: Any, args: Any, kwargs: dict[str, Any], float64: bool) -> Any:
    given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
    far = [x for x in given if isinstance(x, Far)]
    if far and func not in COPIES and any(not isinstance(x, Far) and x.ndim for x in given):
        raise RuntimeError(f"Expected all tensors to be on the same device, but {func} got some on the CPU")
    there = bool(far)
    if kwargs.get("device") is not None:
        there = torch.device(kwargs["device"]).type == DEVICE.type
        kwargs = kwargs | {"device": torch.device("cpu")}
    near_args, near_kwargs = tree_map(lambda x: x.near if isinstance(x, Far) else x, (args, kwargs))
    out = func(*near_args, **near_kwargs)
    if func is torch.ops.aten.copy_.default:
        return args[0]
    known = {id(x.near): x for x in far}

    def moved(x: Any) -> Any:
        if not isinstance(x, torch.Tensor) or isinstance(x, Far):
            return x
        if x.dtype == torch.float64 and not float64:
            raise TypeError("the pretend device has no float64")
        return known.get(id(x)) if id(x) in known else Far(x)

    return tree_map(moved, out) if there else out

"""Takes the pickle in a weight file apart without running it, and puts stand-ins in the place of what torch does not know."""

from __future__ import annotations

import pickletools
import sys
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import torch

PLAIN = frozenset(
    "_codecs abc argparse builtins collections copyreg dataclasses datetime decimal enum fractions functools logging "  # noqa: SIM905
    "operator pathlib re threading types typing uuid weakref zoneinfo".split()
)
"""Modules of the standard library that usual checkpoints name; stand-ins take the place of what they name."""
BUILTINS = frozenset(
    "object dict list set frozenset tuple str bytes bytearray int float complex bool slice range getattr".split()  # noqa: SIM905
)
"""Names of builtins in checkpoints; getattr comes with enums."""
_CLASS = "itinf: class"


class StandIn:
    """Stands for an object of a class that torch does not read from weight files; keeps the name of the class."""

    name = ""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def class_name(value: Any) -> str:
    """The class of something in a weight file, also where a stand-in is in its place."""
    if isinstance(value, StandIn):
        return value.name
    kept = vars(value).get(_CLASS) if isinstance(value, OrderedDict) else None
    return kept if isinstance(kept, str) else type(value).__name__


def names(file: BinaryIO | Any) -> set[str]:
    """The names of functions and classes in one pickle, which is taken apart and not run.

    torch.save writes some under the names that they had in Python 2; both are given.
    """
    asked: set[tuple[str, str]] = set()
    strings: list[str] = []
    for code, arg, _ in pickletools.genops(file):
        if code.name in ("GLOBAL", "INST"):
            module, _, attribute = str(arg).partition(" ")
            asked |= {
                (module, attribute),
                NAME_MAPPING.get((module, attribute), (IMPORT_MAPPING.get(module, module), attribute)),
            }
        elif code.name == "STACK_GLOBAL":
            asked.add(("", ".".join(strings[-2:])))
        elif isinstance(arg, str):
            strings.append(arg)
    return {".".join(filter(None, pair)) for pair in asked}


def harmful(asked: set[str]) -> str | None:
    """The first name that weights do not need and that could do harm, though torch would not run it; None without one."""
    for name in sorted(asked):
        module, _, attribute = name.rpartition(".")
        root = module.split(".")[0]
        if (root in sys.stdlib_module_names and root not in PLAIN) or (
            root == "builtins" and attribute not in BUILTINS
        ):
            return name
    return None


@contextmanager
def stand_ins(asked: set[str]) -> Iterator[None]:
    """While a file is read, every class that torch does not know is a stand-in, whatever the process allows."""
    allowed = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    try:
        torch.serialization.add_safe_globals([(_stand_in(name), name) for name in sorted(asked)])
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(allowed)


class _Called(type):
    """A stand-in that is called makes a ``StandIn``; one made without arguments is a dict, for items or a state."""

    def __call__(cls, *_: Any, **__: Any) -> Any:
        return object.__new__(cls)  # type: ignore[arg-type]


def _stand_in(name: str) -> Any:
    if name == "collections.defaultdict":
        return lambda *_: OrderedDict()
    if name == "collections.deque":
        return lambda *_: []

    def made(cls: Any, *args: Any) -> Any:
        if args:
            return object.__new__(cls)
        items: OrderedDict[Any, Any] = OrderedDict()
        vars(items)[_CLASS] = name
        return items

    return _Called("StandIn", (StandIn,), {"name": name, "__new__": made})

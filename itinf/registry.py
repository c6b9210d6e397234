"""Finding networks and data sets by name, through entry points; nothing is imported until opened."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from .errors import ItinfError, nearest

if TYPE_CHECKING:
    from .data.dataset import Data
    from .networks.network import Network
    from .training.specimen import Specimen

GROUPS = ("networks", "datasets", "specimens", "figures", "probes", "nulls")
"""What a session can add to, each the entry point group ``itinf.GROUP``."""
_session: dict[str, dict[str, Any]] = {group: {} for group in GROUPS}


def register(added: Any = None, name: str | None = None, *, group: str = "networks") -> Any:
    """Adds a network, or something of another group, for this session; usable as a decorator.

    Args:
        added: of "networks" a function ``name(weights=None, **options) -> Network``; of "datasets" a function
            ``(argument, network, **options) -> Data``; of "figures" a function from a results table to a matplotlib
            Figure; of "probes" a class derived from ``itinf.Probe``; of "nulls" an ``itinf.Null`` or a function that
            finds partners. Without it a decorator comes back: ``@itinf.register(group="figures")``.
        name: what to call it; its own name by default.
        group: one of ``GROUPS``.

    Returns:
        What was given.

    Raises:
        ItinfError: an unknown group, or a thing without a name.
    """
    if group not in GROUPS:
        raise ItinfError(f"There is no group {group!r} to register in. {nearest(group, GROUPS)}")
    if added is None:
        return lambda later: register(later, name, group=group)
    called = name or getattr(added, "__name__", None) or getattr(added, "name", None)
    if not isinstance(called, str):
        raise ItinfError(f"{added!r} has no name of its own. Give one: itinf.register(…, name=…, group={group!r}).")
    _session[group][called] = added
    return added


def names(group: str) -> dict[str, str]:
    """Registered name -> "module:attribute" for one of ``GROUPS``, or ``"pages"``."""
    found = {point.name: point.value for point in entry_points(group=f"itinf.{group}")}
    for name, added in _session.get(group, {}).items():
        attribute = getattr(added, "__qualname__", type(added).__qualname__)
        found[name] = f"{added.__module__}:{attribute}"
    return dict(sorted(found.items(), key=lambda item: _natural(item[0])))


def describe(value: str) -> str:
    """First line of the docstring of "module:attribute", read without importing the module."""
    module, _, attribute = value.partition(":")
    spec = importlib.util.find_spec(module) if module not in sys.modules else sys.modules[module].__spec__
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        return ""
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == attribute:
            return (ast.get_docstring(node) or "").split("\n")[0]
    return ""


def network(name: str, weights: str | None = None, **options: Any) -> Network:
    """Opens a registered network.

    Args:
        name: as printed by ``itinf list``. A family takes any size: ``cifar-resnet164``.
        weights: ``random[:SEED]``, a file or folder, a hub id, or ``pretrained``; None is random.
        **options: passed to the network's own function.

    Raises:
        ItinfError: unknown name (with the nearest), or what the network's function refuses.
    """
    known = names("networks")
    entry = name
    if name not in known:
        family = re.fullmatch(r"(.*?)-?(\d+)", name)
        if family is None or family[1] not in known:
            raise ItinfError(f"There is no network {name!r}. {_help('networks', name, known)}")
        entry, options = family[1], {"depth": int(family[2]), **options}
    function = opened("networks", entry)
    try:
        inspect.signature(function).bind(weights=weights, **options)
    except TypeError as error:
        takes = [p for p in inspect.signature(function).parameters if p != "weights"]
        raise ItinfError(f"{name}: {error}. Its options: {', '.join(takes) or 'none'}.") from None
    return function(weights=weights, **options).named(name)


def dataset(source: str, network: Network, **options: Any) -> Data:
    """Opens ``NAME[:ARGUMENT]``, such as ``images:FOLDER``, for a network.

    Raises:
        ItinfError: unknown name (with the nearest), or what the data set's function refuses.
    """
    function, argument = _dataset_function(source)
    return function(argument or None, network, **options)


def dataset_options(source: str) -> list[str]:
    """Names of the options that a data set's function takes, such as split, seed and length.

    Raises:
        ItinfError: unknown name (with the nearest).
    """
    function, _ = _dataset_function(source)
    return list(signature(function).parameters)[2:]


def _dataset_function(source: str) -> tuple[Callable[..., Data], str]:
    name, _, argument = source.partition(":")
    known = names("datasets")
    if name not in known:
        raise ItinfError(f"There is no data set {name!r} (given {source!r}). {_help('datasets', name, known)}")
    return opened("datasets", name), argument


def specimen(name: str) -> Specimen:
    """A registered specimen.

    Raises:
        ItinfError: unknown name, with the nearest.
    """
    known = names("specimens")
    if name not in known:
        raise ItinfError(f"There is no specimen {name!r}. {_help('specimens', name, known)}")
    return opened("specimens", name)


def figure(name: str) -> Callable[..., Any]:
    """Opens a registered figure: a function from a results table to a matplotlib Figure."""
    known = names("figures")
    if name not in known:
        raise ItinfError(f"There is no figure {name!r}. {_help('figures', name, known)}")
    return opened("figures", name)


def probe(name: str) -> Callable[[], Any]:
    """Opens a registered probe: a class that makes one with its defaults.

    Raises:
        ItinfError: unknown name, with the nearest.
    """
    known = names("probes")
    if name not in known:
        raise ItinfError(f"There is no probe {name!r}. {_help('probes', name, known)}")
    return opened("probes", name)


def page(name: str) -> Callable[..., str]:
    """Opens a registered page: a function from results to the text of an HTML file."""
    known = names("pages")
    if name not in known:
        raise ItinfError(f"There is no page {name!r}. {_help('pages', name, known)}")
    return opened("pages", name)


def opened(group: str, name: str) -> Any:
    """What is registered under a known name."""
    if name in _session.get(group, {}):
        return _session[group][name]
    (point,) = {p.value: p for p in entry_points(group=f"itinf.{group}", name=name)}.values()
    return point.load()


def _help(group: str, given: str, known: dict[str, str]) -> str:
    if not known:
        return "itinf is not installed here: pip install -e ."
    return nearest(given, known) + f" `itinf list` shows all {group}."


def _natural(name: str) -> list[tuple[int, int | str]]:
    return [(0, int(p)) if p.isdigit() else (1, p) for p in re.split(r"(\d+)", name) if p]


def draw(kind: str, table: pd.DataFrame, summaries: pd.DataFrame, options: dict[str, Any]) -> Any:
    """A registered figure of a table, and of its summaries where the figure takes them."""
    made = figure(kind)
    if "summaries" in signature(made).parameters:
        options = {"summaries": summaries} | options
    return made(table, **options)

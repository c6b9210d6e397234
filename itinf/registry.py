"""The registry: finds networks, data sets and more by name, from entry points; imports them only when opened."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import ItinfError, nearest, shown
from .settings import whole

if TYPE_CHECKING:
    import pandas as pd

    from .data.dataset import Data
    from .networks.network import Network
    from .training.specimen import Specimen

GROUPS = (
    "networks",
    "libraries",
    "datasets",
    "specimens",
    "figures",
    "probes",
    "nulls",
    "lens_kinds",
    "claims",
    "sections",
)
"""Groups that a session can add to; the entry point group of each is ``itinf.GROUP``."""
_session: dict[str, dict[str, Any]] = {group: {} for group in GROUPS}


def register(added: Any = None, name: str | None = None, *, group: str = "networks") -> Any:
    """Registers a network, or an object of another group, for this session; also works as a decorator.

    Args:
        added: the object. For "networks" a function ``name(weights=None, **options) -> Network``; for "datasets" a
            function ``(argument, network, **options) -> Data``; for "figures" a function from a results table to a
            matplotlib Figure; for "probes" a class derived from ``itinf.Probe``; for "nulls" an ``itinf.Null`` or a
            function that finds partners; for "lens_kinds" an ``itinf.LensKind``; for "claims" a
            ``reports.verdict.claim.Claim``, a row of the page's verdict table; for "sections" a
            ``reports.sections.section.Section`` of the page. Without it, a decorator is returned:
            ``@itinf.register(group="figures")``.
        name: name in the registry; by default the name of the object.
        group: one of ``GROUPS``.

    Returns:
        The object.

    Raises:
        ItinfError: there is no such group, or the object has no name.
    """
    if group not in GROUPS:
        raise ItinfError(f"There is no group {group!r} to register in. {nearest(group, GROUPS)}")
    if added is None:
        return lambda later: register(later, name, group=group)
    called = name or getattr(added, "__name__", None) or getattr(added, "name", None)
    if not isinstance(called, str):
        raise ItinfError(f"{added!r} has no name. Give one: itinf.register(…, name=…, group={group!r}).")
    _session[group][called] = added
    return added


def names(group: str) -> dict[str, str]:
    """Registered name -> "module:attribute", for one of ``GROUPS`` or ``"pages"``."""
    registered = {point.name: point.value for point in entry_points(group=f"itinf.{group}")}
    for name, added in _session.get(group, {}).items():
        attribute = getattr(added, "__qualname__", type(added).__qualname__)
        registered[name] = f"{added.__module__}:{attribute}"
    return dict(sorted(registered.items(), key=lambda item: _natural(item[0])))


def describe(value: str) -> str:
    """The first line of the docstring of "module:attribute"; the module is not imported."""
    module, _, attribute = value.partition(":")
    spec = importlib.util.find_spec(module) if module not in sys.modules else sys.modules[module].__spec__
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        return ""
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == attribute:
            return (ast.get_docstring(node) or "").split("\n")[0]
    return ""


def network(name: str, weights: str | None = None, **options: Any) -> Network:
    """Opens a registered network, or a network of a library.

    Args:
        name: a name that ``itinf list`` prints. A family accepts any size in the name: ``cifar-resnet164``. A network
            of a library is named ``LIBRARY:NAME``, such as ``timm:mixer_b16_224`` or ``hf:FOLDER``.
        weights: ``random[:SEED]``, a file or folder, a hub id, or ``pretrained``; None is random, or the weights in
            the folder that the name gives.
        **options: passed to the function of the network.

    Raises:
        ItinfError: there is no such network, or its function refuses the arguments.
    """
    if not isinstance(name, str) or not isinstance(weights, str | os.PathLike | None):
        what = f"network is {shown(name)}" if not isinstance(name, str) else f"weights is {shown(weights)}"
        raise ItinfError(f"The {what}; expected text, as itinf.network('cifar-resnet20', 'random:0').")
    function, options = _network_function(name, options)
    return function(weights=None if weights is None else os.fspath(weights), **options).named(name)


def require_known(name: str, options: dict[str, Any], data: str) -> None:
    """Checks the words for a network and its data as far as possible without opening them.

    Raises:
        ItinfError: there is no such network or data set, or the network has no such option.
    """
    _network_function(name, options)
    _dataset_function(data)


def _network_function(name: str, options: dict[str, Any]) -> tuple[Callable[..., Network], dict[str, Any]]:
    """The function of a network, and its options with the depth that the name may hold."""
    known = names("networks")
    library, colon, inner = name.partition(":")
    entry, function = name, None
    if colon and library in names("libraries"):
        function = partial(opened("libraries", library), inner)
    elif name not in known:
        family = re.fullmatch(r"(.*?)-?(\d+)", name)
        if family is None or family[1] not in known:
            raise ItinfError(f"There is no network {name!r}. {_help('networks', name, known)} {LIBRARIES}")
        entry, options = family[1], {"depth": int(family[2]), **options}
    function = function or opened("networks", entry)
    try:
        inspect.signature(function).bind(weights=None, **options)
    except TypeError as error:
        takes = [p for p in inspect.signature(function).parameters if p != "weights"]
        raise ItinfError(f"{name}: {error}. The options of {name} are: {', '.join(takes) or 'none'}.") from None
    return function, options


LIBRARIES = "Networks of libraries: torchvision:NAME, timm:NAME, hf:FOLDER."


def dataset(source: str, network: Network, **options: Any) -> Data:
    """Opens a data set ``NAME[:ARGUMENT]``, such as ``images:FOLDER``, for a network.

    Raises:
        ItinfError: there is no such data set, or its function refuses the arguments.
    """
    function, argument = _dataset_function(source)
    if not hasattr(network, "unit"):
        raise ItinfError(
            f"{shown(network)} is no network; expected an itinf.Network, which decides how {source} is read."
        )
    length = options.pop("length", None)
    if "length" in inspect.signature(function).parameters:
        options["length"] = whole("length", length, 1, "a sequence has at least one token", optional=True)
    elif length is not None:
        raise ItinfError(f"length is {length!r}, and {source} has no sequences of tokens. Leave the length out.")
    return function(argument or None, network, **options)


def dataset_options(source: str) -> list[str]:
    """Names of the options of a data set, such as split, seed and length.

    Raises:
        ItinfError: there is no such data set.
    """
    function, _ = _dataset_function(source)
    return list(inspect.signature(function).parameters)[2:]


def _dataset_function(source: str) -> tuple[Callable[..., Data], str]:
    if not isinstance(source, str):
        raise ItinfError(f"The data set is {shown(source)}; expected NAME[:ARGUMENT], such as images:FOLDER.")
    name, _, argument = source.partition(":")
    known = names("datasets")
    if name not in known:
        raise ItinfError(f"There is no data set {name!r} (given {source!r}). {_help('datasets', name, known)}")
    return opened("datasets", name), argument


def specimen(name: str, **options: Any) -> Specimen:
    """Opens a registered specimen.

    Args:
        name: its name; ``**options``: what its method ``changed`` accepts, of a specimen that has one.

    Raises:
        ItinfError: there is no such specimen, it takes no options, or not these.
    """
    found = _known("specimens", "specimen", name)
    if options and not hasattr(found, "changed"):
        raise ItinfError(f"The specimen {name} takes no options; given {', '.join(options)}. Leave them out.")
    return found.changed(options) if options else found


def figure(name: str) -> Callable[..., Any]:
    """Opens a registered figure: a function from a results table to a matplotlib Figure.

    Raises:
        ItinfError: there is no such figure.
    """
    return _known("figures", "figure", name)


def probe(name: str) -> Callable[[], Any]:
    """Opens a registered probe: a class that can be called without arguments.

    Raises:
        ItinfError: there is no such probe.
    """
    return _known("probes", "probe", name)


def page(name: str) -> Callable[..., Any]:
    """Opens a registered page: what makes an HTML file from results.

    Raises:
        ItinfError: there is no such page.
    """
    return _known("pages", "page", name)


def answers(table: pd.DataFrame, summaries: pd.DataFrame) -> list[str]:
    """Up to four sentences on results, those on top of the page; none if the page has none.

    Args:
        table: a results table; ``summaries``: of the transfers in it.
    """
    told: Callable[..., list[str]] | None = getattr(page("report"), "answers", None)
    return [] if told is None else told(table, summaries)


def _known(group: str, what: str, name: str) -> Any:
    """The object that is registered under a name that may be unknown."""
    known = names(group)
    if not isinstance(name, str) or name not in known:
        raise ItinfError(f"There is no {what} {shown(name)}. {_help(group, name, known)}")
    return opened(group, name)


def opened(group: str, name: str) -> Any:
    """The object that is registered under a known name."""
    if name in _session.get(group, {}):
        return _session[group][name]
    (point,) = {p.value: p for p in entry_points(group=f"itinf.{group}", name=name)}.values()
    return point.load()


def _help(group: str, given: str, known: dict[str, str]) -> str:
    if not known:
        return "itinf is not installed here: pip install -e ."
    return nearest(str(given), known) + f" `itinf list` shows all {group}."


def _natural(name: str) -> list[tuple[int, int | str]]:
    return [(0, int(p)) if p.isdigit() else (1, p) for p in re.split(r"(\d+)", name) if p]


def draw(kind: str, table: pd.DataFrame, summaries: pd.DataFrame, options: dict[str, Any]) -> Any:
    """Draws a registered figure from a table, and from the summaries if the figure has a parameter for them."""
    function = figure(kind)
    takes = list(inspect.signature(function).parameters)[1:]
    if "summaries" in takes:
        options = {"summaries": summaries} | options
    try:
        inspect.signature(function).bind(table, **options)
    except TypeError as error:
        listed = ", ".join(name for name in takes if name != "summaries") or "none"
        raise ItinfError(f"The figure {kind!r}: {error}. Its options are: {listed}.") from None
    return function(table, **options)

"""Finds the weights of a model in a file: the entry and the prefix under which names and shapes are the model's."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ItinfError
from .misfit import misfit
from .stand_ins import class_name

DEPTH, PREFIXES = 4, 8
"""How deep the entries of a file are searched, and how many prefixes are tried for each."""
OPTIMIZER = re.compile(r"(^|_)(optim\w*|exp_avg\w*|momentum\w*|grads?|gradients?)$", re.I)
"""Names of entries that are never weights, though they can have the names and shapes of weights."""
AVERAGED = re.compile(r"(^|[/._-])(ema|swa|averaged?|shadow)([/._-]|$)", re.I)
UNUSED = re.compile(r"(^|\.)(num_batches_tracked|n_averaged|total_ops|total_params|rotary_emb\.inv_freq|position_ids)$")
"""Entries without influence on the outputs in evaluation, or that follow from the architecture."""
MASK = re.compile(r"(^|\.)attn\.(bias|masked_bias)$")


@dataclass
class Reading:
    """One way to read a file: the tensors of one entry, under one prefix.

    Attributes:
        entry: names of the nested entries, joined by "/"; "" is the top of the file.
        prefix: what stands before the model's names, ends with "." or is "".
        found: name in the model -> what the file holds.
        missing: names of the model that the file lacks.
        wrong: names of the model for which the file holds another shape, or no tensor.
        unknown: names in the entry that the model has not, and no other reading either.
    """

    entry: str
    prefix: str
    found: dict[str, Any]
    missing: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The way to write it after ``#``."""
        return "/".join(filter(None, (self.entry, self.prefix)))

    @property
    def faults(self) -> int:
        return len(self.missing) + len(self.wrong) + len(self.unknown)

    @property
    def unknown_inside(self) -> list[str]:
        """The unknown names under the prefix itself; others belong to other parts of a larger model."""
        return [name for name in self.unknown if name.startswith(self.prefix)]

    def called(self, choice: str) -> bool:
        """Whether the user's choice means this reading."""
        prefixes = {choice, f"{choice}."} - {"", "."}
        return choice in (self.name, self.entry) or not prefixes.isdisjoint((self.name, self.prefix))


@dataclass(frozen=True)
class Wanted:
    """What a model needs of a file.

    Attributes:
        model: its name in messages.
        shapes: name -> shape, of every parameter and buffer.
        tied: groups of names that are one parameter or buffer; a file needs one of each group.
        ignored: beginnings of names that a file may hold and the model does not use.
    """

    model: str
    shapes: Mapping[str, tuple[int, ...]]
    tied: tuple[frozenset[str], ...] = ()
    ignored: tuple[str, ...] = ()

    @classmethod
    def of(cls, model: nn.Module, ignored: Iterable[str] = ()) -> Wanted:
        """What a module needs."""
        groups: dict[int, set[str]] = {}
        shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
        for name, value in chain(
            model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False)
        ):
            if name in shapes:
                groups.setdefault(id(value), set()).add(name)
        tied = tuple(frozenset(names) for names in groups.values() if len(names) > 1)
        return cls(type(model).__name__, shapes, tied, tuple(ignored))

    def absent(self, found: Mapping[str, Any]) -> list[str]:
        """Names that have to be in the file and are not."""
        given = {name for group in self.tied if group & found.keys() for name in group}
        return [n for n in self.shapes if n not in found and n not in given and not n.endswith("num_batches_tracked")]

    def unused(self, name: str, value: Any) -> bool:
        """Whether a further entry of a file can be left out without a change of what the model computes."""
        if not isinstance(value, Tensor) or name.startswith(self.ignored) or UNUSED.search(name):
            return True
        # causal masks of old GPT-2 files; a bias of the attention would be a vector
        return MASK.search(name) is not None and (value.ndim == 0 or (value.ndim == 4 and value.shape[:2] == (1, 1)))


def find(path: str, content: Any, wanted: Wanted, choice: str | None = None) -> Reading:
    """The one reading of a file that fits a model.

    If several fit, with different values, those with an average of the weights (``ema``, ``swa``) stand back.

    Args:
        path: the file, for messages.
        content: what it holds, see ``weight_file.content``.
        wanted: what the model needs.
        choice: name of the reading that the user chose.

    Raises:
        ItinfError: none fits, or several do.
    """
    readings = [reading for entry, node in nodes(content) for reading in _readings(entry, node, wanted)]
    if choice is None:
        fitting = [r for r in readings if not r.faults]
    else:
        if not any(r.called(choice) for r in readings):
            known = ", ".join(repr(r.name or "the top") for r in readings[:8]) or "none"
            raise ItinfError(
                f"{path} has no entry {choice!r} with names of {wanted.model}. Entries with such: {known}."
            )
        readings = [r for r in readings if r.called(choice)]
        fitting = [r for r in readings if not (r.missing or r.wrong or r.unknown_inside)]
    fitting = _different(fitting)
    if len(fitting) > 1:
        plain = [r for r in fitting if not AVERAGED.search(r.name)]
        fitting = plain if len(plain) == 1 else fitting
    if len(fitting) > 1:
        names = ", ".join(f"{path}#{r.name}" for r in fitting[:5])
        raise ItinfError(
            f"{path} holds {len(fitting)} sets of weights that fit {wanted.model} and differ. Choose one: {names}."
        )
    if not fitting:
        raise ItinfError(f"{path} does not fit {wanted.model}: {misfit(content, readings, wanted.shapes)}")
    return fitting[0]


def nodes(content: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The dicts with tensors in a file, the outer ones first, each with its entry."""
    level: list[tuple[str, Any]] = [("", content)]
    seen: set[int] = set()
    for _ in range(DEPTH):
        below: list[tuple[str, Any]] = []
        for entry, value in level:
            if id(value) in seen or not isinstance(value, dict | list | tuple):
                continue
            seen.add(id(value))
            items = enumerate(value) if isinstance(value, list | tuple) else value.items()
            named = {str(key): item for key, item in items if isinstance(key, str | int)}
            if any(isinstance(item, Tensor) for item in named.values()) or _are_arrays(named):
                yield entry, named
            inner = [(key, item) for key, item in named.items() if not OPTIMIZER.search(key)]
            below += [("/".join(filter(None, (entry, key))), item) for key, item in inner]
        level = below


def _are_arrays(named: dict[str, Any]) -> bool:
    return any(class_name(item).endswith("_reconstruct") for item in named.values())


def _readings(entry: str, node: dict[str, Any], wanted: Wanted) -> list[Reading]:
    """The readings of one dict, for the prefixes under which it holds most names of the model."""
    counts: Counter[str] = Counter()
    for key in node:
        parts = key.split(".")
        for cut in range(min(len(parts), 12)):
            if ".".join(parts[cut:]) in wanted.shapes:
                counts["".join(f"{part}." for part in parts[:cut])] += 1
    readings = []
    for prefix, _ in counts.most_common(PREFIXES):
        found = {name: node[prefix + name] for name in wanted.shapes if prefix + name in node}
        wrong = [name for name, value in found.items() if not _same_shape(value, wanted.shapes[name])]
        readings.append(Reading(entry, prefix, found, wanted.absent(found), wrong))
    whole = [r for r in readings if not r.missing and not r.wrong]
    for reading in readings:
        known = {r.prefix + name for r in (whole if reading in whole else [reading]) for name in r.found}
        further = {key: value for key, value in node.items() if key not in known}
        reading.unknown = [k for k, v in further.items() if not wanted.unused(k.removeprefix(reading.prefix), v)]
    return readings


def _same_shape(value: Any, shape: tuple[int, ...]) -> bool:
    """Whether a tensor has the shape; one number is one number, with or without an axis."""
    if not isinstance(value, Tensor):
        return False
    return tuple(value.shape) == shape or (tuple(value.shape), shape) in (((), (1,)), ((1,), ()))


def _different(readings: list[Reading]) -> list[Reading]:
    """The readings without those that repeat the values of an earlier one."""
    kept: list[Reading] = []
    for reading in readings:
        if not any(_equal(reading.found, other.found) for other in kept):
            kept.append(reading)
    return kept


def _equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    if one.keys() != other.keys():
        return False
    pairs = [(value, other[name]) for name, value in one.items() if value is not other[name]]
    return all(is_plain(a) and is_plain(b) and a.dtype == b.dtype and torch.equal(a, b) for a, b in pairs)


def is_plain(value: Tensor) -> bool:
    """Whether a tensor holds its own numbers, one for each element."""
    return value.layout == torch.strided and not value.is_quantized and not value.is_meta and not value.is_nested

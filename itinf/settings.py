"""The settings of a study, with their defaults; and the one rule by which numbers and words of a user are checked."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from numbers import Real
from typing import Any, overload

from .errors import ItinfError, nearest, shown

MEASURED_UNITS = 2000
"""Default number of images or tokens that the command line and study files measure."""
RECOVERED_TOKENS = 64 * 256
"""The same for ``itinf recover`` and ``itinf loop``: 64 sequences of 256 tokens."""
CALIBRATION = {"image": 256, "token": 32, "text": 256}
"""Default number of calibration clusters."""
DTYPES = ("float32", "float64", "bfloat16", "float16")
"""Precisions that a network is measured in."""
MOST_SEED, MOST_REPLICATES = 2**64 - 1, 100_000
MAY_BE_NONE = ("units", "calibration", "fit_units")
"""Settings that may be None."""


@dataclass(frozen=True)
class Settings:
    """The settings of a study.

    Attributes:
        units: number of images or tokens to measure; tokens are taken in whole sequences. None for all.
        seed: seed of the choice of clusters, their order and the bootstrap.
        group: clusters per group; the pairing and same-target nulls pair units within a group.
        calibration: number of clusters that means and channel scales are computed from; None for 256 images or
            32 sequences.
        replicates: number of bootstrap replicates.
        untrained: number of untrained networks of the same architecture to measure, on a quarter of the units, with
            means and scales from a quarter of the calibration clusters.
        shard: (i, n): every n-th group of clusters from the i-th; the results of all shards can be merged.
        fit_units: number of images or tokens to fit lenses on; None for enough for the widest state.
        precision: transfer stops when every retention is known to ± this.
        pairs: whether a transfer reads states with the lenses of all other states, too; without these pairs it has its own
            lenses and the shared lens alone, and costs as many times less as there are states.
        counterfactual: whether a transfer also reads what is carried and what is written: states with a part of another unit's,
            which is sought in a group of clusters.
        batch: clusters per forward pass. Results do not depend on it.
        device: "cpu", "cuda" or "cuda:1"; "auto" takes CUDA if it is available, else the CPU.
        dtype: dtype of the model, "float32", "float64", "bfloat16" or "float16".

    Raises:
        ItinfError: a value is of a wrong type or out of range.
    """

    units: int | None = None
    seed: int = 0
    group: int = 32
    calibration: int | None = None
    replicates: int = 400
    untrained: int = 0
    shard: tuple[int, int] | None = None
    fit_units: int | None = None
    precision: float = 0.05
    pairs: bool = True
    counterfactual: bool = False
    batch: int = 64
    device: str = "auto"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        for name, least, why, most in (
            ("units", 1, "None measures all", None),
            ("seed", 0, "", MOST_SEED),
            ("group", 2, "pairs need two clusters", None),
            ("calibration", 1, "means need one cluster", None),
            ("replicates", 2, "a standard error needs two", MOST_REPLICATES),
            ("untrained", 0, "0 leaves out untrained networks", None),
            ("fit_units", 1, "a lens needs something to be fitted on", None),
            ("batch", 1, "a forward pass needs one cluster", None),
        ):
            value = getattr(self, name)
            if value is not None or name not in MAY_BE_NONE:
                object.__setattr__(self, name, whole(name, value, least, why, most=most))
        precision = number("precision", self.precision, 0, "it is the half-width of an interval")
        object.__setattr__(self, "precision", precision)
        for name in ("pairs", "counterfactual"):
            object.__setattr__(self, name, truth(name, getattr(self, name)))
        object.__setattr__(self, "shard", _shard(self.shard))
        if not isinstance(self.device, str) or not re.fullmatch(r"[a-z]+(:\d+)?", self.device):
            raise ItinfError(f"device is {shown(self.device)}; expected auto, cpu, cuda or cuda:1.")
        one_of("dtype", self.dtype, DTYPES)

    def changed(self, changes: dict[str, Any], used: Collection[str] | None = None) -> Settings:
        """A copy in which some settings are replaced.

        Args:
            changes: name -> value.
            used: the settings that the caller uses; None for all.

        Raises:
            ItinfError: there is no such setting, the caller does not use it, or a value is out of range.
        """
        known = [field.name for field in fields(self)] if used is None else used
        for name in changes:
            if name not in known:
                raise ItinfError(f"There is no setting {name!r}. {nearest(name, known)}")
        return replace(self, **changes)


@overload
def whole(name: str, value: Any, least: int = ..., why: str = ..., *, most: int | None = ...) -> int: ...
@overload
def whole(
    name: str, value: Any, least: int = ..., why: str = ..., *, most: int | None = ..., optional: bool
) -> int | None: ...


def whole(
    name: str, value: Any, least: int = 0, why: str = "", *, most: int | None = None, optional: bool = False
) -> int | None:
    """A whole number that a user gave, as an int. NumPy's integers are accepted; True, 1.0, "1" and None are not.

    Args:
        name: what the user calls it.
        value: what was given.
        least, most: the range.
        why: why it has this range.
        optional: whether None is accepted, too.

    Raises:
        ItinfError: another type, or out of range.
    """
    if value is None and optional:
        return None
    try:
        given = None if type(value).__name__.startswith("bool") else operator.index(value)
    except (TypeError, ValueError, RuntimeError):  # a tensor of floats, or of several numbers
        given = None
    if given is None or given < least or (most is not None and given > most):
        range_ = f"of at least {least}" if most is None else f"from {least} to {_power(most)}"
        raise ItinfError(f"{name} is {shown(value)}; expected a whole number {range_}{f': {why}' if why else ''}.")
    return given


def number(name: str, value: Any, least: float = 0.0, why: str = "") -> float:
    """A finite number that a user gave, as a float. True, "1", None, NaN and infinity are not accepted.

    Args:
        name: what the user calls it; ``value``: what was given; ``least``: the smallest; ``why``: why it is that.

    Raises:
        ItinfError: another type, not finite, or too small.
    """
    try:
        real = isinstance(value, Real) and not type(value).__name__.startswith("bool")
        given = float(value) if real else math.nan
    except OverflowError:  # a whole number may be too large for a float
        given = math.inf
    if not math.isfinite(given) or given < least:
        because = f": {why}" if why else ""
        raise ItinfError(f"{name} is {shown(value)}; expected a finite number of at least {least:g}{because}.")
    return given


def truth(name: str, value: Any) -> bool:
    """True or False; "yes", 1 and None are not accepted.

    Raises:
        ItinfError: it is something else.
    """
    if type(value).__name__ not in ("bool", "bool_"):
        raise ItinfError(f"{name} is {shown(value)}; expected True or False.")
    return bool(value)


def one_of(name: str, value: Any, valid: Collection[str]) -> str:
    """One of several words.

    Raises:
        ItinfError: it is another word, or none.
    """
    if not isinstance(value, str) or value not in valid:
        *most, last = valid
        raise ItinfError(f"{name} is {shown(value)}; expected {', '.join(most)} or {last}.")
    return value


def words(name: str, value: Any, *, empty: bool = True) -> str:
    """A text that a user gave.

    Raises:
        ItinfError: it is none, or it is empty where it must not be.
    """
    if not isinstance(value, str) or "\0" in value or not (value or empty):
        raise ItinfError(f"{name} is {shown(value)}; expected {'a text' if empty else 'a text that is not empty'}.")
    return value


def _shard(given: Any) -> tuple[int, int] | None:
    if given is None:
        return None
    try:
        i, n = given
        if isinstance(given, str | dict | set):
            raise TypeError
        n = whole("n", n, 1)
        return whole("i", i, 0, most=n - 1), n
    except (TypeError, ValueError):
        raise ItinfError(f"shard is {shown(given)}; expected (i, n) with 0 <= i < n, e.g. (0, 2).") from None


def _power(most: int) -> str:
    return "2**64 - 1" if most == MOST_SEED else f"{most:,}"


DEFAULTS = Settings()
"""The default settings of commands, study files and the library."""

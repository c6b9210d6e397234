"""The settings of a study, with their defaults and checks."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from typing import Any

from .errors import ItinfError, nearest

MEASURED_UNITS = 2000
"""Default number of images or tokens that the command line and study files measure."""
CALIBRATION = {"image": 256, "token": 32}
"""Default number of calibration clusters."""


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
        batch: clusters per forward pass. Results do not depend on it.
        device: "cpu", "cuda" or "cuda:1"; "auto" takes CUDA if it is available, else the CPU.
        dtype: dtype of the model, "float32", "float64", "bfloat16" or "float16".

    Raises:
        ItinfError: a value is out of range.
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
    batch: int = 64
    device: str = "auto"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**64:
            raise ItinfError(f"seed is {self.seed}; expected a whole number from 0 to 2**64 - 1.")
        for name, value, least, why in (
            ("group", self.group, 2, "pairs need two clusters"),
            ("calibration", self.calibration, 1, "means need one cluster"),
            ("replicates", self.replicates, 2, "a standard error needs two"),
            ("untrained", self.untrained, 0, "0 leaves out untrained networks"),
            ("fit_units", self.fit_units, 1, "a lens needs something to be fitted on"),
            ("batch", self.batch, 1, "a forward pass needs one cluster"),
            ("precision", self.precision, 0, "it is the half-width of an interval"),
        ):
            if value is not None and not value >= least:
                raise ItinfError(f"{name} is {value}; expected at least {least}: {why}.")
        if self.shard is not None and not 0 <= self.shard[0] < self.shard[1]:
            raise ItinfError(f"shard is {self.shard}; expected (i, n) with 0 <= i < n, e.g. (0, 2).")

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


DEFAULTS = Settings()
"""The default settings of commands, study files and the library."""

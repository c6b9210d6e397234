"""What makes a study's numbers what they are, made once and handed on whole."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from .errors import ItinfError, nearest

MEASURED_UNITS = 2000
"""Images or tokens that the command line and study files measure unless told otherwise."""
CALIBRATION = {"image": 256, "token": 32}
"""Clusters that calibrate, unless told otherwise."""


@dataclass(frozen=True)
class Settings:
    """How much is measured, on what, and where it runs.

    Attributes:
        units: images or tokens to measure; tokens are taken in whole sequences. None for all.
        seed: of the choice of clusters, their order and the bootstrap.
        group: clusters within which the pairing and same-target nulls find their pairs.
        calibration: clusters that set means and channel scales; None for 256 images or 32 sequences.
        replicates: of the bootstrap.
        untrained: how many random initialisations of the same architecture are measured beside it,
            on a quarter of the units, with means and scales from a quarter of the calibration.
        shard: (i, n): every n-th group of clusters from the i-th, for results to be merged.
        fit_units: images or tokens that lenses are fitted on; None for enough for the widest state.
        precision: transfer stops when every retention is known to ± this.
        batch: clusters per forward pass. Results do not depend on it.
        device: "cpu", "cuda", "cuda:1", "mps"; "auto" takes what there is.
        dtype: of the model, "float32", "float64" or "bfloat16".

    Raises:
        ItinfError: a number that no study can have.
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
        for name, given, least, why in (
            ("group", self.group, 2, "pairs need two clusters"),
            ("calibration", self.calibration, 1, "means need one cluster"),
            ("replicates", self.replicates, 2, "a standard error needs two"),
            ("untrained", self.untrained, 0, "0 leaves untrained networks out"),
            ("fit_units", self.fit_units, 1, "a lens needs something to be fitted on"),
            ("batch", self.batch, 1, "a forward pass needs one cluster"),
            ("precision", self.precision, 0, "it is the half-width of an interval"),
        ):
            if given is not None and not given >= least:
                raise ItinfError(f"{name} is {given}; expected at least {least}: {why}.")
        if self.shard is not None and not 0 <= self.shard[0] < self.shard[1]:
            raise ItinfError(f"shard is {self.shard}; expected (i, n) with 0 <= i < n, e.g. (0, 2).")

    def changed(self, changes: dict[str, Any]) -> Settings:
        """The same settings with some of them replaced.

        Raises:
            ItinfError: there is no setting of that name (says the nearest), or no study can have that value.
        """
        known = [field.name for field in fields(self)]
        for name in changes:
            if name not in known:
                raise ItinfError(f"There is no setting {name!r}. {nearest(name, known)}")
        return replace(self, **changes)


DEFAULTS = Settings()
"""What every command, every study file and the library start from."""

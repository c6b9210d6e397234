"""What makes a study's numbers what they are."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from ..errors import ItinfError, nearest

CALIBRATION = {"image": 256, "token": 32}
"""Clusters that calibrate, unless told otherwise."""


@dataclass(frozen=True)
class Settings:
    """What makes a study's numbers what they are.

    Attributes:
        units: images or tokens; tokens are taken in whole sequences. None for all.
        seed: of the choice of clusters, their order and the bootstrap.
        group: clusters within which the pairing and same-target nulls find their pairs.
        calibration: clusters that set means and channel scales; None for 256 images or 32 sequences.
        replicates: of the bootstrap.
        untrained: how many random initialisations of the same architecture are measured beside it,
            on a quarter of the units, its means and scales from a quarter of the calibration.
        shard: (i, n): every n-th group of clusters from the i-th, for runs to be merged.

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

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**64:
            raise ItinfError(f"seed is {self.seed}; expected a whole number from 0 to 2**64 - 1.")
        for name, given, least, why in (
            ("group", self.group, 2, "pairs need two clusters"),
            ("calibration", self.calibration, 1, "means need one cluster"),
            ("replicates", self.replicates, 2, "a standard error needs two"),
            ("untrained", self.untrained, 0, "0 leaves untrained networks out"),
        ):
            if given is not None and given < least:
                raise ItinfError(f"{name} is {given}; expected at least {least}: {why}.")
        if self.shard is not None and not 0 <= self.shard[0] < self.shard[1]:
            raise ItinfError(f"shard is {self.shard}; expected (i, n) with 0 <= i < n, e.g. (0, 2).")

    @classmethod
    def of(cls, given: dict[str, Any]) -> Settings:
        """Settings by name.

        Raises:
            ItinfError: a name there is none of.
        """
        known = [field.name for field in fields(cls)]
        for name in given:
            if name not in known:
                raise ItinfError(f"There is no setting {name!r}. {nearest(name, known)}")
        return cls(**given)

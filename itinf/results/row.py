"""What a number is: one row of the results table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """What a number is: one row of the results table, before it has a value.

    Attributes are the columns of the table of the same names; ``block`` is its ``block_index``, from 1 to L.
    """

    measure: str
    block: int
    unit: str
    statistic: str = "mean"
    gradient: str = ""
    update: str = ""
    part: str = ""
    form: str = ""
    target: str = "label"
    subset: str = "all"
    null: str = "observed"
    lens: str = ""
    fitted_at: int | None = None


def row_of(data: dict[str, Any]) -> Row:
    """The row of a file; files of schema 1 have "" for ``fitted_at``."""
    return Row(**{**data, "fitted_at": None if data["fitted_at"] == "" else data["fitted_at"]})

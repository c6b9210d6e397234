"""The row: the columns of the results table that say what a number is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One row of the results table, without its value.

    Each attribute is the column of the same name; only ``block`` is the column ``block_index``, from 1 to L, and ``state``
    is ``state_index``, from 0 to L. A row about a state has the block 0, which is none.
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
    state: int | None = None


def row_of(data: dict[str, Any]) -> Row:
    """The row that a file describes; files of schema 1 have "" where ``fitted_at`` is None."""
    return Row(**{**data, "fitted_at": None if data["fitted_at"] == "" else data["fitted_at"]})

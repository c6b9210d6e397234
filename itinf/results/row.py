"""What a number is: one row of the results table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """What a number is: one row of the results table, before it has a value.

    Attributes are the columns of the table of the same names; ``block`` counts from 1.
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
    fitted_at: str = ""

"""What a transfer keeps replicate by replicate, so that a number made of several curves has an interval."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from ...results.schema import REPLICATE_DTYPES
from ...statistics.bootstrap import Array
from .cells import LEFT_OUT, Cell
from .matrix import TransferMatrix
from .retention import Retention


def replicates(matrix: TransferMatrix) -> pd.DataFrame:
    """For each state, of the label: ``retention`` of one lens that was fitted without it, and ``readable`` of its own lens.

    Returns:
        one row per state and replicate, with the columns ``REPLICATE_DTYPES``; replicate 0 is the estimate itself. Losses
        are in bits per unit. A state without a value has no rows; ``state_index`` counts the states between blocks.
    """
    rows = [
        pd.DataFrame({"measure": measure, "lens": cell.lens, "state_index": matrix.sites[cell.at].id,
                      "replicate": np.arange(len(values)), "value": values})
        for measure, cell, values in _kept(matrix)
    ]  # fmt: skip
    joined = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=list(REPLICATE_DTYPES))
    return joined[list(REPLICATE_DTYPES)].astype(REPLICATE_DTYPES)


def _kept(matrix: TransferMatrix) -> Iterator[tuple[str, Cell, Array]]:
    retention = Retention(matrix, "label")
    for cell in matrix.cells:
        if not isinstance(matrix.sites[cell.at].id, int):  # a state inside a block
            continue
        if cell.lens == LEFT_OUT and cell.null == "observed" and not cell.of_other_data:
            values, _ = retention.of(cell)
            if values is not None:
                yield "retention", cell, values
        elif cell.diagonal and matrix.why_unreadable(cell, "label") is None:
            yield "readable", cell, matrix.readable(cell, "label") / math.log(2)

"""Tables made from rows and read from files; conversion of tables of schema 1."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import ItinfError
from . import columns
from .columns import INTEGER, TEXT, kinds
from .measures import STATE_MEASURES
from .reasons import REASONS

SCHEMA = 2

DTYPES = kinds(columns.RESULTS)
SUMMARY_DTYPES = kinds(columns.SUMMARIES)
REPLICATE_DTYPES = kinds(columns.REPLICATES)
GROUP_DTYPES = kinds(columns.GROUPS)
POWER_DTYPES = kinds(columns.POWER)
TRAJECTORY_DTYPES = kinds(columns.TRAJECTORIES)
EXAMPLE_DTYPES = kinds(columns.EXAMPLES)
"""Column -> type, of each table; ``itinf.results.columns`` says what the columns mean."""


def results_table(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The results table of these rows; None becomes a missing value."""
    return _table(rows, DTYPES)


def summaries_table(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The table of summaries of these rows; None becomes a missing value."""
    texts = {name: "" for name, kind in SUMMARY_DTYPES.items() if kind == TEXT}
    return _table((texts | dict(row) for row in rows), SUMMARY_DTYPES)


def upgrade(table: pd.DataFrame) -> pd.DataFrame:
    """Converts a results table or summaries of schema 1 to this schema; newer tables are returned unchanged.

    Schema 1 had one ``index`` and one ``block`` for blocks and states, ``fitted_at`` as text ("" for a missing one),
    −1 for a missing ``null_seed``, and 0 for a missing ``n_missing``.
    """
    if "null_seed" in table.columns:
        table = table.assign(null_seed=table["null_seed"].astype("Int64").replace(-1, pd.NA))
    if "direction" in table.columns:  # older summaries have no columns for the spread of cells and for reasons
        added: dict[str, object] = {"median": float("nan"), "least": float("nan"), "most": float("nan")}
        added |= {"limit": "", "reason": "", "reason_code": ""}
        return table.assign(**{name: value for name, value in added.items() if name not in table.columns})
    if "skips" not in table.columns:  # tables of older versions do not say
        table = table.assign(skips=pd.NA)
    if "index" not in table.columns:
        return table
    about_state = table["measure"].isin(STATE_MEASURES)
    index, counted = table["index"].astype("Int64"), table["n_missing"].astype("Int64")
    upgraded = table.drop(columns="index").assign(
        schema=SCHEMA,
        block=table["block"].mask(about_state, ""),
        block_index=index.mask(about_state),
        state=table["block"].where(about_state, ""),
        state_index=index.where(about_state),
        fitted_at=pd.to_numeric(table["fitted_at"].replace("", None)),
        reason_code=table["reason"].map({reason.sentence: code for code, reason in REASONS.items()}).fillna(""),
        n_missing=counted.mask((table["null"] == "pairing") | (table["subset"] != "all")),
    )
    return upgraded[list(DTYPES)].astype(DTYPES)


def read_table(path: Path | BytesIO, dtypes: Mapping[str, str]) -> pd.DataFrame:
    """Reads a table from its Parquet file; tables of schema 1 are converted.

    Args:
        path: the file, or its content.
        dtypes: the columns that it must have, with their types, such as ``DTYPES``.

    Raises:
        ItinfError: the file is no table of itinf, or it is incomplete.
    """
    try:
        table = upgrade(pd.read_parquet(path))
        for name, dtype in dtypes.items():
            if dtype == INTEGER and not pd.api.types.is_integer_dtype(table[name]):
                raise ValueError(f"the column {name!r} is {table[name].dtype} instead of {dtype}")
        return table[list(dtypes)].astype(dict(dtypes))
    except Exception as error:  # pyarrow and pandas raise errors of many classes
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise ItinfError(
            f"{path} cannot be read as a table of itinf ({type(error).__name__}: {why}). Run the command that made its "
            "folder again: it writes the file again."
        ) from error


def _table(rows: Iterable[Mapping[str, Any]], dtypes: Mapping[str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(dtypes)).astype(dtypes)

"""Names and types of the columns of the results table and the summaries; conversion of tables of schema 1."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import ItinfError
from .reasons import REASONS

SCHEMA = 2

TEXT, INTEGER, OPTIONAL_INTEGER, NUMBER, OPTIONAL_TRUTH = "str", "int64", "Int64", "float64", "boolean"
"""Types of columns. An ``OPTIONAL_INTEGER`` or ``OPTIONAL_TRUTH`` may be missing; a ``TEXT`` is "" in rows where it does not apply."""

DTYPES = {
    "schema": INTEGER,
    "model": TEXT,
    "modality": TEXT,
    "skips": OPTIONAL_TRUTH,
    "block": TEXT,
    "block_index": OPTIONAL_INTEGER,
    "state": TEXT,
    "state_index": OPTIONAL_INTEGER,
    "depth": NUMBER,
    "part": TEXT,
    "segment": INTEGER,
    "lens": TEXT,
    "fitted_at": OPTIONAL_INTEGER,
    "measure": TEXT,
    "statistic": TEXT,
    "gradient": TEXT,
    "update": TEXT,
    "form": TEXT,
    "target": TEXT,
    "subset": TEXT,
    "null": TEXT,
    "null_seed": OPTIONAL_INTEGER,
    "unit": TEXT,
    "mean": NUMBER,
    "lo": NUMBER,
    "hi": NUMBER,
    "band_lo": NUMBER,
    "band_hi": NUMBER,
    "n_units": INTEGER,
    "n_missing": OPTIONAL_INTEGER,
    "n_clusters": INTEGER,
    "reason": TEXT,
    "reason_code": TEXT,
}
"""Columns of the results table.

A row describes a block or a state. A block has a name ``block`` and a ``block_index`` from 1 to L; a state has a name
``state`` and a ``state_index`` from 0 (before the first block) to L. In a row about a block, ``state`` is "" and
``state_index`` is missing; in a row about a state, the same holds for the block. ``fitted_at`` is the state_index at
which a lens was fitted; it is missing without a lens, and for a lens of many states. ``skips`` says whether blocks of the
network pass their input on; it is missing where this was not found out. ``n_missing`` is missing for pairs
of units, for subsets, and for probes of states, which may measure a share of the clusters.
"""

SUMMARY_DTYPES = {
    "model": TEXT,
    "measure": TEXT,
    "lens": TEXT,
    "form": TEXT,
    "target": TEXT,
    "null": TEXT,
    "null_seed": OPTIONAL_INTEGER,
    "direction": TEXT,
    "distance": INTEGER,
    "share": NUMBER,
    "mean": NUMBER,
    "lo": NUMBER,
    "hi": NUMBER,
    "cells": INTEGER,
    "median": NUMBER,
    "least": NUMBER,
    "most": NUMBER,
    "limit": TEXT,
    "reason": TEXT,
    "reason_code": TEXT,
}
"""Columns of the summaries of a transfer, see ``itinf.lenses.transfer.summaries``.

In rows of the onset (``itinf.results.onset``), ``form`` and ``share`` are the threshold, ``cells`` counts the states, ``lens``
is "" where they are read by the network's own readout, and ``limit`` says what fails before it; its
state k is h_k, the state after k blocks. Bits are per unit.
"""

REPLICATE_DTYPES = {
    "measure": TEXT,
    "lens": TEXT,
    "state_index": INTEGER,
    "replicate": INTEGER,
    "value": NUMBER,
}
"""Columns of the replicates of a transfer, see ``itinf.lenses.transfer.replicates``."""

GROUP_DTYPES = {
    "group": TEXT,
    "minus": TEXT,
    "networks": INTEGER,
    "networks_minus": INTEGER,
    "measure": TEXT,
    "statistic": TEXT,
    "gradient": TEXT,
    "update": TEXT,
    "part": TEXT,
    "form": TEXT,
    "target": TEXT,
    "subset": TEXT,
    "null": TEXT,
    "lens": TEXT,
    "unit": TEXT,
    "direction": TEXT,
    "distance": OPTIONAL_INTEGER,
    "block_index": OPTIONAL_INTEGER,
    "state_index": OPTIONAL_INTEGER,
    "fitted_at": OPTIONAL_INTEGER,
    "cells": OPTIONAL_INTEGER,
    "mean": NUMBER,
    "lo": NUMBER,
    "hi": NUMBER,
    "p": NUMBER,
    "least_p": NUMBER,
    "headline": TEXT,
    "reason": TEXT,
    "reason_code": TEXT,
}
"""Columns of the table of groups, see ``itinf.results.groups``."""

POWER_DTYPES = {
    "measure": TEXT,
    "model": TEXT,
    "modality": TEXT,
    "role": TEXT,
    "mean": NUMBER,
    "lo": NUMBER,
    "hi": NUMBER,
    "verdict": TEXT,
}
"""Columns of the table of power, see ``itinf.results.power``."""

TRAJECTORY_DTYPES = {
    "item": INTEGER,
    "position": INTEGER,
    "input": OPTIONAL_INTEGER,
    "input_text": TEXT,
    "state": INTEGER,
    "state_name": TEXT,
    "depth": NUMBER,
    "reader": TEXT,
    "lens": TEXT,
    "rank": INTEGER,
    "class": INTEGER,
    "text": TEXT,
    "probability": NUMBER,
    "truth": OPTIONAL_INTEGER,
    "truth_text": TEXT,
    "truth_rank": OPTIONAL_INTEGER,
    "truth_probability": NUMBER,
    "entropy": NUMBER,
    "divergence": NUMBER,
}
"""Columns of the table of a trajectory, see ``itinf.results.trajectory``."""

EXAMPLE_DTYPES = TRAJECTORY_DTYPES | {
    "rule": TEXT,
    "name": TEXT,
    "chosen_from": INTEGER,
    "read_by": TEXT,
    "picture": "object",
}
"""Columns of ``examples.parquet``: the rule that chose an item, its name, the number of units it was chosen from, the lens in
words, and the picture as PNG; missing for a text."""

STATE_MEASURES = (
    "lens_loss",
    "lens_kl",
    "lens_entropy",
    "lens_agreement",
    "lens_accuracy",
    "lens_calibration_error",
    "lens_marginal_bias",
    "prediction_depth",
    "readable",
    "transfer_penalty",
    "transfer_kl",
    "retention",
    "raw_retention",
    "persistence",
    "carried_alone",
    "kept",
    "selectivity",
    "finite_same_sign",
)
"""Measures of states. In schema 1, ``index`` is a state for these measures, and a block for all others."""


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
    columns = table.drop(columns="index").assign(
        schema=SCHEMA,
        block=table["block"].mask(about_state, ""),
        block_index=index.mask(about_state),
        state=table["block"].where(about_state, ""),
        state_index=index.where(about_state),
        fitted_at=pd.to_numeric(table["fitted_at"].replace("", None)),
        reason_code=table["reason"].map({reason.sentence: code for code, reason in REASONS.items()}).fillna(""),
        n_missing=counted.mask((table["null"] == "pairing") | (table["subset"] != "all")),
    )
    return columns[list(DTYPES)].astype(DTYPES)


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

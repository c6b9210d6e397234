"""Choosing the rows of a results table that one figure, and one line in it, shows."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import pandas as pd

from itinf.errors import ItinfError, nearest

from .labels import OF_STATES

CONVENTION = (
    "unit",
    "lens",
    "fitted_at",
    "measure",
    "statistic",
    "gradient",
    "update",
    "part",
    "form",
    "target",
    "subset",
    "null",
    "null_seed",
)
COLUMNS = (
    "model",
    "index",
    "depth",
    "segment",
    "mean",
    "lo",
    "hi",
    "band_lo",
    "band_hi",
    "n_units",
    "reason",
    *CONVENTION,
)

_KIND_ORDER = ("update", "branch", "attention", "mlp")


def select_rows(table: pd.DataFrame, measures: Collection[str], **wanted: str | None) -> pd.DataFrame:
    """The rows of some measures under some conventions.

    Args:
        table: a results table, one row per number.
        measures: at least one of them must be there.
        **wanted: column -> value; None keeps every value. Rows where the column is "" are kept: it
            does not apply to them. ``kind`` is the part's name, or "update" or "branch".

    Returns:
        A copy with the column ``kind`` added.

    Raises:
        ItinfError: a column, the measures, or a wanted value is missing.
    """
    if lacking := [c for c in COLUMNS if c not in table.columns]:
        raise ItinfError(
            f"This is no results table: its columns {', '.join(lacking)} are missing. Give the .table of a result."
        )
    rows = table[table["measure"].isin(list(measures))]
    if rows.empty:
        held = ", ".join(sorted(table["measure"].unique())) or "nothing: it is empty"
        raise ItinfError(
            f"The table has no rows of {' or '.join(measures)}; it holds {held}. Run the probe that measures it."
        )
    rows = rows.assign(kind=rows["part"].where(rows["part"] != "", rows["update"]))
    for column, value in wanted.items():
        if value is not None:
            require(rows, column, value)
            rows = rows[rows[column].isin([value, ""])]
    return rows


def require(rows: pd.DataFrame, column: str, value: str) -> None:
    """Raises ItinfError where ``value`` is not among a column's values; a column of "" only takes any value."""
    known = set(rows[column]) - {""}
    if known and value not in known:
        measure = rows["measure"].iloc[0]
        raise ItinfError(f"The table has no {measure} rows with {column} {value!r}. {nearest(value, known)}")


def merged(forms: Iterable[str], most: int) -> int:
    """Steps of the finest form "merged to N" with at most so many, 0 where there is none."""
    found = (int(form.rpartition(" ")[2]) for form in forms if form.startswith("merged to "))
    return max((number for number in found if number <= most), default=0)


def of_blocks(table: pd.DataFrame) -> pd.DataFrame:
    """The rows whose ``index`` numbers blocks; those of lenses and their transfer number states."""
    return table[~table["measure"].isin(OF_STATES)]


def kinds(rows: pd.DataFrame) -> list[str]:
    """The kinds of update in reading order: update, branch, then the parts."""
    return sorted(
        rows["kind"].unique(), key=lambda k: (_KIND_ORDER.index(k) if k in _KIND_ORDER else len(_KIND_ORDER), k)
    )


def curve(rows: pd.DataFrame, relative: bool) -> pd.DataFrame:
    """One row per block in order of depth, with columns ``x`` and ``width`` (of one block on that axis).

    Args:
        rows: of one model and one convention.
        relative: x is the relative depth index/L; else the block's index.

    Raises:
        ItinfError: several rows stand for one block.
    """
    if rows["index"].duplicated().any():
        varying = {c: sorted(map(str, rows[c].unique())) for c in CONVENTION if rows[c].nunique() > 1}
        held = "; ".join(f"{column}: {', '.join(values)}" for column, values in varying.items())
        advice = "Choose one first: table[table[COLUMN] == VALUE]." if held else "Use table.drop_duplicates()."
        raise ItinfError(
            f"{rows['model'].iloc[0]}: several {rows['measure'].iloc[0]} rows stand for one block"
            f"{f' and differ in {held}' if held else ''}. {advice}"
        )
    depth = round((rows["index"] / rows["depth"]).max())
    found = rows.set_index("index").reindex(range(1, depth + 1))
    found["reason"] = found["reason"].where(found["measure"].notna(), "no row in the table")
    scale = 1 / depth if relative else 1.0
    return found.assign(x=found.index * scale, width=scale)


def undefined(found: pd.DataFrame) -> str:
    """What is missing, in words, or ""; ``found`` comes from ``line``."""
    missing = found[found["mean"].isna()]
    reasons = missing["reason"].replace("", "no reason recorded").value_counts()
    each = [f"{count} of {len(found)} blocks: {reason}" for reason, count in reasons.items()]
    return f"undefined for {'; '.join(each)}" if each else ""


def boundaries(rows: pd.DataFrame, relative: bool) -> list[float]:
    """Where on the x axis one segment ends and the next begins; ``rows`` are of one model."""
    blocks = rows.drop_duplicates("index").sort_values("index")
    depth = round((blocks["index"] / blocks["depth"]).max())
    scale = 1 / depth if relative else 1.0
    change = blocks["segment"].diff().fillna(0) != 0
    return [(index - 0.5) * scale for index in blocks.loc[change, "index"]]

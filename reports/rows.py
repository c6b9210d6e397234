"""Choosing the rows of a results table that one figure shows, and that one line in it shows."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import pandas as pd

from itinf.errors import ItinfError, NothingToDrawError, nearest

from .labels import OWN_LENSES, SHARED

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
    "block_index",
    "state_index",
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


def plain_text(table: pd.DataFrame) -> pd.DataFrame:
    """The table with Python strings for text: rows of it are chosen in half of the time."""
    return table.astype({name: object for name, kind in table.dtypes.items() if isinstance(kind, pd.StringDtype)})


def select_rows(table: pd.DataFrame, measures: Collection[str], **values: str | None) -> pd.DataFrame:
    """The rows of some measures under some conventions.

    Args:
        table: a results table, one row per number.
        measures: at least one of them must be there.
        **values: column -> value; None keeps every value. Rows where the column is "" are kept: it
            does not apply to them. ``kind`` is the part's name, or "update" or "branch".

    Returns:
        A copy with the column ``kind`` added.

    Raises:
        ItinfError: a column or one of ``values`` is missing; ``NothingToDrawError``: the measures are.
    """
    if lacking := [c for c in COLUMNS if c not in table.columns]:
        raise ItinfError(
            f"This is no results table: its columns {', '.join(lacking)} are missing. Give the .table of a result."
        )
    rows = table[table["measure"].isin(list(measures))]
    if rows.empty:
        present = ", ".join(sorted(table["measure"].unique())) or "nothing: it is empty"
        raise NothingToDrawError(
            f"The table has no rows of {' or '.join(measures)}; it holds {present}. Run the probe that measures it."
        )
    rows = rows.assign(kind=rows["part"].where(rows["part"] != "", rows["update"]))
    for column, value in values.items():
        if value is not None:
            require(rows, column, value)
            rows = rows[rows[column].isin([value, ""])]
    return rows


def require(rows: pd.DataFrame, column: str, value: str) -> None:
    """Checks that a column has a value; a column that is "" in every row takes any.

    Raises:
        ItinfError: it has others, and not this one.
    """
    known = set(rows[column]) - {""}
    if known and value not in known:
        measure = rows["measure"].iloc[0]
        raise ItinfError(f"The table has no {measure} rows with {column} {value!r}. {nearest(value, known)}")


def about_blocks(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows about blocks."""
    return rows[rows["block_index"].notna()]


def about_states(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows about states: those of lenses and their transfer."""
    return rows[rows["state_index"].notna()]


def fitted_at_one_state(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of lenses that were fitted at one state, wherever they read."""
    return rows[rows["fitted_at"].notna()]


def is_own_lens(rows: pd.DataFrame) -> pd.Series:
    """For each row, whether a state is read by the lens that was fitted there."""
    return rows["fitted_at"].notna() & (rows["fitted_at"] == rows["state_index"]).fillna(False)


def own_lens(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows in which a state is read by the lens that was fitted there."""
    return rows[is_own_lens(rows)]


def through_lenses(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows about blocks whose predictions are read through the shared lens or through own lenses."""
    return about_blocks(rows[rows["lens"].isin([SHARED, *OWN_LENSES])])


def kinds(rows: pd.DataFrame) -> list[str]:
    """The kinds of update in reading order: update, branch, then the parts."""
    return sorted(
        rows["kind"].unique(), key=lambda k: (_KIND_ORDER.index(k) if k in _KIND_ORDER else len(_KIND_ORDER), k)
    )


def most_steps(forms: Iterable[str], limit: int) -> int:
    """The largest N of the forms "merged to N" that is at most ``limit``, 0 where there is none."""
    counts = (int(form.rpartition(" ")[2]) for form in forms if form.startswith("merged to "))
    return max((count for count in counts if count <= limit), default=0)


def number_of_blocks(rows: pd.DataFrame) -> int:
    """Blocks of the network; ``rows`` are about blocks of one model."""
    return round(float((rows["block_index"] / rows["depth"]).max()))


def curve(rows: pd.DataFrame, relative: bool) -> pd.DataFrame:
    """One row per block in order of depth, with columns ``x`` and ``width`` (of one block on that axis).

    Args:
        rows: about blocks, of one model and one convention.
        relative: x is the relative depth block_index / L; else the block's index.

    Raises:
        ItinfError: several rows stand for one block.
    """
    if rows["block_index"].duplicated().any():
        varying = {c: sorted(map(_word, rows[c].unique())) for c in CONVENTION if rows[c].nunique(dropna=False) > 1}
        differences = "; ".join(f"{column}: {', '.join(values)}" for column, values in varying.items())
        advice = "Choose one first: table[table[COLUMN] == VALUE]." if differences else "Use table.drop_duplicates()."
        raise ItinfError(
            f"{rows['model'].iloc[0]}: several {rows['measure'].iloc[0]} rows stand for one block"
            f"{f' and differ in {differences}' if differences else ''}. {advice}"
        )
    depth = number_of_blocks(rows)
    blocks = rows.set_index(rows["block_index"].astype(int)).reindex(range(1, depth + 1))
    blocks["reason"] = blocks["reason"].where(blocks["measure"].notna(), "no row in the table")
    scale = 1 / depth if relative else 1.0
    return blocks.assign(x=blocks.index * scale, width=scale)


def undefined(blocks: pd.DataFrame) -> str:
    """What is missing, in words, or ""; ``blocks`` come from ``curve``."""
    missing = blocks[blocks["mean"].isna()]
    reasons = missing["reason"].replace("", "no reason recorded").value_counts()
    counts = [f"{count} of {len(blocks)} blocks: {reason}" for reason, count in reasons.items()]
    return f"undefined for {'; '.join(counts)}" if counts else ""


def boundaries(rows: pd.DataFrame, relative: bool) -> list[float]:
    """Where on the x axis one segment ends and the next begins; ``rows`` are about blocks of one model."""
    blocks = rows.drop_duplicates("block_index").sort_values("block_index")
    scale = 1 / number_of_blocks(blocks) if relative else 1.0
    change = blocks["segment"].diff().fillna(0) != 0
    return [(index - 0.5) * scale for index in blocks.loc[change, "block_index"]]


def _word(value: object) -> str:
    """A value of a column, in words."""
    return "none" if pd.isna(value) else str(value)


def in_one_form(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of measures that have several forms: ``gauge-fixed`` of networks that have it, else ``raw``."""
    fixed = rows[(rows["form"] == "gauge-fixed") & rows["mean"].notna()]["model"].unique()
    return rows[rows["form"].eq("gauge-fixed") == rows["model"].isin(fixed)][lambda found: found["form"] != "centred"]

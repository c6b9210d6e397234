"""The columns of result tables, and folders of schema 1: ``data/schema1`` was written by the code of that schema."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

import itinf
from itinf.results.row import Row, row_of
from itinf.results.schema import DTYPES, SCHEMA, SUMMARY_DTYPES, results_table, summaries_table, upgrade
from itinf.results.table import MEASURES
from itinf.results.transfer_result import SUMMARIES

OLD = Path(__file__).parent / "data" / "schema1"
NUMBERS = ["mean", "lo", "hi", "band_lo", "band_hi", "n_units", "n_clusters"]
SAME = ["model", "depth", "segment", "measure", "statistic", "form", "target", "subset", "null", "unit", "reason"]
MISSING = pd.NA


def dtypes(table):
    return {name: str(dtype) for name, dtype in table.dtypes.items()}


def old_row(measure, index, **fields):
    """A row as schema 1 had it."""
    text = dict.fromkeys(("part", "lens", "fitted_at", "gradient", "update", "form", "reason"), "")
    return text | {
        "schema": 1, "model": "net", "modality": "image", "block": f"place {index}", "index": index, "depth": index / 4,
        "segment": 0, "measure": measure, "statistic": "mean", "target": "label", "subset": "all", "null": "observed",
        "null_seed": -1, "unit": "image", "mean": 0.5, "lo": 0.4, "hi": 0.6, "band_lo": 0.3, "band_hi": 0.7,
        "n_units": 9, "n_missing": 0, "n_clusters": 9,
    } | fields  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            old_row("alignment", 3),
            {"block": "place 3", "block_index": 3, "state": "", "state_index": MISSING, "fitted_at": MISSING,
             "null_seed": MISSING, "n_missing": 0},
        ),
        (
            old_row("retention", 0, fitted_at="2", lens="affine"),
            {"block": "", "block_index": MISSING, "state": "place 0", "state_index": 0, "fitted_at": 2,
             "null_seed": MISSING, "n_missing": 0},
        ),
        (
            old_row("retention", 1, lens="shared, left out", null="rotated", null_seed=1),
            {"block_index": MISSING, "state_index": 1, "fitted_at": MISSING, "null_seed": 1, "n_missing": 0},
        ),
        (old_row("update_norm", 1, null="untrained", null_seed=0), {"block_index": 1, "null_seed": 0, "n_missing": 0}),
        (old_row("alignment", 1, null="pairing"), {"n_missing": MISSING}),
        (old_row("alignment", 1, subset="confident"), {"n_missing": MISSING}),
        (old_row("alignment", 1, null="same-target", n_missing=4), {"n_missing": 4}),
    ],
)  # fmt: skip
def test_a_row_of_schema_1_says_what_it_is_about(old, new):
    table = upgrade(pd.DataFrame([old]))
    assert dtypes(table) == DTYPES
    row = table.iloc[0]
    assert row["schema"] == SCHEMA
    for column, value in new.items():
        assert pd.isna(row[column]) if value is MISSING else row[column] == value, column
    assert row[[*NUMBERS[:5], *SAME]].tolist() == [old[name] for name in [*NUMBERS[:5], *SAME]]


def test_an_upgraded_table_stays_as_it_is():
    once = upgrade(pd.DataFrame([old_row("alignment", 3), old_row("retention", 0, fitted_at="2")]))
    pd.testing.assert_frame_equal(upgrade(once), once)


def test_a_probe_folder_of_schema_1_gives_the_same_numbers():
    """Its table is made anew from the sums, so it says whether those are read right."""
    before = pd.read_parquet(OLD / "probe" / MEASURES)
    table = itinf.ProbeResult.load(OLD / "probe").table
    assert (before["reason"] != "").any() and {"pairing", "untrained"} <= set(before["null"])
    # a quotient of means may differ from a quotient of sums in its last bit
    pd.testing.assert_frame_equal(table, upgrade(before), rtol=1e-13, atol=1e-15)
    pd.testing.assert_frame_equal(table[NUMBERS + SAME], before[NUMBERS + SAME], rtol=1e-13, atol=1e-15)
    assert (table["block_index"] == before["index"]).all() and table["state_index"].isna().all()


def test_a_transfer_folder_of_schema_1_gives_the_same_numbers():
    before, result = pd.read_parquet(OLD / "transfer" / MEASURES), itinf.TransferResult.load(OLD / "transfer")
    table = result.table
    assert dtypes(table) == DTYPES and dtypes(result.summaries) == SUMMARY_DTYPES
    pd.testing.assert_frame_equal(table[NUMBERS + SAME], before[NUMBERS + SAME], check_exact=True)
    assert (table["state_index"] == before["index"]).all() and (table["state"] == before["block"]).all()
    assert table["block_index"].isna().all()
    assert ["" if pd.isna(number) else str(number) for number in table["fitted_at"]] == before["fitted_at"].tolist()
    assert table["null_seed"].fillna(-1).tolist() == before["null_seed"].tolist()
    summaries = pd.read_parquet(OLD / "transfer" / SUMMARIES)
    pd.testing.assert_frame_equal(
        result.summaries[list(summaries)].drop(columns="null_seed"), summaries.drop(columns="null_seed")
    )
    assert result.summaries[["median", "least", "most"]].isna().all(axis=None)
    assert result.summaries["null_seed"].fillna(-1).tolist() == summaries["null_seed"].tolist()


def test_a_transfer_folder_of_schema_1_is_drawn_and_joins_runs(tmp_path):
    shutil.copytree(OLD, tmp_path / "old")
    run, moved = itinf.ProbeResult.load(tmp_path / "old/probe"), itinf.TransferResult.load(tmp_path / "old/transfer")
    both = itinf.compare([run], [moved, moved.as_null("untrained", 0)])
    assert dtypes(both.table) == DTYPES and dtypes(both.summaries) == SUMMARY_DTYPES
    assert set(both.table.loc[both.table["null"] == "untrained", "null_seed"]) == {0}
    assert both.plot("retention").axes


def test_rows_of_schema_1_are_rows():
    old = Row("alignment", 1, "image").__dict__ | {"fitted_at": ""}
    assert row_of(old) == Row("alignment", 1, "image")
    assert row_of(old | {"fitted_at": 2}) == Row("alignment", 1, "image", fitted_at=2)


@pytest.mark.parametrize(("make", "columns"), [(results_table, DTYPES), (summaries_table, SUMMARY_DTYPES)])
def test_missing_integers_survive_files_and_concatenation(make, columns, tmp_path):
    full = {
        name: {"str": "a", "int64": 3, "Int64": 3, "float64": 0.5, "boolean": True}[dtype]
        for name, dtype in columns.items()
    }
    bare = full | {name: None for name, dtype in columns.items() if dtype == "Int64"}
    for rows in ([], [full], [bare], [full, bare]):
        table = make(rows)
        assert dtypes(table) == columns
        table.to_parquet(tmp_path / "table.parquet", index=False)
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "table.parquet"), table)
        joined = pd.concat([make([bare]), table], ignore_index=True)
        assert dtypes(joined) == columns and joined["null_seed"].isna().sum() == 1 + table["null_seed"].isna().sum()

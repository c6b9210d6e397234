"""Figures of lenses and transfer show the table's numbers, where they exist and nowhere else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from itinf import ItinfError
from lens_oracles import case
from reports.transfer import lenses, retention, transfer


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return pd.concat([case(name).table.assign(model=name) for name in ("descending", "turning")])


def test_matrices_hold_the_retentions(table):
    figure = transfer(table)
    for name, axes in zip(("descending", "turning"), figure.axes, strict=False):
        rows = table[(table["model"] == name) & (table["measure"] == "retention") & (table["fitted_at"] != "")]
        shown = np.asarray(axes.images[0].get_array().filled(np.nan))
        for row in rows.itertuples():
            np.testing.assert_allclose(shown[int(row.fitted_at), row.index], row.mean, equal_nan=True)
        assert axes.get_title(loc="left") == name


def test_cells_outside_a_segment_are_empty(table):
    cut = table[~((table["fitted_at"] == "0") & (table["index"] == 2))]
    shown = transfer(cut[cut["model"] == "turning"]).axes[0].images[0].get_array().filled(np.nan)
    assert np.isnan(shown[0, 2]) and np.isfinite(shown[2, 0])


@pytest.mark.parametrize("measure", ["raw_retention", "transfer_penalty", "transfer_kl"])
def test_other_matrices(table, measure):
    assert len(transfer(table, measure=measure).axes) == 3  # two matrices and the scale


def test_one_lens_by_depth(table):
    _, one, null = retention(table).axes
    for axes, lens in ((one, "shared, left out"), (null, "shared, left out, rotated 1")):
        rows = table[(table["measure"] == "retention") & (table["lens"] == lens) & (table["model"] == "turning")]
        drawn = [line for line in axes.lines if line.get_label() == "turning"]
        np.testing.assert_allclose(drawn[0].get_xydata(), rows.sort_values("index")[["depth", "mean"]])


def test_quality_by_depth(table):
    figure = lenses(table)
    own = [line for line in figure.axes[0].lines if line.get_label() == "own affine lens"]
    rows = table[(table["measure"] == "lens_kl") & (table["lens"] == "affine") & (table["model"] == "descending")]
    rows = rows[rows["fitted_at"] == rows["index"].astype(str)].sort_values("index")
    np.testing.assert_allclose(own[0].get_ydata(), rows["mean"])


def test_a_table_without_transfer_is_refused(table):
    with pytest.raises(ItinfError, match="no rows of retention"):
        retention(table[table["measure"] == "lens_loss"])

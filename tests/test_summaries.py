"""Summaries are means over the cells of the table, with intervals of those means."""

import math

import numpy as np
import pytest
import torch

from itinf.lenses.transfer.cells import LEFT_OUT, MATCHED, ROTATED
from itinf.lenses.transfer.retention import Retention
from itinf.lenses.transfer.scores import TARGETS
from itinf.lenses.transfer.summaries import summaries
from itinf.results.schema import SUMMARY_DTYPES
from itinf.statistics.intervals import interval
from lens_oracles import case, judged, labelled
from oracles import normal
from test_matching import plain


@pytest.fixture(scope="module")
def found():
    with torch.no_grad():
        return case("descending")


@pytest.fixture(scope="module")
def rows(found):
    return summaries(found.network, found.grid)


def cells(found, measure, target, form=""):
    t = found.table
    rows = t[(t.measure == measure) & (t.target == target) & (t.form == form) & t.fitted_at.notna()]
    rows = rows[rows["mean"].notna()]
    pairs = zip(rows.fitted_at.astype(int), rows.state_index.astype(int), rows["mean"], strict=True)
    return {(i, j): x for i, j, x in pairs if i != j}


@pytest.mark.parametrize(("measure", "target"), [("retention", t) for t in TARGETS] + [("transfer_penalty", "label")])
def test_means_of_cells(found, rows, measure, target):
    kept = cells(found, measure, target)
    depth = [place.depth for place in found.grid.sites]
    mine = rows[
        (rows.measure == measure)
        & (rows.target == target)
        & (rows.form == "")
        & ~rows.direction.str.startswith("one lens")
    ]
    assert set(mine.distance) == {0} | {abs(j - i) for i, j in kept} and len(mine) > 12
    for _, row in mine.iterrows():
        here = {(i, j): x for (i, j), x in kept.items() if row.distance in (0, abs(j - i))}
        chosen = {
            "both": list(here.values()),
            "forward": [x for (i, j), x in here.items() if j > i],
            "backward": [x for (i, j), x in here.items() if j < i],
            "forward − backward": [x - here[j, i] for (i, j), x in here.items() if j > i and (j, i) in here],
            "farther − nearer": [x - kept[i + 1, j] for (i, j), x in here.items() if i + 1 < j and (i + 1, j) in kept]
            + [x - kept[i - 1, j] for (i, j), x in here.items() if i - 1 > j and (i - 1, j) in kept],
        }[row.direction]
        assert row["mean"] == pytest.approx(np.mean(chosen), rel=1e-9, abs=1e-12) and row.cells == len(chosen)
        assert row.share == pytest.approx(np.mean([abs(depth[j] - depth[i]) for i, j in here]))
        assert (row["median"], row.least, row.most) == pytest.approx((np.median(chosen), min(chosen), max(chosen)))
        assert row.lo <= row["mean"] <= row.hi and row.reason == "" and row.lens == "affine" and row.null == "observed"
    # state 0 tells nothing of the label, so it is read nowhere and cells are not in pairs
    one_way = mine[(mine.distance == 5) & (mine.direction == "forward − backward")]
    assert len(one_way) == (measure == "transfer_penalty")


def test_an_interval_is_that_of_the_mean(found, rows):
    kept = Retention(found.grid, "label")
    for distance, direction, sign in ((2, "forward", 1), (1, "backward", -1)):
        reads = [
            r for r in found.grid.cells if r.off_diagonal and r.form == "" and r.at - r.fitted_at == sign * distance
        ]
        mean = np.mean([x for r in reads if (x := kept.of(r)[0]) is not None], axis=0)
        row = rows[(rows.measure == "retention") & (rows.target == "label") & (rows.form == "")]
        row = row[(row.distance == distance) & (row.direction == direction)].iloc[0]
        assert (row["mean"], row.lo, row.hi) == pytest.approx((mean[0], *interval(mean, found.grid.clusters)))


def test_one_lens_for_all_and_its_null(found, rows):
    for null, seed in (("observed", -1), (ROTATED, 1)):
        for target in TARGETS:
            row = rows[(rows.direction == "one lens") & (rows.measure == "retention") & (rows.target == target)]
            (row,) = (r for _, r in row[(row.null == null) & (row.null_seed.fillna(-1) == seed)].iterrows())
            along = found.along("retention", LEFT_OUT, target=target, null=null)
            along = along[~along.isnan()]
            assert (
                row["mean"] == pytest.approx(float(along.mean())) and row.cells == len(along) and row.lens == LEFT_OUT
            )
    assert list(rows.columns) == list(SUMMARY_DTYPES) and not rows.duplicated(list(SUMMARY_DTYPES)[:10]).any()


@torch.no_grad()
def test_matched_cells_have_rows_of_their_own_and_what_is_missing_has_none():
    network = plain(True)
    items = [(x, (y + 1) % 4) for x, y in labelled(network, normal(300, 12).exp(), 1)]  # always the wrong answer
    found = judged(network, items, items, replicates=20)
    rows = summaries(network, found.grid)
    kept = rows[(rows.measure == "retention") & (rows.direction == "both")]
    assert set(kept.form) == {"", MATCHED}
    labels = {t: cells(found, "retention", t, MATCHED) for t in TARGETS}
    for target in TARGETS:
        row = kept[(kept.target == target) & (kept.form == MATCHED) & (kept.distance == 0)]
        assert row.cells.sum() == len(labels[target])
        mean = float(np.mean(list(labels[target].values()))) if labels[target] else math.nan
        assert row["mean"].sum() == pytest.approx(0 if math.isnan(mean) else mean)


def test_one_lens_against_its_null_is_paired(found, rows):
    kept = Retention(found.grid, "label")
    by_state = {}
    for cell in found.grid.cells:
        if cell.lens == LEFT_OUT and (value := kept.of(cell)[0]) is not None:
            by_state.setdefault(cell.at, {})[cell.null] = value
    beyond = np.mean([values["observed"] - values[ROTATED] for values in by_state.values()], axis=0)
    chosen = (rows.direction == "one lens − rotated") & (rows.measure == "retention") & (rows.target == "label")
    (row,) = (r for _, r in rows[chosen].iterrows())
    expected = beyond[0], *interval(beyond, found.grid.clusters)
    assert (row["mean"], row.lo, row.hi) == pytest.approx(expected) and (row.null, row.null_seed) == (ROTATED, 1)
    assert row.cells == len(by_state) > 2


def test_the_lens_of_the_next_state_is_read_at_the_same_states(found, rows):
    kept = cells(found, "retention", "label")
    farther = rows[(rows.direction == "farther − nearer") & (rows.measure == "retention") & (rows.target == "label")]
    assert set(farther[farther.form == ""].distance) == {0} | {abs(j - i) for i, j in kept if abs(j - i) > 1}

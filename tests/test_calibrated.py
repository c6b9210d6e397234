"""Means that depend on a calibrated mean: the error of that mean, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

import itinf
import tiny
from itinf import trace
from itinf.networks.trace import updates
from itinf.probes.calibration import calibrate
from itinf.results.calibrated import PARTS, CalibratedMean, CalibratedShare
from itinf.results.estimators import Mean
from itinf.results.recorder import Recorder
from itinf.results.row import Row
from itinf.statistics.bootstrap import Sums
from itinf.statistics.intervals import half_width
from oracles import batch, normal, smooth

ROW = Row("cost", 1, "image")


def summed(columns: dict[str, torch.Tensor], replicates: int = 4000) -> tuple[Sums, dict[str, object]]:
    """Sums of 60 clusters with a mean, and its estimators without and with the parts."""
    record, known = Recorder(), torch.ones(60, 1, dtype=torch.bool)
    record.mean(ROW, columns["all"], known)
    without = [columns[f"without{k}"] for k in range(PARTS)]
    record.mean(replace(ROW, null="mean"), columns["all"], known, kind=CalibratedMean, without=without)
    sums = Sums(3, replicates)
    sums.add(np.arange(60, dtype=np.uint64), record.take())
    return sums, {row.null: estimator for row, estimator in record.entries.items()}


def values(shifts: list[float]) -> dict[str, torch.Tensor]:
    one = normal(60, 1)
    return {"all": one} | {f"without{k}": one + shift for k, shift in enumerate(shifts)}


def test_the_variance_is_that_over_units_and_a_jackknife_over_parts():
    shifts = [0.3, -0.1, 0.2, 0.0, -0.4]
    sums, made = summed(values(shifts))
    plain, found = (made[null].estimate(sums) for null in ("observed", "mean"))
    assert type(made["observed"]) is Mean and found[0] == plain[0]
    jackknife = (PARTS - 1) / PARTS * sum((s - np.mean(shifts)) ** 2 for s in shifts)
    enlarged = (stats.t.ppf(0.975, PARTS - 1) / stats.norm.ppf(0.975)) ** 2
    assert found[1:].var() == pytest.approx(plain[1:].var() + enlarged * jackknife, rel=0.1)
    assert half_width(found, 60) > 2 * half_width(plain, 60)


def test_a_mean_without_error_changes_nothing():
    sums, made = summed(values([0.0] * PARTS))
    assert np.allclose(made["observed"].estimate(sums), made["mean"].estimate(sums), atol=1e-14)


def test_rows_of_one_calibration_share_their_error():
    """The difference of two rows that depend on the mean alike has none of it."""
    sums, made = summed(values([0.3, -0.1, 0.2, 0.0, -0.4]))
    with_it = made["mean"].estimate(sums)
    assert np.ptp(with_it - made["mean"].estimate(sums)) == 0


def test_means_without_each_part_of_the_clusters():
    network, given = smooth(), batch(normal(7, 6, 2, 2), torch.arange(7))
    seen = trace(network, given)
    key = ("vector", 1, "update", "")
    vector = updates(seen, 1)["update", ""]
    pieces = [
        (trace(network, batch(given.inputs[p], given.targets[p].flatten())), {key: vector[p]})
        for p in (slice(4), slice(4, 7))
    ]
    found = calibrate(pieces, apart=True).without[key]
    canonical = network.canonical(vector)[:, 0].double()
    for part in range(PARTS):
        left = [n for n in range(7) if n % PARTS != part]
        assert torch.allclose(found[part], canonical[left].mean(0), atol=1e-12)
    assert calibrate(pieces).without == {}


@pytest.mark.parametrize("calibration", [1, 24])
def test_a_lesion_against_the_mean_has_wider_intervals(calibration, monkeypatch):
    """But with a single cluster, which cannot be left out."""
    data = tiny.Items("image", normal(72, 6, 2, 2, seed=5), torch.arange(72) % 10)
    settings = {"group": 8, "calibration": calibration, "replicates": 50}
    rows = {}
    for apart in (True, False):
        monkeypatch.setattr(itinf.Lesion, "apart", apart)
        table = itinf.probe(smooth(blocks=2), data, [itinf.Lesion(nulls=("mean",))], **settings).table
        rows[apart] = table[(table["null"] == "mean") & (table["statistic"] == "mean")]
    assert np.allclose(rows[True]["mean"], rows[False]["mean"])
    wide, narrow = (rows[apart]["hi"] - rows[apart]["lo"] for apart in (True, False))
    costs = (rows[True]["measure"] == "cost").to_numpy()
    if calibration == 1:
        assert np.allclose(wide[costs], narrow[costs])
    else:
        assert (wide[costs].to_numpy() > 1.02 * narrow[costs].to_numpy()).all()


def test_a_share_stays_a_share():
    assert CalibratedShare.share and not CalibratedMean.share

"""Runs side by side: differences are paired where the clusters are the same, and interpolated over depth."""

import numpy as np
import pytest

import itinf
from itinf.statistics.intervals import interval
from tiny import images, probed, resnet

PICK = {"measure": "descent_share", "gradient": "output", "update": "branch"}


@pytest.fixture(scope="module")
def runs():
    data = images(48)
    other = images(48, seed=5)
    other.name = "other images"
    shallow, deep = resnet(8).named("shallow"), resnet(14).named("deep")
    return [
        probed(shallow, data),
        probed(deep, data),
        probed(deep.named("elsewhere"), other),
        probed(shallow.named("fewer"), data, units=40),
    ]


def curve(run):
    found = {
        row.block: estimator.estimate(run.stages["observed"].sums)
        for row, estimator in run.stages["observed"].entries.items()
        if (row.measure, row.gradient, row.update, row.null) == (*PICK.values(), "observed")
    }
    return np.stack([found[block] for block in sorted(found)])


def test_a_shallow_network_meets_a_deep_one_at_its_own_depths(runs):
    """Blocks 1, 2, 3 of 3 stand where blocks 2, 4, 6 of 6 do."""
    found = itinf.compare(runs).difference("deep", "shallow", **PICK)
    wanted = curve(runs[1])[1::2] - curve(runs[0])
    np.testing.assert_allclose(found.depth, [1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(found["mean"], wanted[:, 0], atol=1e-12)
    np.testing.assert_allclose(found[["lo", "hi"]], [interval(gap, 48) for gap in wanted], atol=1e-12)
    assert found.paired.all() and found.notna().all(axis=None)


def test_between_blocks_a_curve_is_interpolated(runs):
    found = itinf.compare(runs).difference("shallow", "deep", **PICK, subset="all")
    back = itinf.compare(runs).difference("deep", "shallow", **PICK)
    np.testing.assert_allclose(found["mean"], -back["mean"])
    np.testing.assert_allclose(found["lo"], -back["hi"])


def test_pairing_takes_shared_noise_away(runs):
    """The same network on the same clusters differs by nothing; on other clusters by two errors."""
    both = itinf.compare([runs[1], probed(resnet(14).named("again"), images(48)), runs[2]])
    same, other = (both.difference("deep", name, **PICK) for name in ("again", "elsewhere"))
    assert same.paired.all() and (same.hi == same.lo).all()
    assert not other.paired.any()
    errors = curve(runs[1])[:, 1:].std(1), curve(runs[2])[:, 1:].std(1)
    width = (other.hi - other.lo) / (2 * 2.01)  # Student's t with 47 degrees of freedom
    np.testing.assert_allclose(width, np.hypot(*errors), rtol=0.35)


def test_a_part_of_the_clusters_is_no_pair(runs):
    assert not itinf.compare(runs).difference("shallow", "fewer", **PICK).paired.any()


def test_table_and_figure_hold_every_run(runs):
    both = itinf.compare(runs[:2])
    assert set(both.table.model) == {"shallow", "deep"} and len(both.table) == sum(len(r.table) for r in runs[:2])
    assert both.plot("alignment").axes
    assert "shallow" in repr(both) and "deep" in repr(both)


def test_mistakes_are_named(runs):
    both = itinf.compare(runs)
    with pytest.raises(itinf.ItinfError, match="Did you mean shallow"):
        both.difference("deep", "shalow", **PICK)
    with pytest.raises(itinf.ItinfError, match="several curves"):
        both.difference("deep", "shallow", "descent_share")
    with pytest.raises(itinf.ItinfError, match="no row"):
        both.difference("deep", "shallow", "descent_shore")
    with pytest.raises(itinf.ItinfError, match="share a name"):
        itinf.compare([runs[0], runs[0]])
    with pytest.raises(itinf.ItinfError, match="at least one run"):
        itinf.compare([])

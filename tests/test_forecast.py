"""The arithmetic of a time estimate, on made-up times; no clock runs here."""

from __future__ import annotations

import pytest

from itinf.lenses.tuned import Recipe
from itinf.studies import forecast
from itinf.studies.forecast import Cost, TuningCosts, cost, rate, tuning_seconds
from itinf.studies.forecast_transfer import CellCosts, transfer_seconds
from itinf.studies.preview_study import wall_seconds


@pytest.fixture
def worked(monkeypatch):
    """Work that takes ``portion + count * each`` seconds of a clock of its own; ``calls`` are the counts."""
    now = [0.0]
    monkeypatch.setattr(forecast.time, "perf_counter", lambda: now[0])

    def make(portion, each, start=0.0):
        calls = []

        def work(count):
            now[0] += portion + count * each + (0.0 if calls else start)
            calls.append(count)

        return work, calls

    return make


def test_more_items_are_tried_until_it_takes_long_enough(worked):
    work, calls = worked(0.0, 0.001)
    # 2 items take 2 ms, 16 times as many 32 ms, and 1.2 * 0.25 s would be 300 items
    assert rate(work, 1000) == pytest.approx(0.001) and calls == [2, 32, 300]
    work, calls = worked(0.0, 1.0)
    assert rate(work, 1000) == pytest.approx(1.0) and calls == [2]
    work, calls = worked(0.0, 0.001)
    assert rate(work, 5) == pytest.approx(0.001) and calls == [2, 5]


def test_a_portion_and_its_items(worked):
    work, calls = worked(0.5, 0.01)
    found = cost(work, 2000, 64)
    assert (found.portion, found.each) == pytest.approx((0.5, 0.01)) and calls == [1, 62]
    assert found.of(2000, 32) == pytest.approx(32 * 0.5 + 2000 * 0.01)
    work, calls = worked(0.05, 0.01, start=0.1)  # quick: the first one, with the start, is done again
    assert cost(work, 100, 64) == pytest.approx(Cost(0.05, 0.01)) and calls == [1, 3, 1]
    work, calls = worked(0.05, 0.01)
    assert cost(work, 1, 1).of(1, 1) == pytest.approx(0.06)


def test_the_time_of_a_transfer():
    """SmolLM2 on 4,096 tokens in 16 sequences: a pilot of 512 units, one check of the precision, and the tables."""
    costs = CellCosts(cells=1085, pilot=2.0, score=1.5, check=10.0, cluster=3.0)
    assert transfer_seconds(costs, 16, 256, "token") == {
        "pilot": 512 * 2.0,
        "transfer": 4096 * 1.5 + 16 * 3.0,
        "tables": (1 + 3) * 10.0,
    }
    # 130 images are checked after 64, 128 and 130
    assert transfer_seconds(costs, 130, 1, "image") == {
        "pilot": 130 * 2.0,
        "transfer": 130 * 1.5 + 130 * 3.0,
        "tables": (3 + 3) * 10.0,
    }


def test_the_time_of_tuning():
    costs = TuningCosts(slope=0.1, score=0.05, step=2.0, curvature=1000)
    # of 8,000 units 7,000 are fitted on, and curvature is measured on 1,000; 64 steps at least
    assert tuning_seconds(costs, 8000) == pytest.approx(8000 * 0.1 + 64 * 2.0 + 1000 * 0.05)
    # two passes are 14,000 units: 140 steps of 100
    twice = tuning_seconds(costs, 8000, Recipe(passes=2, units=100))
    assert twice == pytest.approx(15_000 * 0.1 + 140 * 2.0 + 1000 * 0.05)


def test_several_networks_at_a_time():
    assert wall_seconds([10.0, 20.0, 30.0], 1) == 60.0
    assert wall_seconds([10.0, 20.0, 30.0], 2) == 30.0
    assert wall_seconds([10.0, 20.0, 90.0], 2) == 90.0  # the longest one
    assert wall_seconds([10.0], 8) == 10.0

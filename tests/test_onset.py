"""Onset and iterative depth: by hand on curves whose onset is known."""

import numpy as np
import pytest

from itinf.results.onset import Curves, iterative_depth
from itinf.statistics.intervals import replicate_band
from oracles import normal

STATES, REPLICATES = 6, 400


def flat(value, places=STATES, noise=0.0, seed=0):
    """The same value at every place, with replicates around it."""
    spread = noise * normal(places, REPLICATES, seed=seed).numpy()
    return np.concatenate([np.full((places, 1), value), value + spread], 1)


def curves(code=0.9, kept=0.9, gain=0.5, **changed):
    made = {"in_code": flat(code), "used": flat(kept), "improves": flat(gain, STATES - 1, 0.01)}
    return Curves(**(made | changed), through="", clusters=200)


def lowered(curve, *places, to=0.1):
    curve = curve.copy()
    curve[list(places)] = to
    return curve


def test_all_hold_everywhere():
    found = curves()
    assert set(found.onset()) == {0} and found.before() == []
    assert set(iterative_depth(found.onset(), STATES - 1)) == {1}


@pytest.mark.parametrize(("changed", "onset", "why"), [
    ({"in_code": lowered(flat(0.9), 0, 1)}, 2, ["in the code"]),
    ({"used": lowered(flat(0.9), 2)}, 3, ["used"]),  # what holds before a state at which it fails does not count
    ({"improves": lowered(flat(0.5, STATES - 1, 0.01), 3)}, 4, ["improves"]),
    ({"in_code": lowered(flat(0.9), 0, 1), "used": lowered(flat(0.9), 1)}, 2, ["in the code", "used"]),
    ({"in_code": lowered(flat(0.9), 4, to=np.nan)}, 5, ["in the code"]),  # what has no value does not hold
    ({"in_code": lowered(flat(0.9), STATES - 1)}, 6, ["in the code"]),  # fails at the last state
])  # fmt: skip
def test_the_first_state_from_which_on_all_hold(changed, onset, why):
    found = curves(**changed)
    assert found.onset()[0] == onset and found.before() == why
    assert iterative_depth(found.onset(), STATES - 1)[0] == max(1 - onset / (STATES - 1), 0)


def test_a_gain_has_to_leave_the_noise_of_all_steps_behind():
    """One standard error of 1 each: below about 2.6 of them, the largest of 5 noises is as large."""
    noise = flat(0.0, STATES - 1, 1.0)
    noise -= noise[:, 1:].mean(1, keepdims=True) * (np.arange(1 + REPLICATES) > 0)
    noise[:, 1:] /= noise[:, 1:].std(1, ddof=1, keepdims=True)
    band = replicate_band(noise, 10**6)
    assert np.allclose(band, band[0]) and 2.4 < band[0] < 2.8
    assert curves(improves=noise + band[0] * 1.01).onset()[0] == 0
    assert curves(improves=noise + band[0] * 0.99).onset()[0] == STATES - 1  # h_L, which no step leaves, remains


def test_replicates_decide_for_themselves():
    code = flat(0.9)
    code[0, 1 : 1 + REPLICATES // 4] = 0.2
    onsets = curves(in_code=code).onset()
    assert onsets[0] == 0 and (onsets[1:] == 1).sum() == REPLICATES // 4


def test_the_threshold_is_of_what_is_retained_and_persists():
    found = curves(code=0.6, kept=0.4)
    assert [found.onset(t)[0] for t in (1 / 3, 1 / 2, 2 / 3)] == [0, STATES, STATES]


def test_no_band_without_clusters_or_spread():
    assert np.isnan(replicate_band(flat(0.0, 3, 1.0), 7)).all()
    one = flat(0.0, 3, 1.0)
    one[1, 1:] = 5.0
    one[2, 0] = np.nan
    band = replicate_band(one, 100)
    assert band[0] > 0 and np.isnan(band[1:]).all()

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
    made = {"in_code": flat(code), "used": flat(kept), "gains": flat(gain, STATES - 1, 0.01)}
    return Curves(**(made | changed), through="", clusters=200)


def lowered(curve, *places, to=0.1):
    curve = curve.copy()
    curve[list(places)] = to
    return curve


def test_all_hold_everywhere():
    found = curves()
    assert set(found.onset()) == {0}
    assert set(iterative_depth(found.onset(), STATES - 1)) == {1}


@pytest.mark.parametrize(("changed", "onset", "limit"), [
    ({}, 0, ""),
    ({"in_code": lowered(flat(0.9), 0, 1)}, 2, "state 1: one lens retains 0.10"),
    ({"used": lowered(flat(0.9), 2)}, 3, "state 2: persistence 0.10"),  # what holds before a state at which it fails does not count
    ({"gains": lowered(flat(0.5, STATES - 1, 0.01), 3, to=-0.1)}, 4, "state 3: gain of the step −0.10"),
    ({"in_code": lowered(flat(0.9), 0, 1), "used": lowered(flat(0.9), 1)}, 2,
     "state 1: one lens retains 0.10, persistence 0.10"),
    ({"in_code": lowered(flat(0.9), 3, to=np.nan)}, 4, "state 3: one lens retains no value"),  # what has no value does not hold
    ({"in_code": lowered(flat(0.9), 4)}, np.nan, "state 4: one lens retains 0.10"),  # h_L is left, and no step leaves it
    ({"in_code": lowered(flat(0.9), STATES - 1)}, np.nan, "state 5: one lens retains 0.10"),
    ({"gains": lowered(flat(0.5, STATES - 1, 0.01), 0, 1, to=0.0)}, 2, "no step before it gains"),
    ({"gains": flat(0.0, STATES - 1)}, np.nan, "no step gains"),  # an answer that is only carried along
])  # fmt: skip
def test_the_first_state_from_which_on_all_hold(changed, onset, limit):
    found = curves(**changed)
    assert found.limit() == limit
    assert found.onset()[0] == onset or (np.isnan(onset) and np.isnan(found.onset()[0]))
    depth = iterative_depth(found.onset(), STATES - 1)[0]
    assert depth == (0 if np.isnan(onset) else 1 - onset / (STATES - 1))


def noisy(mean, places=STATES - 1, seed=0):
    """Replicates with a standard error of exactly 1."""
    noise = normal(places, REPLICATES, seed=seed).numpy()
    noise = (noise - noise.mean(1, keepdims=True)) / noise.std(1, ddof=1, keepdims=True)
    return np.concatenate([np.full((places, 1), mean), mean + noise], 1)


def test_only_a_harm_beyond_the_noise_of_all_steps_counts():
    """The largest of 5 independent noises of 1 is below about 2.6 in 95 % of all cases."""
    steps = noisy(0.0)
    band = replicate_band(steps, 10**6)
    assert np.allclose(band, band[0]) and 2.4 < band[0] < 2.8
    converged = np.concatenate([flat(50.0, 1, 0.1), noisy(-0.8 * band[0], STATES - 2)])
    assert curves(gains=converged).onset()[0] == 0
    harmful = np.concatenate([flat(50.0, 1, 0.1), noisy(-1.3 * band[0], STATES - 2)])
    assert np.isnan(curves(gains=harmful).onset()[0])


def test_a_gain_has_to_leave_the_noise_of_all_steps_behind():
    band = replicate_band(noisy(0.0), 10**6)[0]
    assert np.isnan(curves(gains=noisy(0.8 * band)).onset()[0])
    assert curves(gains=noisy(1.3 * band)).onset()[0] == 0
    late = np.concatenate([noisy(0.0, STATES - 2), flat(50.0, 1, 0.1)])  # carried along, and improved once, at the end
    assert curves(gains=late).onset()[0] == STATES - 2


def test_replicates_decide_for_themselves():
    code = flat(0.9)
    code[0, 1 : 1 + REPLICATES // 4] = 0.2  # in a quarter of the replicates the first state is not in the code
    onsets = curves(in_code=code).onset()
    assert onsets[0] == 0 and (onsets[1:] == 1).sum() == REPLICATES // 4


def test_the_threshold_is_of_what_is_retained_and_persists():
    found = curves(code=0.6, kept=0.4)
    assert found.onset(1 / 3)[0] == 0 and np.isnan([found.onset(t)[0] for t in (1 / 2, 2 / 3)]).all()


def test_no_band_without_clusters_or_spread():
    assert np.isnan(replicate_band(flat(0.0, 3, 1.0), 7)).all()
    one = flat(0.0, 3, 1.0)
    one[1, 1:] = 5.0
    one[2, 0] = np.nan
    band = replicate_band(one, 100)
    assert band[0] > 0 and np.isnan(band[1:]).all()

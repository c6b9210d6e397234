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
    assert set(found.onset()) == {0}
    assert set(iterative_depth(found.onset(), STATES - 1)) == {1}


@pytest.mark.parametrize(("changed", "onset"), [
    ({"in_code": lowered(flat(0.9), 0, 1)}, 2),
    ({"used": lowered(flat(0.9), 2)}, 3),  # what holds before a state at which it fails does not count
    ({"improves": lowered(flat(0.5, STATES - 1, 0.01), 3, to=-0.1)}, 4),
    ({"in_code": lowered(flat(0.9), 0, 1), "used": lowered(flat(0.9), 1)}, 2),
    ({"in_code": lowered(flat(0.9), 3, to=np.nan)}, 4),  # what has no value does not hold
    ({"in_code": lowered(flat(0.9), 4)}, np.nan),  # h_L alone is left, and no step leaves it
    ({"in_code": lowered(flat(0.9), STATES - 1)}, np.nan),  # fails at the last state
])  # fmt: skip
def test_the_first_state_from_which_on_all_hold(changed, onset):
    found = curves(**changed)
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
    assert curves(improves=converged).onset()[0] == 0
    harmful = np.concatenate([flat(50.0, 1, 0.1), noisy(-1.3 * band[0], STATES - 2)])
    assert np.isnan(curves(improves=harmful).onset()[0])


def test_an_answer_that_is_only_carried_along_has_no_onset():
    assert np.isnan(curves(improves=flat(0.0, STATES - 1)).onset()).all()  # not even noise
    assert np.isnan(curves(improves=noisy(0.1)).onset()[0])  # all steps together: 0.5, with a standard error of 2.2
    assert curves(improves=noisy(3.0)).onset()[0] == 0


def test_replicates_decide_for_themselves():
    code = flat(0.9)
    code[0, 1 : 1 + REPLICATES // 4] = 0.2
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

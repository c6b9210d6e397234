"""Onset and iterative depth: by hand on curves whose onset is known."""

import numpy as np
import pytest

from itinf.results.onset import Curves, iterative_depth
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
    ({"improves": lowered(flat(0.5, STATES - 1, 0.01), 3, to=-0.1)}, 4, ["improves"]),
    ({"in_code": lowered(flat(0.9), 0, 1), "used": lowered(flat(0.9), 1)}, 2, ["in the code", "used"]),
    ({"in_code": lowered(flat(0.9), 4, to=np.nan)}, 5, ["in the code"]),  # what has no value does not hold
    ({"in_code": lowered(flat(0.9), STATES - 1)}, 6, ["in the code"]),  # fails at the last state
])  # fmt: skip
def test_the_first_state_from_which_on_all_hold(changed, onset, why):
    found = curves(**changed)
    assert found.onset()[0] == onset and found.before() == why
    assert iterative_depth(found.onset(), STATES - 1)[0] == max(1 - onset / (STATES - 1), 0)


def test_a_step_that_gains_next_to_nothing_makes_the_interval_wide():
    steps = flat(0.5, STATES - 1, 0.01)
    steps[-1] = np.r_[0.001, 0.001 + 0.1 * normal(1, REPLICATES, seed=5)[0].numpy()]  # as often above zero as below
    onsets = curves(improves=steps).onset()
    assert onsets[0] == 0 and 0.4 < (onsets[1:] == STATES - 1).mean() < 0.6


def test_replicates_decide_for_themselves():
    code = flat(0.9)
    code[0, 1 : 1 + REPLICATES // 4] = 0.2
    onsets = curves(in_code=code).onset()
    assert onsets[0] == 0 and (onsets[1:] == 1).sum() == REPLICATES // 4


def test_the_threshold_is_of_what_is_retained_and_persists():
    found = curves(code=0.6, kept=0.4)
    assert [found.onset(t)[0] for t in (1 / 3, 1 / 2, 2 / 3)] == [0, STATES, STATES]

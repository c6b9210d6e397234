"""Borderline units on networks whose steps are given: pure noise, confidence alone, and what the naive choice says of them."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

import itinf
import oracles
import tiny
from itinf import Batch, Network, trace
from itinf.probes.repeat import form_of
from itinf.results import strata
from itinf.results.recorder import Recorder
from itinf.results.row import Row
from itinf.results.strata import OfSameStratum, stratified
from itinf.results.sums import StudySums
from itinf.results.table import table
from itinf.statistics.bootstrap import Sums
from measured import measure, view
from oracles import normal
from segment_oracles import path_network
from test_pair_intervals import STRUCTURE
from test_repeats import descending

BITS = 1 / math.log(2)
Key = tuple[str, str, str, int]


def given(logits: list[Tensor], labels: Tensor) -> tuple[Network, Batch]:
    """A network whose states are logits, each (N, classes), read by the softmax itself."""
    network = path_network(logits[0].shape[1], len(logits) - 1)
    with torch.no_grad():
        network.model.head.weight = torch.nn.Parameter(torch.eye(4, logits[0].shape[1], dtype=torch.float64))
        network.model.head.bias.copy_(torch.tensor([0.0] * logits[0].shape[1] + [-40.0] * (4 - logits[0].shape[1])))
    steps = [after - before for before, after in pairwise(logits)]
    return network, oracles.batch(torch.cat([logits[0], *steps], 1)[:, :, None, None], labels)


def numbers(network: Network, batch: Batch, probe: itinf.Probe, seed: int = 0) -> dict[Key, float]:
    """(measure, subset, null, state) -> number."""
    values = measure(view(network, trace(network, batch)), [probe]).values
    return {(row.measure, row.subset, row.null, row.state or 0): value for row, value in values.items()}


def noise(units: int, steps: int) -> tuple[list[Tensor], Tensor]:
    """Logits of two classes that walk at random, and labels that know nothing of them."""
    walk = torch.stack([normal(units, 2, seed=k) for k in range(steps + 1)]).cumsum(0)
    return list(walk), torch.randint(2, (units,), generator=oracles.generator(9))


def test_under_pure_noise_they_stay_at_half_and_the_naive_choice_makes_half_of_anything():
    """Chosen before, half are right at every later state. Chosen at the end, half are right there by construction: also where
    the last step alone knows the label, and from any accuracy before."""
    logits, labels = noise(2000, 4)
    found = numbers(*given(logits, labels), itinf.Borderline(at=-4, at_end=True))
    chosen = round(found["borderline_share", "all", "observed", 0] * 2000)
    for null in ("observed", "order-shuffled"):
        seen = [found["borderline_accuracy", "borderline at 0", null, state] for state in range(1, 4)]
        assert seen == pytest.approx([0.5] * 3, abs=3 * 0.5 / chosen**0.5)
    assert math.isnan(found["borderline_accuracy", "borderline at 0", "same p_y", 1]), (
        "with two classes p_y is all there is"
    )
    right = torch.nn.functional.one_hot(labels, 2)
    knows = [*logits[:-1], logits[-2] + 4.0 * right]
    good, bad = (numbers(*given(path, labels), itinf.Borderline(at=-4, at_end=True)) for path in (knows, logits))
    for naive in (good, bad):
        assert naive["borderline_accuracy", "borderline at the end", "observed", 4] == pytest.approx(0.5, abs=0.06)
    assert good["borderline_accuracy", "borderline at 0", "observed", 4] > 0.75
    # chosen at the end, a network that gives every unit what it needs is said to have "raised" from nothing to a half
    assert good["borderline_accuracy", "borderline at the end", "observed", 3] < 0.02
    assert bad["borderline_accuracy", "borderline at the end", "observed", 3] == pytest.approx(0.5, abs=0.06)


def test_numbers_are_those_of_plain_torch():
    logits, labels = noise(96, 3)
    network, batch = given(logits, labels)
    found = numbers(network, batch, itinf.Borderline(at=-2))
    p = logits[1].softmax(1)
    chosen = (p[torch.arange(96), labels] - p[torch.arange(96), 1 - labels]).abs() < 0.2
    assert found["borderline_share", "all", "observed", 1] == pytest.approx(float(chosen.double().mean()))
    for state in (1, 2, 3):
        q = logits[state].softmax(1)[chosen]
        expected = {
            "accuracy": (q.argmax(1) == labels[chosen]).double(),
            "loss": -q[torch.arange(len(q)), labels[chosen]].log2(),
            "entropy": -(q * q.log2()).sum(1),
        }
        for name, values in expected.items():
            seen = found[f"borderline_{name}", "borderline at 1", "observed", state]
            assert seen == pytest.approx(float(values.mean()), abs=1e-9)
    assert not [key for key in found if key[3] == 0], "states before the choice are not followed"


def test_random_orders_of_two_steps_are_either_order():
    """One class of three: the first step makes every unit right, the second wrong; in the other order it is wrong between."""
    start = torch.zeros(400, 3, dtype=torch.float64)
    labels = torch.zeros(400, dtype=torch.int64)
    up, down = torch.tensor([5.0, 0, 0]), torch.tensor([-9.0, 0, 0])
    found = numbers(*given([start, start + up, start + up + down], labels), itinf.Borderline(at=-2))
    assert found["borderline_accuracy", "borderline at 0", "observed", 1] == 1
    between = found["borderline_accuracy", "borderline at 0", "order-shuffled", 1]
    assert between == pytest.approx(0.5, abs=0.1)
    assert ("borderline_accuracy", "borderline at 0", "order-shuffled", 2) not in found, "the last state is the same"


def test_where_confidence_alone_decides_the_null_of_same_p_y_says_so():
    """Three classes, p_y about .35: the next step adds evidence that knows p_y alone, whatever the rival is."""
    units = 4000
    rival = torch.where(torch.arange(units) % 2 == 0, 0.36, 0.62)  # borderline, or far behind
    p = torch.stack([torch.full((units,), 0.35), rival, 0.65 - rival], 1).double()
    luck = torch.rand(units, generator=oracles.generator(4)) < 0.7
    after = torch.where(luck[:, None], torch.tensor([9.0, 0, 0]), torch.tensor([0, 9.0, 0])).double()
    found = numbers(*given([p.log(), after], torch.zeros(units, dtype=torch.int64)), itinf.Borderline(at=-1))
    assert found["borderline_share", "all", "observed", 0] == 0.5
    for null in ("observed", "same p_y"):
        assert found["borderline_accuracy", "borderline at 0", null, 1] == pytest.approx(0.7, abs=0.03)


def sums_of(columns: dict[str, list[float]]) -> Sums:
    sums = Sums(0, 50)
    sums.add(np.arange(1, 9, dtype=np.uint64), {name: np.array(values, float) for name, values in columns.items()})
    sums.flush()
    return sums


def test_strata_by_hand(monkeypatch):
    """Two strata of 3 and 1 chosen units, whose others have means 0.5 and 1; a third has no others, and is left out."""
    monkeypatch.setattr(strata, "LEAST", 1)
    columns = {
        "c0": [1, 1, 1, 0, 0, 0, 0, 0], "c1": [0, 0, 0, 1, 0, 0, 0, 0], "c2": [0, 0, 0, 0, 1, 1, 0, 0],
        "s0": [1, 0, 1, 0, 0, 0, 0, 0], "s1": [0, 0, 0, 1, 0, 0, 0, 0], "s2": [0, 0, 0, 0, 1, 1, 0, 0],
        "o0": [0, 0, 0, 1, 1, 0, 0, 0], "o1": [0, 0, 0, 0, 0, 0, 1, 0], "o2": [0] * 8,
        "t0": [0, 0, 0, 1, 0, 0, 0, 0], "t1": [0, 0, 0, 0, 0, 0, 1, 0], "t2": [0] * 8, "n": [1, 1, 1, 1, 1, 1, 0, 0],
    }  # fmt: skip
    roles = {"chosen": "c", "own": "s", "others": "o", "theirs": "t"}
    names = stratified({role: [f"{letter}{i}" for i in range(3)] for role, letter in roles.items()})
    sums = sums_of(columns)
    estimator = OfSameStratum(n="n", **names)
    assert estimator.estimate(sums)[0] == pytest.approx((3 * 0.5 + 1 * 1) / 4)
    own = estimator.own_estimate(sums)
    assert own is not None and own[0] == pytest.approx(3 / 4)
    assert estimator.counts(sums) == (6, 6) and estimator.columns["theirs|2"] == "t2"


def test_repeats_of_the_last_block_cost_borderline_units_apart():
    """By hand: of the units of a step of descent, those near the border at the end, chosen before the block runs again."""
    network, batch = descending(0.5)
    start = normal(40, 2, seed=5)
    batch = Batch(start[:, :, None, None], batch.targets, batch.keys)
    found = measure(view(network, trace(network, batch)), [itinf.Repeat(times=(3,), scale=(1.0,))]).values
    goal, z = torch.tensor([0.6, 0.4], dtype=torch.float64), start
    states = [start] + [z := z + 0.5 * (goal - z.softmax(1)) for _ in range(6)]
    labels, units = batch.targets, torch.arange(40)

    def loss(z: Tensor) -> Tensor:
        return -z.log_softmax(1)[units, labels] * BITS

    for state in (2, 3):
        p = states[state].softmax(1)
        chosen = (p[:, 0] - p[:, 1]).abs() < 0.2
        assert 5 < int(chosen.sum()) < 40
        gone = {
            "cost": (loss(states[6]) - loss(states[3]))[chosen],
            "accuracy_cost": ((states[3].argmax(1) == labels).double() - (states[6].argmax(1) == labels).double())[
                chosen
            ],
        }
        for name, values in gone.items():
            for form in (form_of(3, 1.0), "repeat best"):
                row = Row(name, 3, "image", form=form, subset=f"borderline at {state}")
                assert found[row] == pytest.approx(float(values.mean()), abs=1e-9)


@pytest.mark.parametrize("at", [0, 1, -1.5, True, "end"])
def test_units_are_chosen_before_the_last_state(at):
    with pytest.raises(itinf.ItinfError, match=r"Borderline: at is .*expected a whole number below 0"):
        itinf.Borderline(at=at)


@pytest.mark.parametrize("kind", ["image", "token"])
def test_a_study_does_not_depend_on_the_batch_and_is_read_again(kind, tmp_path):
    network, data = tiny.opened(kind, 40)
    probes = [itinf.Borderline(at_end=True), itinf.Convergence(), itinf.Repeat(last_alone=True)]
    run = tiny.probed(network, tiny.with_partners(data), probes=probes, replicates=20, out=tmp_path / "run")
    assert not run.table.duplicated(tiny.NAMES).any()
    assert itinf.ProbeResult.load(tmp_path / "run").table.equals(run.table)
    small = tiny.probed(network, tiny.with_partners(data), probes=probes, replicates=20, batch=8).table
    np.testing.assert_allclose(small["mean"], run.table["mean"], rtol=1e-3, atol=1e-4)
    assert set(run.table.loc[run.table["measure"] == "cost", "block_index"]) == {len(network.blocks)}


def test_with_one_state_to_read_there_is_a_reason():
    record, network, batch = Recorder(), *given([normal(8, 3), normal(8, 3, seed=1)], torch.zeros(8, dtype=torch.int64))
    seen = view(network, trace(network, batch))
    itinf.Borderline().measure_batch(seen, record)
    assert not record.missing  # two states, and the first of them where -5 lies before it
    assert {row.subset for row in record.entries} == {"all", "borderline at 0"}


def covered(populations: int, clusters: int) -> dict[tuple[str, str], float]:
    """(measure, null) -> how many of 24 subsets hold the mean over all subsets, at the state after the choice.

    Three classes; the step after the choice knows the label a little, and more so where p_y is large.
    """
    random, found, names = torch.Generator().manual_seed(7), [], list[tuple[str, str]]()
    for _ in range(24 * populations):
        start = torch.randn(clusters, 3, generator=random, dtype=torch.float64)
        labels = torch.randint(3, (clusters,), generator=random)
        step = 0.8 * torch.randn(clusters, 3, generator=random, dtype=torch.float64)
        step[torch.arange(clusters), labels] += start.softmax(1)[torch.arange(clusters), labels]
        network, batch = given([start, start + step], labels)
        batch.keys[:] = torch.randint(2**62, (clusters,), generator=random).numpy().astype(np.uint64)
        record, seen = Recorder(), view(network, trace(network, batch))
        record.count("n|known", seen.trace.known)
        itinf.Borderline(at=-1).measure_batch(seen, record)
        structure = {"states": [["a", 0, 0.0], ["b", 0, 1.0]], "blocks": ["b"], "segments": [0], "sizes": [3]}
        stage = StudySums(Sums(0, 300), structure=STRUCTURE | structure)
        stage.add(batch.keys, record)
        rows = table({"observed": stage})
        rows = rows[(rows["state_index"] == 1) & rows["measure"].str.startswith("borderline_accuracy")]
        names = list(rows[["measure", "null"]].itertuples(index=False, name=None))
        found.append(rows[["mean", "lo", "hi"]].to_numpy(float))
    each = np.array(found)
    truth = each[:, :, 0].mean(0)
    return dict(zip(names, ((each[:, :, 1] <= truth) & (truth <= each[:, :, 2])).mean(0), strict=True))


def test_24_subsets_cover():
    """Of 24 intervals about 23 hold the truth, fewer than 20 one time in 200."""
    found = covered(1, 200)
    assert set(found) == {
        ("borderline_accuracy", "observed"), ("borderline_accuracy", "same p_y"), ("borderline_accuracy_effect", "same p_y")
    }  # fmt: skip
    assert min(found.values()) >= 19 / 24


@pytest.mark.simulation
def test_24_subsets_of_40_populations_cover_93_to_97_percent():
    """960 intervals a row: the standard error of a share is 0.7 %, which is allowed for twice."""
    found = covered(40, 400)
    assert all(0.93 - 0.014 <= share <= 0.97 + 0.014 for share in found.values()), found

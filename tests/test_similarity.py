"""Similarity of depths against answers known by construction, sets of four by hand, exact weights, and the biased number."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from torch import Tensor

import itinf
from gauges import regauged
from itinf import trace
from itinf.networks.gauge import random_rotation
from itinf.probes.calibration import Calibration
from itinf.probes.hsic import centred_kernel, criterion
from itinf.probes.similarity import NO_ROW, _Samples
from itinf.results.recorder import Recorder
from itinf.results.sums import StudySums
from itinf.statistics.bootstrap import Sums, poisson_weights
from measured import measure, view
from oracles import batch, normal
from segment_oracles import numbers, path_batch, path_network
from shipped import shipped
from test_study import agree
from tiny import opened, probed

PROBE = itinf.Similarity()
OBSERVED, PAIRED, OF_CLASS = (("similarity", "raw", null) for null in ("observed", "pairing", "same-target"))


def kernel(values: Tensor) -> Tensor:
    return (values @ values.T).fill_diagonal_(0)


def by_fours(x: Tensor, y: Tensor) -> float:
    """The mean over all ordered sets of four different units."""
    k, m = kernel(x), kernel(y)
    fours = permutations(range(len(x)), 4)
    each = [k[a, b] * m[a, b] + k[a, b] * m[c, d] - 2 * k[a, b] * m[a, c] for a, b, c, d in fours]
    return float(torch.stack(each).mean())


def biased(x: Tensor, y: Tensor) -> float:
    """The usual estimator of linear CKA."""
    x, y = x - x.mean(0), y - y.mean(0)
    return float((x.T @ y).square().sum() / ((x.T @ x).norm() * (y.T @ y).norm()))


def unbiased(x: Tensor, y: Tensor) -> float:
    known = torch.ones(1, len(x), dtype=torch.bool)
    k, m = (centred_kernel(v[None], known) for v in (x, y))
    both, own, other = (float(criterion(a, b, known).sum()) for a, b in ((k, m), (k, k), (m, m)))
    return both / (own * other) ** 0.5


def test_the_criterion_is_the_mean_over_sets_of_four_and_its_numbers_are_the_jackknifes():
    x, y = normal(7, 3, seed=1), normal(7, 2, seed=2)
    known = torch.ones(1, 7, dtype=torch.bool)
    found = criterion(centred_kernel(x[None], known), centred_kernel(y[None], known), known)[0]
    assert float(found.mean()) == pytest.approx(by_fours(x, y))
    for unit in range(7):
        rest = torch.arange(7) != unit
        assert float(found[unit]) == pytest.approx(7 * by_fours(x, y) - 6 * by_fours(x[rest], y[rest]))


def test_units_that_are_not_known_count_nowhere():
    x, y = normal(2, 9, 3, seed=1), normal(2, 9, 3, seed=2)
    known = torch.ones(2, 9, dtype=torch.bool)
    known[0, 2], known[1, 4:] = False, False  # the second sample has four units, which are too few
    found = criterion(centred_kernel(x, known), centred_kernel(y, known), known)
    rest = known[0]
    assert float(found[0].sum() / 8) == pytest.approx(by_fours(x[0, rest], y[0, rest]))
    assert float(found[0, 2]) == 0 and float(found[1].abs().sum()) == 0


def test_a_rotation_one_scale_and_a_shift_change_nothing_and_scales_of_channels_do():
    start = normal(96, 6) * torch.tensor([3.0, 2, 1, 1, 1, 1])
    moved = 4 * start @ random_rotation(6, 1).double() + 7
    found = numbers(PROBE, start, [torch.zeros_like(start), moved - start])
    assert found[OBSERVED] == pytest.approx([1, 1], rel=1e-12)
    scaled = start * torch.tensor([0.1, 1, 1, 1, 4, 1])
    assert max(numbers(PROBE, start, [scaled - start])[OBSERVED]) < 0.6


def test_independent_states_have_none_where_the_biased_number_has():
    """At 50 units the usual estimator gives .1 and more for states that have nothing in common."""
    usual, ours = [], []
    for seed in range(40):
        x, y = normal(50, 6, seed=2 * seed), normal(50, 6, seed=2 * seed + 1)
        usual.append(biased(x, y))
        ours.append(unbiased(x, y))
    assert np.mean(usual) > 0.09 and min(usual) > 0.03
    assert abs(np.mean(ours)) < 0.01
    assert np.std(ours) < 0.06
    start = normal(1600, 6)
    assert numbers(PROBE, start, [normal(1600, 6, seed=5) - start])[OBSERVED] == pytest.approx([0], abs=0.02)


def test_a_state_that_is_a_summand():
    """h_1 = h_0 + an independent step of the same variance: |I|² over |I| |2 I| is ½."""
    start, step = normal(3200, 8), normal(3200, 8, seed=1)
    found = numbers(itinf.Similarity(units=3200), start, [step])
    assert found[OBSERVED] == pytest.approx([1 / 2], abs=0.02)
    assert found[PAIRED] == pytest.approx([0], abs=0.02)


def classes(units: int, own: float) -> tuple[tuple[Tensor, list[Tensor]], Tensor]:
    """States that share the mean of four classes, and ``own`` times a vector of the unit."""
    label = torch.randint(4, (units,), generator=torch.Generator().manual_seed(8))
    kinds, unit = normal(4, 6, seed=4), own * normal(units, 6, seed=5)
    start = kinds[label] + unit + normal(units, 6, seed=6)
    return (start, [kinds[label] + unit + normal(units, 6, seed=7) - start]), label


def test_what_the_class_alone_gives():
    for own in (0.0, 1.0):
        (start, steps), label = classes(1600, own)
        given = replace(path_batch(start, steps), targets=label)
        found = measure(view(path_network(6, 1), trace(path_network(6, 1), given), size=32), [PROBE]).values
        by_null = {row.null: value for row, value in found.items() if (row.measure, row.form) == OBSERVED[:2]}
        assert abs(by_null["pairing"]) < 0.03 and by_null["same-target"] > 0.1
        beyond = by_null["observed"] - by_null["same-target"]
        assert abs(beyond) < 0.03 if own == 0 else beyond > 0.15


def test_units_that_are_each_others_partners_are_no_null():
    """Two units that change places are the same pair: their null would be what was observed."""
    start, label = normal(64, 4), torch.arange(64) // 2 % 4
    given = replace(path_batch(start, [normal(64, 4, seed=3)]), targets=label)
    record = Recorder(group=8)
    PROBE.measure_batch(view(path_network(4, 1), trace(path_network(4, 1), given), size=8), record)
    assert float(record.columns["n|similarity|same-target"].sum()) == 0
    assert float(record.columns["n|similarity|pairing"].sum()) == 64


def test_the_concentration_is_that_of_the_eigenvalues():
    start = normal(6400, 4) * torch.tensor([3.0, 1, 1, 1]) @ random_rotation(4, 2).double()
    found = numbers(itinf.Similarity(units=6400), start, [normal(6400, 4, seed=1) - start])
    assert found["concentration", "raw", "observed"] == pytest.approx([84 / 144, 1 / 4], abs=0.02)


def weighted(x: Tensor, y: Tensor, w: Tensor) -> float:
    """The criterion with a weight for every unit: sums over different units, by inclusion and exclusion."""

    def means(k: Tensor, m: Tensor) -> Tensor:
        rows, others, both = k @ w, m @ w, k * m
        two = w @ both @ w
        three = w @ (rows * others - both @ w**2)
        four = (w @ rows) * (w @ others) - 4 * w**2 @ (rows * others) + 2 * w**2 @ both @ w**2
        return torch.stack([two, four, three])

    ones = torch.ones(len(x), len(x), dtype=torch.float64).fill_diagonal_(0)
    two, four, three = means(kernel(x), kernel(y)) / means(ones, ones)
    return float(two + four - 2 * three)


def test_replicates_are_those_of_exact_weights():
    """To first order: 256 units in one group, so that every pair of units has the product of their weights."""
    (start, steps), label = classes(256, 0.5)
    assert weighted(start[:7], steps[0][:7], torch.ones(7).double()) == pytest.approx(by_fours(start[:7], steps[0][:7]))
    given = replace(path_batch(start, steps), targets=label)
    record, network = Recorder(group=256), path_network(6, 1)
    itinf.Similarity(nulls=()).measure_batch(view(network, trace(network, given), size=256), record)
    stage = StudySums(Sums(0, 60))
    stage.add(given.keys, record)
    (estimator,) = [e for row, e in stage.entries.items() if (row.measure, row.form) == OBSERVED[:2]]
    found = estimator.estimate(stage.sums)[1:]
    last = start + steps[0]
    exact = []
    for w in torch.from_numpy(poisson_weights(given.keys, 0, 60).astype(float)).T:
        both, own, other = (weighted(a, b, w) for a, b in ((start, last), (start, start), (last, last)))
        exact.append(both / (own * other) ** 0.5)
    assert np.corrcoef(found, exact)[0, 1] > 0.98
    assert found.std() == pytest.approx(np.std(exact), rel=0.12)


def test_a_sample_has_one_unit_of_each_sequence_and_none_of_its_first_positions():
    network, data = opened("token", 16)
    given = itinf.Batch(data.inputs, data.targets.clone(), np.arange(1, 17, dtype=np.uint64))
    given.targets[3, 2:] = itinf.IGNORED
    whole = view(network, trace(network, given), size=8)
    samples = _Samples(whole, 512, 3)
    assert samples.units.shape == (2 * 3, 8)
    for group, units in enumerate(samples.units.view(2, 3, 8).unbind()):
        for one in units:
            clusters = one[one != NO_ROW] // 6
            assert len(set(clusters.tolist())) == len(clusters) and set(clusters.tolist()) <= set(
                range(8 * group, 8 * group + 8)
            )
    taken = samples.units[samples.units != NO_ROW]
    assert len(set(taken.tolist())) == len(taken) == 15 * 3 + 1
    assert int((taken % 6).min()) > 0 and taken[taken // 6 == 3].tolist() == [3 * 6 + 1]
    part = replace(whole, trace=trace(network, itinf.Batch(given.inputs[8:], given.targets[8:], given.keys[8:])),
                   groups=[slice(0, 8)], places=np.arange(8, 16))  # fmt: skip
    assert torch.equal(_Samples(part, 512, 3).units + 8 * 6, samples.units[3:])


def test_likeness_within_a_sequence_would_be_counted_as_similarity():
    """States with nothing in common, each alike within a sequence: sequences of eight in groups of 32."""
    draw = [normal(32, 1, 6, seed=s) + normal(32, 8, 6, seed=s + 10) / 2 for s in (1, 2)]
    known = torch.ones(8, 32, dtype=torch.bool)
    x, y = (centred_kernel(v.transpose(0, 1), known) for v in draw)
    one_each = criterion(x, y, known).sum() / (criterion(x, x, known).sum() * criterion(y, y, known).sum()).sqrt()
    together = unbiased(*(v.flatten(0, 1) for v in draw))
    assert together > float(one_each) + 0.08


@pytest.mark.parametrize("kind", ["image", "token"])
def test_the_batch_changes_nothing(kind):
    network, data = opened(kind)
    one, other = (probed(network, data, probes=[PROBE], untrained=1, batch=size) for size in (8, 32))
    agree(one, other, 1e-7)
    rows = one.table[one.table.measure == "similarity"]
    assert set(rows.null) == {"observed", "pairing", "same-target", "untrained"}
    assert rows[rows.null == "observed"][["mean", "lo", "hi"]].notna().all(axis=None)
    assert set(one.table.measure) == {"similarity", "similarity_effect", "concentration"}
    few = probed(network, data, probes=[itinf.Similarity(units=16 if kind == "image" else 80)]).table
    assert few.n_clusters[few.null == "observed"].max() == 16


@pytest.mark.parametrize("name", ["cifar-resnet20", "gpt2"])
def test_another_basis_changes_no_gauge_fixed_number(name):
    network, _ = shipped(name)
    ids = torch.randint(30, (8, 6), generator=torch.Generator().manual_seed(0))
    given = batch(ids, ids) if name == "gpt2" else batch(normal(8, 3, 32, 32), torch.arange(8))
    probe = itinf.Similarity(nulls=())
    a, b = (measure(view(of, trace(of, given)), [probe]).values for of in (network, regauged(network)))
    for row in (row for row in a if row.form == "gauge-fixed"):
        assert b[row] == pytest.approx(a[row], rel=1e-6, abs=1e-7), row
    changed = max(abs(a[row] - b[row]) for row in a if row.form == "raw")
    assert (changed > 0.01) == (name != "gpt2")


def test_a_group_of_four_is_too_few_and_settings_are_checked():
    network, data = opened("image", 8)
    table = probed(network, data, probes=[PROBE], group=4, calibration=8).table
    assert table["mean"].isna().all() and (table["reason_code"] != "").all()
    for wrong in ({"units": 0}, {"positions": 0}, {"forms": ("centred",)}, {"nulls": ("random-walk",)}):
        with pytest.raises(itinf.ItinfError):
            itinf.Similarity(**wrong)


def similarity(units: int, seed: int) -> tuple[float, float, float]:
    """A similarity with its interval: classes, units of unequal sizes, a part of the unit's own."""
    draw = torch.Generator().manual_seed(seed)
    kinds, label = normal(10, 6, seed=7), torch.randint(10, (units,), generator=draw)
    own, one, two = (torch.randn(units, 6, generator=draw, dtype=torch.float64) for _ in range(3))
    size = torch.exp(0.3 * torch.randn(units, 1, generator=draw, dtype=torch.float64))
    start = (kinds[label] + own + one) * size
    given = path_batch(start, [(kinds[label] + own) * size + two - start])
    given = replace(given, keys=torch.randint(2**62, (units,), generator=draw).numpy().astype(np.uint64))
    network, record = path_network(6, 1), Recorder(group=32)
    seen = trace(network, given, gradients=False)
    itinf.Similarity(forms=("raw",), nulls=()).measure_batch(view(network, seen, Calibration(), readouts={}), record)
    stage = StudySums(Sums(0, 200))
    stage.add(seen.keys, record)
    (estimator,) = [e for row, e in stage.entries.items() if row.measure == "similarity"]
    return estimator.value(stage.sums, stage.histograms, units)


def covered(subsets: int, units: int) -> float:
    """How many intervals of a similarity hold its mean over all subsets."""
    found = np.array([similarity(units, seed) for seed in range(subsets)])
    truth = found[:, 0].mean()
    return float(((found[:, 1] <= truth) & (truth <= found[:, 2])).mean())


def test_24_subsets_cover():
    assert covered(24, 160) >= 0.83


@pytest.mark.simulation
def test_960_subsets_cover_93_to_97_percent():
    """960 independent intervals: the standard error of the share is 0.7 %, allowed for twice."""
    assert 0.93 - 0.014 <= covered(960, 288) <= 0.97 + 0.014

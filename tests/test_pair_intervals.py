"""Intervals of means over pairs and of effects against them: the true spread, by simulation and by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

import itinf
from itinf.results.dyads import stacked
from itinf.results.estimators import PairEfficiency
from itinf.results.recorder import Recorder
from itinf.results.row import Row
from itinf.results.sums import StudySums
from itinf.results.table import table
from itinf.statistics.bootstrap import Sums
from itinf.statistics.nulls import cliques, neighbours

KNOWN = "n|known"
STRUCTURE = {"model": "m", "modality": "image", "blocks": ["b"], "segments": [0], "sizes": [4]}
ROW = Row("alignment", 1, "image")


def keys_of(count):
    return np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)


def tensor(values):
    return torch.from_numpy(np.ascontiguousarray(values))


def recorded(own, group):
    """A recorder with the observed values (N,) of images."""
    record = Recorder(group=group)
    known = torch.ones(len(own), 1, dtype=torch.bool)
    record.count(KNOWN, known)
    record.mean(ROW, tensor(own).unsqueeze(1), known, KNOWN)
    return record


def measured(record, clusters, replicates=400):
    stage = StudySums(Sums(0, replicates), structure=STRUCTURE)
    stage.add(keys_of(clusters), record)
    return stage


def half_widths(stage):
    """Null and effect: estimate, and standard error as the table has it."""
    rows = table({"observed": stage}).set_index(["measure", "null"])
    found = []
    for measure in ("alignment", "alignment_effect"):
        row = rows.loc[measure, "pairing"]
        found += [row["mean"], (row["hi"] - row["mean"]) / stats.t.ppf(0.975, row["n_clusters"] - 1)]
    return found


def one_partner(random, clusters, group, size):
    """Effects of the clusters of this size, as rows (updates) and as columns (gradients); noise of sd 1 everywhere."""
    a, b = size * random.normal(size=(2, clusters))
    partner = neighbours((clusters, 1), group)
    own = a + b + random.normal(size=clusters)
    record = recorded(own, group)
    theirs = a + b[partner] + random.normal(size=clusters)
    record.partners(replace(ROW, null="pairing"), *(tensor(x).unsqueeze(1) for x in (theirs, own)), tensor(partner))
    return half_widths(measured(record, clusters))


def all_pairs(random, clusters, group, size):
    a, b = size * random.normal(size=(2, clusters // group, group))
    own = (a + b + random.normal(size=a.shape)).ravel()
    record = recorded(own, group)
    pairs = a[:, :, None] + b[:, None, :] + random.normal(size=(*a.shape, group))
    others = 1 - torch.eye(group, dtype=torch.float64).expand(len(a), -1, -1)
    record.pairs(replace(ROW, null="pairing"), tensor(pairs) * others, others)
    return half_widths(measured(record, clusters))


def truth(kind, clusters, group, size):
    """Standard deviations of null and effect, worked out by hand: effects of clusters cancel in the difference."""
    pairs = clusters if kind is one_partner else clusters * (group - 1)
    return math.sqrt(2 * size**2 / clusters + 1 / pairs), math.sqrt(1 / clusters + 1 / pairs)


def check_spread(kind, size, repetitions, within):
    random = np.random.default_rng(5)
    found = np.array([kind(random, 256, 32, size) for _ in range(repetitions)])
    for place, true in zip((1, 3), truth(kind, 256, 32, size), strict=True):
        assert found[:, place].mean() == pytest.approx(true, rel=within)
    return found


@pytest.mark.parametrize("size", [0.0, 1.0])
@pytest.mark.parametrize("kind", [one_partner, all_pairs])
def test_nulls_and_effects_report_their_true_spread(kind, size):
    """Twelve studies; before, one partner each was reported 1.41 times too wide, its effect 1.6 times with effects of 1."""
    check_spread(kind, size, 12, 0.08)


@pytest.mark.simulation
@pytest.mark.parametrize("size", [0.0, 1.0])
@pytest.mark.parametrize("kind", [one_partner, all_pairs])
def test_nulls_and_effects_report_their_true_spread_to_5_percent(kind, size):
    """150 studies of 256 clusters: the mean standard error, and the coverage of 95 % intervals (standard error 1.8 %)."""
    found = check_spread(kind, size, 150, 0.05)
    t = stats.t.ppf(0.975, 255)
    for place in (0, 2):
        assert 0.90 <= np.mean(np.abs(found[:, place]) <= t * found[:, place + 1]) <= 0.99


@pytest.mark.simulation
@pytest.mark.parametrize("clusters", [24, 64])
@pytest.mark.parametrize("kind", [one_partner, all_pairs])
def test_few_clusters_are_covered(kind, clusters):
    random = np.random.default_rng(6)
    found = np.array([kind(random, clusters, 8, 1.0) for _ in range(400)])
    t = stats.t.ppf(0.975, clusters - 1)
    for place in (0, 2):  # standard error of the share: 1.1 %
        assert 0.915 <= np.mean(np.abs(found[:, place]) <= t * found[:, place + 1]) <= 0.985


def variance_by_hand(values, owner, partner, counts):
    """Σ T_d T_e over all dyads d, e with a cluster in common, in loops; values are of pairs (cluster, partner's cluster)."""
    mean = values.sum() / counts.sum()
    dyads = {}
    for x, n, i, k in zip(values, counts, owner, partner, strict=True):
        dyads[min(i, k), max(i, k)] = dyads.get((min(i, k), max(i, k)), 0.0) + x - mean * n
    shared = sum(s * t for d, s in dyads.items() for e, t in dyads.items() if set(d) & set(e))
    return shared / counts.sum() ** 2, sum(s**2 for s in dyads.values()) / counts.sum() ** 2


@pytest.mark.parametrize("positions", [1, 3])
def test_what_is_counted_twice_is_worked_out_by_hand(positions):
    """One partner each, some without; two units of one cluster may have partners in one cluster, and each other's."""
    random = np.random.default_rng(7)
    clusters = 12
    values = random.normal(1, 1, size=(clusters, positions))
    cluster = np.concatenate([(c + 1 + random.integers(3, size=positions)) % 4 + c // 4 * 4 for c in range(clusters)])
    cluster = np.where(cluster == np.repeat(np.arange(clusters), positions), -1, cluster)
    partner = np.where(cluster < 0, -1, cluster * positions + random.integers(positions, size=cluster.size))
    record = recorded(random.normal(size=clusters), 4)
    null = replace(ROW, null="pairing")
    record.partners(null, tensor(values), tensor(values), tensor(partner))
    stage = measured(record, clusters, 20_000)
    chosen = partner >= 0
    owner = np.repeat(np.arange(clusters), positions)[chosen]
    true, twice = variance_by_hand(values.ravel()[chosen], owner, cluster[chosen], np.ones(chosen.sum()))
    estimator = stage.entries[null]
    assert estimator.twice(stage.sums) == pytest.approx(twice, rel=1e-6)
    # Poisson weights of 12 clusters: the bootstrap's variance is near, but not equal to, its linear part
    assert estimator.estimate(stage.sums)[1:].var() - twice == pytest.approx(true, rel=0.5)


def test_the_efficiency_of_partners_is_linearised():
    """ΣG / (|ΣG| + ΣK): its derivatives by hand, its dyads in a loop."""
    random = np.random.default_rng(8)
    clusters = 16
    gain, movement = random.normal(0.3, 1, clusters), random.gamma(2, size=clusters)
    partner = neighbours((clusters, 1), 8)
    record = recorded(gain, 8)
    row = replace(ROW, measure="efficiency", statistic="ratio", null="pairing")
    g, k = (tensor(x).unsqueeze(1) for x in (gain, movement))
    record.partners(ROW.__class__("prediction_gain", 1, "image", null="pairing"), g, g, tensor(partner), "count")
    values = {"gain": g, "movement": k, "own_gain": g, "own_movement": k}
    record.per_partner(row, PairEfficiency, values, tensor(partner), n="count|own", pairs="count")
    stage = measured(record, clusters)
    total = abs(gain.sum()) + movement.sum()
    slopes = 1 / total - gain.sum() * np.sign(gain.sum()) / total**2, -gain.sum() / total**2
    each = slopes[0] * gain + slopes[1] * movement  # every dyad of a ring of 8 has one unit
    assert stage.entries[row].twice(stage.sums) == pytest.approx((each**2).sum(), rel=1e-6)


def test_clusters_of_a_smaller_last_group_keep_their_place():
    tables = [torch.arange(9.0).view(3, 3), torch.tensor([[0.0, 5.0], [7.0, 0.0]])]
    record = Recorder(group=3)
    record.count(KNOWN, torch.ones(5, 1, dtype=torch.bool))
    record.pairs(replace(ROW, null="pairing"), stacked(tables), stacked([torch.ones(3, 3), torch.ones(2, 2)]))
    columns = record.take()
    (name,) = [name for name in columns if name.endswith("|sum")]
    # rows plus columns without the diagonal: 1+2+3+6, 3+5+1+7, 6+7+2+5; 5+7 twice
    assert columns[name].tolist() == [12, 16, 20, 12, 12]


def test_frequent_tokens_are_divided_into_cliques():
    """70 units of one token: three cliques of 24, 23 and 23; 40 images of one class: one clique."""
    found = cliques(np.zeros((14, 5), dtype=np.int64), keys_of(14))
    assert sorted((c >= 0).sum(1).tolist() for c in found) == [[24, 23, 23]]
    assert sorted(np.concatenate([c[c >= 0] for c in found]).tolist()) == list(range(70))
    (one,) = cliques(np.zeros((40, 1), dtype=np.int64), keys_of(40))
    assert one.shape == (1, 64) and (one >= 0).sum() == 40
    targets = np.array([[3], [itinf.IGNORED], [3], [5], [itinf.IGNORED], [3]])
    assert [sorted(c.ravel().tolist()) for c in cliques(targets, keys_of(6))] == [[-1, 0, 2, 5]]

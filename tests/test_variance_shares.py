"""Variance shares and carried shares against answers known by construction, pairs by hand, and the naive numbers."""

from __future__ import annotations

import math
import tarfile
from dataclasses import replace
from itertools import pairwise, permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import itinf
from gauges import regauged
from itinf import trace
from itinf.networks.gauge import random_rotation
from itinf.networks.states import segments
from itinf.probes.calibration import Calibration
from itinf.probes.segment_states import Spread
from itinf.results.estimators import Estimator
from itinf.results.recorder import Recorder
from itinf.results.sums import StudySums
from itinf.statistics.bootstrap import Sums
from measured import measure, view
from oracles import normal
from segment_oracles import numbers, path_batch, path_network, walk
from shipped import shipped
from test_study import agree
from tiny import opened, probed, tokens

PROBE = itinf.VarianceShares()
SHARED, SUBSETS = Path(__file__).parents[2] / "shared" / "data", 24
SHARES, CARRIED, SCALED = (
    (name, "raw", "observed") for name in ("variance_share", "carried_share", "carried_share_scaled")
)
KINDS = pytest.mark.parametrize("kind", ["image", "token"])


@pytest.mark.parametrize("name", ["cifar-resnet20", "cifar-preresnet20", "gpt2", "llama"])
def test_the_shares_of_a_segment_add_up_to_1(name):
    network, given = shipped(name)
    seen = trace(network, given)
    found = measure(view(network, seen), [PROBE]).values
    segment = segments(seen)
    for form in ("raw", "gauge-fixed"):
        for null in ("observed", "random-walk"):
            totals = dict.fromkeys(segment, 0.0)
            for row, value in found.items():
                if (row.measure, row.form, row.null) == ("variance_share", form, null):
                    totals[segment[row.state]] += value
            assert list(totals.values()) == pytest.approx([1] * len(totals), rel=1e-12)


def test_what_is_only_carried():
    found = numbers(PROBE, normal(40, 5), [torch.zeros(40, 5, dtype=torch.float64)] * 3)
    assert found[SHARES] == pytest.approx([1, 0, 0, 0], abs=1e-12)
    assert found[CARRIED] == pytest.approx([1, 1, 1], rel=1e-12)
    assert found[SCALED] == pytest.approx([1, 1, 1], rel=1e-12)


def test_growth_alone_is_explained_by_one_number():
    start = normal(64, 5)
    found = numbers(PROBE, start, [start, 2 * start])  # h, 2h, 4h
    assert found[SHARES] == pytest.approx([1 / 4, 1 / 4, 1 / 2])
    assert found[CARRIED] == pytest.approx([1 - 9 / 16, 1 - 4 / 16])
    assert found[SCALED] == pytest.approx([1, 1])


def test_a_random_walk_and_what_the_cosine_says_of_it():
    """Every step writes as much. A mean that all units share, and never changes, makes cosines near 1, and no share else."""
    start, steps = walk(6400, 6, 4)
    found = numbers(PROBE, start, steps)
    assert found[SHARES] == pytest.approx([1 / 5] * 5, abs=0.02)
    assert found["variance_share", "raw", "random-walk"] == pytest.approx([1 / 5] * 5, abs=0.01)
    assert found[CARRIED] == pytest.approx([1 - (4 - k) / 5 for k in range(4)], abs=0.03)
    assert found[SCALED] == pytest.approx([(k + 1) / 5 for k in range(4)], abs=0.03)
    shifted = numbers(PROBE, start + 10, steps)
    for name in (SHARES, CARRIED, SCALED):
        assert shifted[name] == pytest.approx(found[name], abs=1e-10)
    last = start + 10 + sum(steps)
    naive = torch.cosine_similarity(start + 10, last).mean()
    assert naive > 0.97 and torch.cosine_similarity(start, start + sum(steps)).mean() < 0.5
    naive_share = ((start + 10) * last).sum() / last.square().sum()  # of second moments instead of variances
    assert naive_share > 0.95


def test_a_rotation_carries_nothing_and_a_map_recovers_all():
    width, states = 16, [normal(3200, 16)]
    for place in range(3):
        states.append(states[-1] @ random_rotation(width, place))
    found = numbers(PROBE, states[0], [b - a for a, b in pairwise(states)])
    assert max(found[CARRIED]) <= 0 and max(found[SCALED]) < 0.1
    best = torch.linalg.lstsq(states[0], states[-1]).solution  # an affine lens
    assert float((states[0] @ best - states[-1]).abs().max()) < 1e-10


@pytest.mark.parametrize(("clusters", "positions"), [(7, 1), (5, 4), (2, 1)])
def test_products_are_those_of_pairs_of_other_clusters(clusters, positions):
    """½⟨x_i − x_k, y_i − y_k⟩ over all pairs of two clusters, which has no bias; also where units of a cluster are alike."""
    x, y = (normal(clusters, positions, 3, seed=s) + normal(clusters, 1, 3, seed=9) for s in (0, 1))
    spread = Spread(torch.ones(clusters, positions, dtype=torch.bool), [slice(0, clusters)])
    found = spread.product(spread.centred(x), spread.centred(y)).mean()
    pairs = [
        ((x[i, s] - x[k, t]) @ (y[i, s] - y[k, t])) / 2
        for i, k in permutations(range(clusters), 2)
        for s in range(positions)
        for t in range(positions)
    ]
    assert float(found) == pytest.approx(float(torch.stack(pairs).mean()))
    if positions == 1:
        each = [np.cov(x[:, 0, c], y[:, 0, c])[0, 1] for c in range(3)]
        assert float(found) == pytest.approx(sum(each))


def test_a_cluster_alone_in_its_group_counts_nowhere():
    spread = Spread(torch.ones(5, 1, dtype=torch.bool), [slice(0, 4), slice(4, 5)])
    assert spread.known[:, 0].tolist() == [True] * 4 + [False]
    assert float(spread.centred(normal(5, 1, 3))[4].abs().sum()) == 0
    start, steps = walk(33, 4, 2)
    whole, fewer = numbers(PROBE, start, steps), numbers(PROBE, start[:32], [step[:32] for step in steps])
    assert whole[SHARES] == pytest.approx(fewer[SHARES])


@KINDS
def test_the_batch_changes_nothing_and_copies_are_untrained(kind):
    network, data = opened(kind)
    one, other = (
        probed(network, data, probes=[PROBE, itinf.EstimationError()], untrained=1, batch=size) for size in (8, 32)
    )
    agree(one, other, 1e-9)
    rows = one.table
    assert set(rows.null) == {"observed", "random-walk", "order-shuffled", "untrained"}
    chosen = rows[rows.measure == "variance_share"]
    assert chosen[["mean", "lo", "hi", "band_lo"]][chosen.null == "observed"].notna().all(axis=None)
    effects = rows[rows.measure == "variance_share_effect"]
    assert len(effects) and effects[["mean", "lo", "hi"]].notna().all(axis=None)
    assert chosen.n_units.max() == (24 if kind == "image" else 24 * 5)


@pytest.mark.parametrize("name", ["cifar-resnet20", "gpt2", "llama"])
def test_another_basis_changes_no_gauge_fixed_number(name):
    network, given = shipped(name)
    probes = [PROBE, itinf.EstimationError()]
    a, b = (measure(view(of, trace(of, given)), probes).values for of in (network, regauged(network)))
    fixed = [row for row in a if row.form == "gauge-fixed"]
    assert {row.measure for row in fixed} >= {SHARES[0], "error_over_walk", "straightness"}
    for row in fixed:
        assert b[row] == pytest.approx(a[row], rel=1e-6, abs=1e-9), row
    raw = [row for row in a if row.form == "raw"]
    changed = max(abs(a[row] - b[row]) for row in raw)
    assert changed > 0.01 if name == "cifar-resnet20" else changed < 1e-6


def test_networks_without_skips_have_a_reason():
    network, given = shipped("cifar-plain20")
    items = [(x, int(y)) for x, y in zip(given.inputs, given.targets, strict=True)] * 4
    run = itinf.probe(network, items, [PROBE, itinf.EstimationError()], replicates=4)
    assert set(run.table.reason_code) == {"no_skip_carries"} and run.table["mean"].isna().all()


def test_a_state_alone_in_its_segment_has_a_reason():
    network, data = opened("image", 16)
    seen = trace(network, itinf.Batch(data.inputs, data.targets, np.arange(1, 17, dtype=np.uint64)))
    one = replace(view(network, seen), trace=replace(seen, states=seen.states[2:4], before=[0], after=[1]))
    record = Recorder()
    PROBE.measure_batch(one, record)
    itinf.EstimationError().measure_batch(one, record)
    assert not record.entries and {why.code for why in record.missing.values()} == {"alone"}
    assert {(row.measure, row.state) for row in record.missing if row.form == "raw"} >= {
        ("variance_share", 0), ("variance_share", 1), ("error_over_walk", 0), ("straightness", 1),
    }  # fmt: skip


def test_the_first_position_of_a_sequence_is_left_out():
    network, data = opened("token", 16)
    usual = probed(network, data, probes=[PROBE]).table["mean"]
    with torch.no_grad():
        network.model.transformer.wpe.weight[0] *= 300  # a huge state at the first position
    data = tokens(16)
    seen = trace(network, itinf.Batch(data.inputs, data.targets, np.arange(16, dtype=np.uint64)), gradients=False)
    assert float(seen.states[0][:, 0].norm(dim=1).min()) > 10 * float(seen.states[0][:, 1:].norm(dim=2).max())
    assert (probed(network, data, probes=[PROBE]).table["mean"] - usual).abs().max() < 0.5


@pytest.mark.parametrize("probe", [itinf.VarianceShares, itinf.EstimationError])
def test_an_unknown_form_is_named(probe):
    with pytest.raises(itinf.ItinfError, match="no 'scaled' among the forms"):
        probe(forms=("scaled",))


def shares(units: int, seed: int, clusters_seed: int) -> list[tuple[float, float, float]]:
    """Variance shares with intervals: units of classes, of unequal sizes, whose steps depend on each other."""
    draw = torch.Generator().manual_seed(seed)
    kinds = normal(10, 12, seed=clusters_seed)

    def step(like: Tensor | None = None) -> Tensor:
        own = torch.randn(units, 6, generator=draw, dtype=torch.float64) * size
        return own if like is None else own + 0.5 * like

    label = torch.randint(10, (units,), generator=draw)
    size = torch.exp(0.5 * torch.randn(units, 1, generator=draw, dtype=torch.float64))
    start = step() + 3
    first = step(start) + kinds[label, :6]
    steps = [first, step(first) + 1, step() + 2 * kinds[label, 6:]]
    network = path_network(6, 3)
    given = path_batch(start, steps)
    given = replace(given, keys=torch.randint(2**62, (units,), generator=draw).numpy().astype(np.uint64))
    record = Recorder(group=32)
    seen = trace(network, given, gradients=False)
    PROBE.measure_batch(view(network, seen, Calibration(), readouts={}), record)
    stage = StudySums(Sums(0, 300))
    stage.add(seen.keys, record)
    rows: dict[int, Estimator] = {
        row.state: e for row, e in record.entries.items() if (row.measure, row.form, row.null) == SHARES
    }
    return [rows[state].value(stage.sums, stage.histograms, units) for state in sorted(rows)]


def covered(subsets: int, units: int) -> float:
    """How many intervals of variance shares hold the mean over all subsets."""
    found = np.array([shares(units, seed, 7) for seed in range(subsets)])
    truth = found[:, :, 0].mean(0)
    return float(((found[:, :, 1] <= truth) & (truth <= found[:, :, 2])).mean())


def test_24_subsets_cover():
    assert 0.88 <= covered(24, 288) <= 1


@pytest.mark.simulation
def test_24_subsets_of_40_populations_cover_93_to_97_percent():
    """4 × 960 intervals that depend on each other: the standard error of a share is about 0.7 %, allowed for twice."""
    assert 0.93 - 0.014 <= covered(40 * 24, 288) <= 0.97 + 0.014


@pytest.mark.simulation
@pytest.mark.skipif(
    not (SHARED / "resnet20-cifar10-idelbayev.safetensors").exists(), reason="needs ResNet-20 and photographs"
)
def test_24_subsets_of_photographs_cover(tmp_path):
    """ResNet-20 on 24 disjoint subsets of 128 photographs each, against all of them; rows of all states together."""
    with tarfile.open(SHARED / "cifar10-jpeg.tar.gz") as archive:
        archive.extractall(tmp_path, [m for m in archive if m.name.startswith("test/")], filter="data")
    network = itinf.network("cifar-resnet20", weights=str(SHARED / "resnet20-cifar10-idelbayev.safetensors"))
    data = itinf.dataset(f"images:{tmp_path}", network)
    settings = {"units": 128 * SUBSETS, "batch": 128, "replicates": 200, "calibration": 128}
    settings["probes"] = [PROBE, itinf.EstimationError()]
    runs = [itinf.probe(network, data, shard=(place, SUBSETS), **settings) for place in range(SUBSETS)]
    whole = itinf.merge(runs).table
    held = np.array([(run.table.lo <= whole["mean"]) & (whole["mean"] <= run.table.hi) for run in runs])
    wide = np.min([run.table.hi - run.table.lo for run in runs], axis=0) > 1e-9  # not what is 1 by definition
    rows = {name: wide & (whole.measure == name).to_numpy() for name in (SHARES[0], "carried_share", "error_over_walk")}
    shown = {name: held[:, chosen].mean() for name, chosen in rows.items()}
    assert all(0.92 <= share <= 0.985 for share in shown.values()), shown


def test_by_hand_on_one_group():
    """tr Cov(D, h_K) / tr Var(h_K), with numpy's covariances."""
    start, steps = normal(20, 4), [normal(20, 4, seed=s) for s in (1, 2)]
    states = [start, start + steps[0], start + steps[0] + steps[1]]
    found = numbers(PROBE, start, steps)

    def cov(a: Tensor, b: Tensor) -> float:
        return sum(float(np.cov(a[:, c], b[:, c])[0, 1]) for c in range(4))

    end = cov(states[-1], states[-1])
    expected = [cov(part, states[-1]) / end for part in (start, *steps)]
    assert found[SHARES] == pytest.approx(expected)
    assert found[CARRIED] == pytest.approx([1 - cov(states[-1] - s, states[-1] - s) / end for s in states[:-1]])
    scaled = [cov(s, states[-1]) ** 2 / (cov(s, s) * end) for s in states[:-1]]
    assert found[SCALED] == pytest.approx(scaled)
    assert all(a >= b - 1e-12 for a, b in zip(scaled, found[CARRIED], strict=True)) and not math.isnan(scaled[0])
    alone = [cov(part, part) for part in (start, *steps)]
    assert found["variance_share", "raw", "random-walk"] == pytest.approx([x / sum(alone) for x in alone])

"""Persistence in a study: its sample, batches, untrained networks, lenses, and what selectivity can tell."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

import itinf
import oracles
from itinf import trace
from itinf.probes.sample import sample
from itinf.results.ratios import PartnerExcess
from itinf.results.recorder import Recorder
from itinf.results.row import Row
from itinf.results.sums import StudySums
from itinf.statistics.bootstrap import Sums, poisson_weights
from itinf.statistics.nulls import neighbours
from oracles import normal
from persistence_oracles import Believing, Reading
from test_lens_steps import lens_of
from test_study import agree
from tiny import SETTINGS, Items, opened, probed

PROBE = itinf.Persistence(one_in=2, finite_one_in=2)
KINDS = pytest.mark.parametrize("kind", ["image", "token"])


@KINDS
def test_the_batch_changes_nothing(kind):
    network, data = opened(kind)
    one, other = (probed(network, data, probes=[PROBE], untrained=1, batch=size) for size in (8, 32))
    agree(one, other, 1e-3)
    rows = one.table
    assert 4 <= rows.n_units.max() < 24
    assert set(rows.null) == {"observed", "pairing", "untrained"}
    untrained = set(rows[rows.null == "untrained"].measure)
    assert {"persistence", "kept", "selectivity", "finite_same_sign"} <= untrained
    pair = {"measure": "persistence", "target": "label", "form": "", "statistic": "ratio"}
    gap = one.difference(pair | {"state_index": one.table.state_index.max()}, pair | {"state": rows.state.iloc[0]})
    assert np.isfinite(gap.mean)


def test_a_lens_of_the_trained_network_is_left_out_of_the_untrained():
    network, data = opened("token")
    seen = trace(network, oracles.batch(data.inputs[:2], data.targets[:2]))
    lens = lens_of(network, seen)
    run = probed(network, data, probes=[itinf.Persistence(one_in=1, lens=lens)], untrained=1)
    rows = run.table
    assert set(rows[rows.null == "untrained"].measure) == set()
    assert set(rows.lens) == {"affine"} and rows[rows.null == "observed"]["mean"].notna().any()
    assert PROBE.without_lens() is None and itinf.Persistence().description == (
        "Persistence(nulls=('pairing',), one_in=None, finite_one_in=8)"
    )
    missing = itinf.Persistence(lens=lens).missing_rows(network)
    assert {(row.state, row.target) for row in missing} == {
        (s, t) for s in range(3) for t in ("label", "wrong", "random")
    }


@pytest.mark.parametrize("wrong", [{"one_in": 0}, {"finite_one_in": 0}, {"one_in": 1.5}])
def test_a_share_is_one_in_a_whole_number(wrong):
    with pytest.raises(itinf.ItinfError, match=next(iter(wrong))):
        itinf.Persistence(**wrong)


def test_the_sample_is_even_and_knows_nothing_of_the_bootstraps_weights():
    network = oracles.noise(width=4, blocks=1)
    n = 6000
    labels = torch.arange(n) % 4
    seen = trace(network, oracles.batch(normal(n, 4, 1, 1), labels), gradients=False)
    found = sample(seen, 0, 4, 3, 2)
    assert abs(len(found) / n - 1 / 3) < 4 * (2 / 9 / n) ** 0.5
    assert abs(float(found.again.double().mean()) - 1 / 2) < 4 * (1 / 4 / len(found)) ** 0.5
    shift = (found.random - found.labels) % 4  # 1, 2 or 3, each as often
    assert 0 not in shift and np.abs(np.bincount(shift, minlength=4)[1:] / len(found) - 1 / 3).max() < 0.05
    weights = poisson_weights(seen.keys, 0, 16)
    assert abs(weights[found.clusters.numpy()].mean() - weights.mean()) < 5 * (1 / 16 / len(found)) ** 0.5
    again = sample(trace(network, oracles.part_of(oracles.batch(normal(n, 4, 1, 1), labels), 50, 90)), 0, 4, 3, 2)
    here = (found.clusters >= 50) & (found.clusters < 90)
    assert (found.clusters[here] - 50).tolist() == again.clusters.tolist()
    assert found.random[here].tolist() == again.random.tolist()
    assert sample(seen, 1, 4, 3, 2).clusters.tolist() != found.clusters.tolist()


def test_a_position_that_has_a_target_is_drawn_evenly():
    network, data = opened("token", 600)
    targets = data.targets.clone()
    targets[:, 2] = itinf.IGNORED
    seen = trace(network, oracles.batch(data.inputs, targets), gradients=False)
    found = sample(seen, 0, 61, 1, 8)
    counts = np.bincount(found.positions, minlength=6)
    assert counts[2] == 0 and len(found) == 600
    assert np.abs(np.delete(counts, 2) / 600 - 1 / 5).max() < 4 * (4 / 25 / 600) ** 0.5
    assert (found.labels == targets[found.clusters, found.positions]).all()


def selectivity(block: Believing, inputs: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    """Measure -> number, at the state before two such blocks."""
    network = oracles.opened(oracles.Chain([block, copy.deepcopy(block)], Reading()))
    data = Items("image", inputs[:, :, None, None], labels)
    table = probed(network, data, probes=[itinf.Persistence(one_in=1)], batch=64, **(SETTINGS | {"group": 32})).table
    rows = table[(table.state_index == 0) & (table.statistic == "ratio") & (table.form == "")]
    kept = rows[(rows.measure == "kept") & (rows.null == "observed")].set_index("target")["mean"]
    own = rows[rows.measure == "selectivity"].iloc[0]
    effect = rows[rows.measure == "kept_effect"].iloc[0]
    assert (effect["mean"], effect.lo, effect.hi) == pytest.approx((-own["mean"], -own.hi, -own.lo))
    return {"selectivity": own["mean"], "lo": own.lo, "hi": own.hi} | kept.to_dict()


def test_selectivity_tells_a_network_that_takes_its_own_errors_back():
    inputs, labels = normal(320, 10).float(), torch.arange(320) % 10
    correcting = selectivity(Believing(own=0.5), inputs, labels)
    assert correcting["lo"] > 0.2 and correcting["wrong"] < correcting["random"] - 0.2
    carrying = selectivity(Believing(), inputs, labels)
    assert carrying["selectivity"] == pytest.approx(0, abs=1e-6)


def test_selectivity_is_not_taken_in_by_frequency():
    """Classes 5 to 9 are believed often, and kept less than those that are believed by nobody."""
    inputs, labels = normal(320, 10).float(), torch.arange(320) % 5
    inputs[:, 5:] += 6
    found = selectivity(Believing(kept={5: 0.3, 6: 0.5, 7: 0.5, 8: 0.6, 9: 0.7}), inputs, labels)
    assert found["random"] - found["wrong"] > 0.2
    assert found["lo"] < 0 < found["hi"] and found["hi"] - found["lo"] < 0.2


def test_the_interval_of_selectivity_is_as_wide_as_its_spread():
    """Effects of units and of their partners' classes, and noise of either; nothing of the own belief."""
    draw, clusters, group = torch.Generator().manual_seed(0), 96, 32
    values, halves = [], []
    for repeat in range(150):
        unit, theirs, own = (0.3 * torch.randn(clusters, generator=draw, dtype=torch.float64) for _ in range(3))
        partner = torch.from_numpy(neighbours((clusters, 1), group))
        size = 0.5 + torch.rand(clusters, generator=draw, dtype=torch.float64)
        record = Recorder(group=group)
        known = torch.ones(clusters, 1, dtype=torch.bool)
        count = record.count("n", known)
        sums = {
            "above": size * (1 + unit + theirs),
            "below": size,
            "own_above": size * (1 + unit + own),
            "own_below": size,
        }
        roles = {role: record.dyads(role, record.of_partners(x[:, None], partner)) for role, x in sums.items()}
        row = Row("selectivity", 0, "image", "ratio", state=0)
        record.add(row, PartnerExcess, {}, {}, n=count, **roles)
        stage = StudySums(Sums(repeat, 100))
        stage.add(np.arange(clusters, dtype=np.uint64) + 1000 * repeat, record)
        mean, lo, hi = record.entries[row].value(stage.sums, stage.histograms, clusters)
        values.append(mean)
        halves.append((hi - lo) / 2)
    covered = np.mean(np.abs(values) < halves)
    assert 0.89 < covered < 0.99
    assert np.mean(halves) / 1.98 == pytest.approx(np.std(values), rel=0.2)


def test_two_shares_are_two_ways_of_measuring():
    network, data = opened("token", 16)
    with pytest.raises(itinf.ItinfError, match="not in one way"):
        probed(network, data, probes=[itinf.Persistence(one_in=1), itinf.Persistence(one_in=2)])


def test_through_a_lens_states_of_other_widths_persist_and_cannot_be_carried():
    network, data = opened("image", 16)
    lens = lens_of(network, trace(network, oracles.batch(data.inputs[:2], data.targets[:2])))
    table = probed(network, data, probes=[itinf.Persistence(one_in=1, lens=lens)]).table
    rows = table[(table.target == "label") & (table.statistic == "ratio") & (table.form == "")]
    persists, carried = (
        rows[rows.measure == m].set_index("state_index").sort_index() for m in ("persistence", "carried_alone")
    )
    assert persists["mean"].notna().all() and set(persists.index) == set(range(7))
    assert (carried.reason_code[:5] == "other_shape").all() and carried["mean"][5:].notna().all()
    assert (rows[rows.measure == "kept"].set_index("state_index").sort_index().reason_code[:5] == "other_shape").all()


def test_a_whole_nat_does_what_a_small_nudge_does_in_a_trained_network():
    network = itinf.network("resnet-isotropic", weights="specimen")
    probe = itinf.Persistence(one_in=1, finite_one_in=2)
    table = itinf.probe(network, itinf.dataset("glyphs", network), [probe], units=32, replicates=4).table
    rows = table[(table.target == "label") & (table.null == "observed") & (table.state_index > 3)]
    assert (rows[rows.measure == "finite_same_sign"]["mean"] > 0.8).all()
    ratios = rows[(rows.measure == "persistence") & (rows.statistic == "ratio")]
    small, whole = (ratios[ratios.form == form].set_index("state_index")["mean"] for form in ("", "finite"))
    assert len(small) == 7 and (small - whole).abs().max() < 0.3

"""Iterative depth end to end, on networks whose onset is known by construction."""

from dataclasses import replace

import numpy as np
import pytest

import itinf
from itinf.lenses.translator import Translator
from itinf.results.onset import curves_of
from lens_oracles import CLASSES, carrying, descending, evidence, gathering, labelled, starts, turning
from oracles import normal
from persistence_oracles import carrying as bridged

COUNT, SETTINGS = 800, {"replicates": 100, "group": 16, "calibration": 16, "batch": 400}


def made(network, fitted, read):
    """The comparison of one network with its transfer."""
    lens = itinf.fit(network, fitted, batch=400)
    probes = [itinf.Persistence(one_in=1), itinf.Prediction(nulls=("pairing",))]
    run = itinf.probe(network, read, probes, **SETTINGS)
    moved = itinf.transfer(network, lens, read, precision=0.0, **{k: SETTINGS[k] for k in ("replicates", "batch")})
    return itinf.compare([run], [moved])


def items(network, seed, width):
    return labelled(network, normal(COUNT, width, seed=seed), seed)


def oracle(name):
    if name == "gathering":
        return gathering(), *(evidence(COUNT, 3, seed) for seed in (1, 2))
    if name == "descending":
        network = descending(step=0.1)
        return network, *(labelled(network, starts(COUNT, 6, seed), seed) for seed in (1, 2))
    network = {"carrying": carrying, "turning": turning}[name]()
    width = network.model.head.in_features
    return network, *(items(network, seed, width) for seed in (1, 2))


@pytest.mark.parametrize(("name", "depth", "limit"), [
    ("gathering", 1.0, ""),  # evidence adds up in one code: every state is read, carried to the end, and improved
    ("descending", 0.8, "state 0: one lens retains "),  # its start knows nothing of the goal; a step leaves .9 of a nudge
    ("carrying", 0.0, "no step gains"),  # one code, carried along, and no step says anything new
    ("turning", 0.0, "state "),  # another code at every state; what is read by the readout is chance
])  # fmt: skip
def test_depth_by_construction(name, depth, limit):
    both = made(*oracle(name))
    rows = both.summaries[
        (both.summaries["form"] == "1/2") & both.summaries["measure"].isin(["iterative_depth", "onset"])
    ]
    rows = rows.set_index("measure")
    assert rows.loc["iterative_depth", "mean"] == pytest.approx(depth)
    assert rows.loc["iterative_depth", "hi"] - rows.loc["iterative_depth", "lo"] <= 1 / 3
    assert rows["limit"].eq(rows["limit"].iloc[0]).all() and rows["limit"].iloc[0].startswith(limit)
    blocks = len(both.runs[0].stages["observed"].structure["blocks"])
    onset = rows.loc["onset", "mean"]
    assert np.isnan(onset) if depth == 0 else onset == pytest.approx((1 - depth) * blocks)


def test_bits_before_and_after_are_what_own_lenses_tell():
    both = made(*oracle("gathering"))
    bits = both.summaries[both.summaries["form"] == "1/2"].set_index("measure")["mean"]
    own = both.table[(both.table["measure"] == "readable") & (both.table["target"] == "label")
                     & (both.table["fitted_at"] == both.table["state_index"])].set_index("state_index")["mean"]  # fmt: skip
    assert bits["bits_at_onset"] == pytest.approx(own[0]) and 0 < own[0] < np.log2(CLASSES)
    assert bits["bits_after_onset"] == pytest.approx(own[3] - own[0])


def test_bridges_are_no_blocks():
    """Between the blocks of this network stand steps of its own: 3 blocks, 6 states, of which h_0 … h_3 are four."""
    network = bridged()
    both = made(network, *(labelled(network, normal(COUNT, 6, seed=seed), seed) for seed in (1, 2)))
    structure = both.runs[0].stages["observed"].structure
    assert structure["path"] == [0, 1, 3, 5] and len(structure["states"]) == 6
    rows = both.summaries[(both.summaries["measure"] == "iterative_depth") & (both.summaries["form"] == "1/2")]
    assert set(rows["cells"]) == {4} and set(rows["mean"]) == {0.0} and set(rows["limit"]) == {"no step gains"}


def test_untrained_copies_have_one_too():
    network, fitted, read = oracle("gathering")
    both = made(network, fitted, read)
    run, moved = both.runs[0], both.transfers[0]
    run.stages["untrained:0"] = run.stages["observed"]
    rows = itinf.compare([run], [moved, moved.as_null("untrained", 0)]).summaries
    depths = rows[(rows["measure"] == "iterative_depth") & (rows["form"] == "1/2")].set_index("null")
    assert list(depths.index) == ["observed", "untrained"] and list(depths["mean"]) == [1.0, 1.0]
    assert depths.loc["untrained", "null_seed"] == 0


def test_curves_of_other_lengths_are_cut_to_the_shortest():
    network, fitted, read = oracle("gathering")
    both = made(network, fitted, read)
    run, moved = both.runs[0], both.transfers[0]
    stage = run.stages["observed"]
    few = moved.replicates[moved.replicates["replicate"] <= 20]
    found = curves_of(stage, moved.table, few, moved.manifest["clusters"])
    assert {curve.shape[1] for curve in (found.in_code, found.used, found.gains)} == {21}
    assert set(found.onset()) == {0}
    assert curves_of(stage, moved.table[moved.table["lens"] != "shared, left out"], few, 800) is None


def test_through_a_lens_persistence_is_beside_that_of_the_last_state():
    """A lens with twice the logits: every nudge of 1 nat of its reading is half a nat of the network's own."""
    network, fitted, read = oracle("gathering")
    lens = itinf.fit(network, fitted, "logit", batch=400)
    steep = [Translator.of(2 * t.matrix.double(), t.bias.detach().double()) for t in lens.translators]
    steep_lens = replace(lens, kind="shared", translators=steep)
    probes = [itinf.Persistence(one_in=1, lens=steep_lens), itinf.Prediction(nulls=("pairing",), lens=steep_lens)]
    run, moved = itinf.probe(network, read, probes, **SETTINGS), made(network, fitted, read).transfers[0]
    rows = run.table[(run.table["measure"] == "persistence") & (run.table["statistic"] == "ratio")
                     & (run.table["target"] == "label") & (run.table["form"] == "")]  # fmt: skip
    assert rows.loc[rows["null"] == "observed", "mean"].to_numpy() == pytest.approx([0.5] * 4)
    found = curves_of(run.stages["observed"], moved.table, moved.replicates, moved.manifest["clusters"])
    assert found.through == "shared" and found.used == pytest.approx(np.ones_like(found.used))
    assert set(found.onset()) == {0}


def test_without_a_transfer_or_nudges_there_is_none():
    both = made(*oracle("gathering"))
    assert itinf.compare(both.runs).summaries.empty
    network, _, read = oracle("gathering")
    run = itinf.probe(network, read, [itinf.Prediction(nulls=("pairing",))], **SETTINGS)
    assert not itinf.compare([run], both.transfers).summaries["measure"].eq("iterative_depth").any()

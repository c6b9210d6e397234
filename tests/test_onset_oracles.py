"""Iterative depth end to end, on networks whose onset is known by construction."""

import numpy as np
import pytest

import itinf
from itinf.results.onset import CONDITIONS, curves_of
from lens_oracles import CLASSES, carrying, descending, evidence, gathering, labelled, starts, turning
from oracles import normal

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


@pytest.mark.parametrize(("name", "depth", "failing"), [
    ("gathering", 1.0, set()),  # evidence adds up in one code: every state is read, carried to the end, and improved
    ("descending", 0.8, {"in the code"}),  # its start knows nothing of the goal; a step leaves .9 of a nudge
    ("carrying", 0.0, set()),  # one code, carried along, and no step says anything new
    ("turning", 0.0, {"in the code", "used"}),  # another code at every state; what is read by the readout is chance
])  # fmt: skip
def test_depth_by_construction(name, depth, failing):
    both = made(*oracle(name))
    rows = both.summaries[
        (both.summaries["form"] == "1/2") & both.summaries["measure"].isin(["iterative_depth", "onset"])
    ]
    rows = rows.set_index("measure")
    assert rows.loc["iterative_depth", "mean"] == pytest.approx(depth)
    assert rows.loc["iterative_depth", "lo"] <= depth <= rows.loc["iterative_depth", "hi"]
    curves = curves_of(both.runs[0].stages["observed"], both.transfers[0].replicates)
    holding = curves.holding(1 / 2)
    early = slice(0, 1) if name == "descending" else slice(0, -1)
    fails = {condition for condition in CONDITIONS if not holding[condition][early, 0].any()}
    assert failing <= fails
    if depth == 0:
        assert np.isnan(rows.loc["onset", "mean"])
    else:
        assert rows.loc["onset", "mean"] == pytest.approx((1 - depth) * len(curves.improves))


def test_bits_before_and_after_are_what_own_lenses_tell():
    both = made(*oracle("gathering"))
    bits = both.summaries[both.summaries["form"] == "1/2"].set_index("measure")["mean"]
    own = both.table[(both.table["measure"] == "readable") & (both.table["target"] == "label")
                     & (both.table["fitted_at"] == both.table["state_index"])].set_index("state_index")["mean"]  # fmt: skip
    assert bits["bits_at_onset"] == pytest.approx(own[0]) and 0 < own[0] < np.log2(CLASSES)
    assert bits["bits_after_onset"] == pytest.approx(own[3] - own[0])


def test_without_a_transfer_or_nudges_there_is_none():
    both = made(*oracle("gathering"))
    assert itinf.compare(both.runs).summaries.empty
    network, _, read = oracle("gathering")
    run = itinf.probe(network, read, [itinf.Prediction(nulls=("pairing",))], **SETTINGS)
    assert not itinf.compare([run], both.transfers).summaries["measure"].eq("iterative_depth").any()

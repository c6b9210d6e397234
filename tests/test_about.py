"""The manifest says of a network what a reader wants to know and no number depends on."""

import json

import pytest

import itinf
from itinf.results.manifest import MANIFEST
from tiny import SETTINGS, gpt2, images, resnet, tokens


def about(network, data, out=None):
    return itinf.probe(network, data, [itinf.Performance()], out=out, **SETTINGS).manifest["about"]


def test_size_shapes_and_outputs_of_a_resnet(tmp_path):
    found = about(resnet(), images(16), tmp_path / "r")
    assert found["shapes"] == [[16, 8, 8]] * 3 + [[32, 4, 4]] * 2 + [[64, 2, 2]] * 2  # h_0 … h_6 of an 8 × 8 image
    assert found["widths"] == [16] * 3 + [32] * 2 + [64] * 2
    assert found["outputs"] == 10 and found["scores"] == {} and found["family"] == "CifarResNet"
    convolutions = 3 * 16 + 2 * (16 * 16 * 2) + 16 * 32 + 3 * 32 * 32 + 32 * 64 + 3 * 64 * 64
    norms = 2 * (16 * 5 + 32 * 4 + 64 * 4)
    assert found["parameters"] == 9 * convolutions + norms + 64 * 10 + 10
    assert json.loads((tmp_path / "r" / MANIFEST).read_text())["about"] == found
    assert itinf.ProbeResult.load(tmp_path / "r").manifest["about"] == found


def test_a_token_has_one_vector_as_state():
    found = about(gpt2(), tokens(16))
    assert found["shapes"] == [[32]] * 3 and found["widths"] == [32] * 3 and found["outputs"] == 61


def test_a_block_that_is_applied_several_times_is_counted_once():
    two, three = (about(itinf.network("cifar-isotropic", blocks=n, share=True), images(16)) for n in (2, 3))
    assert three["parameters"] - two["parameters"] == 2 * 2 * 32, "each application has two BatchNorms of its own"


@pytest.mark.parametrize(("name", "score"), [("resnet", 0.9975), ("iterative-gpt2", 1.4158)])
def test_a_specimen_brings_the_scores_of_its_card(name, score):
    assert next(iter(itinf.network(name, weights="specimen").scores.values())) == score
    assert itinf.network(name, weights="random:0").scores == {}

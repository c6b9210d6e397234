"""A right description passes, and every kind of wrong one is found and named."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

import itinf
from itinf.networks.check import sample_batch
from itinf.networks.gauge import random_change
from shipped import NAMES, shipped
from tiny import tokens


def failures(network, batch=None):
    return [f for f in itinf.check(network, batch).findings if f.status == "failed"]


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_network_is_described_rightly(name):
    network, batch = shipped(name)
    report = itinf.check(network, batch)
    assert report.ok, report
    gauges = [f for f in report.findings if f.subject.startswith("gauge")]
    assert gauges and all(f.status == "ok" for f in gauges), "each declared gauge is really tried"
    assert all(block.name in repr(report) for block in network.blocks)


def test_a_batch_is_made_up_through_prepare():
    network = itinf.network("cifar-resnet8")
    assert itinf.check(network).ok and len(sample_batch(network)) == 2
    with pytest.raises(itinf.ItinfError, match="no prepare"):
        itinf.check(dataclasses.replace(network, prepare=None))


def test_channel_scale_declared_for_a_layernorm_network_fails():
    network, batch = shipped("gpt2")
    (fault,) = failures(dataclasses.replace(network, gauge="channel-scale", regauge=None), batch)
    assert "channel-scale" in fault.subject and "ln_1" in fault.detail


def test_a_gauge_that_is_none_fails():
    """All rotations are declared; LayerNorm allows only those that fix the all-ones vector."""
    network, batch = shipped("gpt2")
    (fault,) = failures(dataclasses.replace(network, gauge="orthogonal"), batch)
    assert "is not the changed one" in fault.detail


def test_a_regauge_that_forgets_a_layer_fails():
    network, batch = shipped("cifar-resnet20")
    real = network.regauge

    def forgetful(model, states, change):
        head = copy.deepcopy(model.linear.state_dict())
        real(model, states, change)
        model.linear.load_state_dict(head)

    faults = failures(dataclasses.replace(network, regauge=forgetful), batch)
    assert len(faults) == 3, "option A's skips carry a scale through all stages"
    assert all("logits differ" in f.detail for f in faults)
    idle = dataclasses.replace(network, regauge=lambda *_: None)
    assert all("is not the changed one" in f.detail for f in failures(idle, batch))
    untested = itinf.check(dataclasses.replace(network, regauge=None), batch)
    assert untested.ok and "a regauge would show it" in repr(untested), "option A's skips change the shape"


def test_the_wrong_branch_is_named_with_its_block():
    network, batch = shipped("cifar-resnet20")
    blocks = [itinf.Block(b.name, branch="bn1" if n == 4 else "bn2") for n, b in enumerate(network.blocks)]
    (fault,) = failures(dataclasses.replace(network, blocks=blocks), batch)
    assert network.blocks[4].name in fault.subject and "differ by" in fault.detail


def test_parts_that_do_not_add_up_are_named():
    network, batch = shipped("gpt2")
    blocks = [itinf.Block(b.name, parts={"attention": "attn"}) for b in network.blocks]
    faults = failures(dataclasses.replace(network, blocks=blocks), batch)
    assert len(faults) == len(blocks) and blocks[0].name in faults[0].subject


def test_a_readout_that_is_not_the_models_fails():
    network, batch = shipped("gpt2")
    wrong = dataclasses.replace(network, neck=None)
    fault = failures(wrong, batch)[0]
    assert "logits" in fault.subject and "difference" in fault.detail
    assert fault.detail.endswith("After the last block run: transformer.ln_f, lm_head")
    with pytest.raises(itinf.ItinfError, match=r"readout\(h_L\) equals.*After the last block run"):
        itinf.fit(wrong, tokens(12))


def test_unit_and_targets_that_disagree_are_one_finding():
    network, batch = shipped("gpt2")
    short = dataclasses.replace(batch, targets=batch.targets[:, :-1])
    (fault,) = failures(network, short)
    assert "predictions" in fault.detail and "targets" in fault.detail


def test_a_state_that_no_gradient_reaches_is_found():
    class Cut(nn.Module):
        def forward(self, x):
            return x.detach() * 2

    model = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), Cut(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    network = itinf.Network(
        model, [itinf.Block("1"), itinf.Block("2")], "n c h w", model[5], pool=lambda h: h.mean((2, 3))
    )
    batch = itinf.Batch(torch.randn(2, 3, 4, 4), torch.tensor([0, 1]), np.arange(2, dtype=np.uint64))
    (fault,) = failures(network, batch)
    assert "no gradient reaches any state" in fault.detail


def test_random_changes_are_members_of_their_gauge():
    scale = random_change("channel-scale", 50)
    assert scale.shape == (50,) and (scale > 0.5).all() and (scale < 2).all()
    for gauge in ("orthogonal", "orthogonal-layernorm"):
        turn = random_change(gauge, 7)
        torch.testing.assert_close(turn @ turn.T, torch.eye(7, dtype=torch.float64))
        ones = torch.ones(7, dtype=torch.float64)
        assert torch.allclose(turn @ ones, ones) == (gauge == "orthogonal-layernorm")


def test_a_head_of_zeros_is_no_wrong_description():
    network, batch = shipped("cifar-resnet20")
    network = copy.deepcopy(network)
    torch.nn.init.zeros_(network.model.linear.weight)
    report = itinf.check(network, batch)
    assert report.ok and "are the weights of the head zero, as before training?" in repr(report)


def test_what_was_left_out_is_in_the_report():
    network, batch = shipped("gpt2")
    network = dataclasses.replace(network, left_out=("h.1: no branch or parts",))
    assert "not tested left out: h.1: no branch or parts" in repr(itinf.check(network, batch))

"""Whether a position sees later tokens: a mask that leaks is found, a network that is to see them says so."""

import dataclasses

import pytest
import torch
from torch import nn

import itinf
import oracles
from language.predictive import predictive
from language.predictive_tabular import Tabular
from shipped import shipped

SUBJECT = "position i sees only tokens ≤ i"


def finding(network, batch=None):
    report = itinf.check(network, batch)
    (found,) = (f for f in report.findings if "position" in f.subject)
    assert report.ok == (found.status != "failed")
    return found


def small(**options):
    return predictive("random:1", width=16, heads=2, depth=2, vocab_size=256, context=32, **options)


def ids(vocabulary, length=16):
    made = torch.randint(vocabulary, (2, length + 1), generator=oracles.generator(3))
    return oracles.batch(made[:, :-1], made[:, 1:])


@pytest.mark.parametrize("name", ["gpt2", "llama", "predictive"])
def test_causal_networks_pass(name):
    found = finding(*shipped(name))
    assert (found.subject, found.status) == (SUBJECT, "ok") and "change by 0.0e+00" in found.detail


def test_networks_of_images_have_no_such_line():
    assert "position" not in repr(itinf.check(*shipped("cifar-resnet20")))


def test_a_mask_that_lets_the_next_token_in_is_found(monkeypatch):
    """i ≤ j in place of i < j: the error of a position is made of its target."""
    assert finding(small()).status == "ok"
    monkeypatch.setattr("language.correction.carried", lambda kernel, errors, causal: kernel.tril() @ errors)
    found = finding(small())
    assert (found.subject, found.status) == (SUBJECT, "failed") and "say causal=False" in found.detail


class Leaking(nn.Module):
    """Adds a little of the state of the next position; the first position is far larger than all others."""

    def __init__(self, share):
        super().__init__()
        self.share = share

    def forward(self, state):
        return state + self.share * state.roll(-1, 1)


@pytest.mark.parametrize(("share", "status"), [(0.01, "failed"), (0.0, "ok")])
def test_a_small_leak_beside_a_huge_position_is_found(share, status):
    model = nn.Sequential(nn.Embedding(20, 8), Leaking(share), nn.Linear(8, 20))
    nn.init.normal_(model[0].weight, generator=oracles.generator(1))
    batch = ids(19)
    batch.inputs[:, 0] = 19
    model[0].weight.data[19] *= 1e4
    network = itinf.Network(model, [itinf.Block("1")], layout="n t c", head=model[2], unit=itinf.token)
    assert finding(network, batch).status == status


def test_the_last_position_counts():
    """What leaks only from the last token to the one before it."""

    class Last(nn.Module):
        def forward(self, state):
            added = torch.zeros_like(state)
            added[:, -2] = state[:, -1]
            return state + added

    model = nn.Sequential(nn.Embedding(20, 8), Last(), nn.Linear(8, 20))
    network = itinf.Network(model, [itinf.Block("1")], layout="n t c", head=model[2], unit=itinf.token)
    assert finding(network, ids(20)).status == "failed"


def test_a_network_that_is_to_see_later_tokens_says_so():
    for made in (small(causal=False), small(causal=False, kernel="linear")):
        found = finding(made)
        assert (found.subject, found.status) == ("positions see later tokens, as causal=False says", "ok")
        assert "its losses are no predictions" in found.detail
    found = finding(dataclasses.replace(small(), causal=False))
    assert found.status == "failed" and "the description says causal=False" in found.detail


def test_one_id_alone_is_not_tested():
    same = torch.zeros(2, 8, dtype=torch.int64)
    assert finding(small(), oracles.batch(same, same)).status == "not tested"


def test_prefix_consistency_is_no_finding_about_a_causal_network():
    """The states of a prefix alone are those in the whole sequence; in the sketch that is not causal they differ, but at its end."""
    table = oracles.normal(12, 12, seed=6)
    tokens = torch.randint(12, (1, 14), generator=oracles.generator(2))
    for causal in (True, False):
        model = Tabular(table, 3, 0.5, causal=causal).double()
        whole, alone = model.states(tokens)[-1], model.states(tokens[:, :7])[-1]
        gap = (whole[:, :7] - alone).abs().max() / alone.abs().max()
        assert gap == 0 if causal else gap > 0.1

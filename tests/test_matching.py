"""Channels matched without labels: a relabelled copy is recovered, and with it what a lens reads of it."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from itinf.data.clusters import batches, keyed_order
from itinf.data.items import as_data
from itinf.lenses.fit_statistics import fit_statistics, spans
from itinf.lenses.moments import Moments
from itinf.lenses.transfer.cells import MATCHED
from itinf.lenses.transfer.matching import matched
from itinf.networks.readout import vectors
from itinf.networks.trace import trace
from lens_oracles import judged, labelled, pixels
from oracles import Chain, generator, normal, opened
from tiny import gpt2, images, resnet, tokens
from tolerance import rounding


def moments(x):
    return Moments.of(x, x[:, :1])


@given(st.integers(1, 12), st.integers(0, 50), st.integers(0, 2))
@settings(deadline=None, max_examples=40)
def test_a_permuted_and_rescaled_copy_is_recovered_exactly(width, seed, dead):
    x = normal(200, width, seed=seed) @ normal(width, width, seed=seed + 1) + normal(width, seed=seed + 2)
    x[:, :dead] = 3.0  # constant channels vary with nothing
    order = torch.randperm(width, generator=generator(seed))
    copy = (x * normal(width, seed=seed + 3).exp() + normal(width, seed=seed + 4))[:, order]
    matrix, bias = matched(x.T @ copy, moments(x), moments(copy))
    torch.testing.assert_close(copy @ matrix.T + bias, x, rtol=1e-8, atol=1e-8)
    assert ((matrix != 0).sum(0) <= 1).all() and ((matrix != 0).sum(1) <= 1).all()


def test_channels_go_to_those_they_vary_with_most_and_never_against():
    x = normal(4000, 4)
    other = torch.stack([x[:, 2] + normal(4000, seed=1), 2 * x[:, 0] + normal(4000, seed=2), x[:, 1], -x[:, 3]], 1)
    matrix, _ = matched(x.T @ other, moments(x), moments(other))
    assert matrix.argmax(1).tolist() != [
        1,
        2,
        0,
        3,
    ]  # a reversed channel is no match, so the worst of the others is not
    assert matrix[1].argmax() == 2 and matrix[1, 2] == pytest.approx(1)
    kept = other[:, :3]
    matrix, _ = matched(x[:, :3].T @ kept, moments(x[:, :3]), moments(kept))
    assert matrix.argmax(1).tolist() == [1, 2, 0]
    assert matrix[0, 1] == pytest.approx(5**-0.5, rel=0.05)  # its partner's scale, noise and all


def test_segments_of_several_states_that_are_small_enough():
    assert spans([0, 0, 1, 2, 2, 2], [4, 4, 8, 2, 2, 2]) == [slice(0, 2), slice(3, 6)]
    assert spans([0, 0, 1, 1], [4000, 4000, 8, 8]) == [slice(2, 4)]
    assert spans([0], [4]) == []


def test_products_merged_in_one_pass_and_direct():
    network, data = resnet().to("cpu", torch.float64), as_data(images(40), "image")
    order = keyed_order(data, None, 0)
    pieces = list(batches(data, order, 7))
    whole = fit_statistics(network, batches(data, order, 40))
    merged = fit_statistics(network, pieces[:2]) + fit_statistics(network, pieces[2:])
    assert whole.products.keys() == merged.products.keys() and len(whole.products) == 3
    (batch,) = batches(data, order, 40)
    seen = trace(network, batch, gradients=False)
    fitted = (batch.keys >> 8) % 8 != 0
    for first, products in whole.products.items():
        # 40 images, whose states are sums over 9 pixels of up to 64 channels
        bound = rounding(torch.float64, 40 + 9 * 64, products.diagonal().max())
        torch.testing.assert_close(merged.products[first], products, rtol=0, atol=bound)
        segment = [p for p in whole.sites if p.segment == whole.sites[first].segment]
        assert whole.sites[first] is segment[0] and len(segment) > 1
        x = torch.cat([vectors(network, seen.state(p.id))[fitted] for p in segment], 1)
        torch.testing.assert_close(products, x.T @ x, rtol=0, atol=bound)


def test_nothing_is_matched_where_there_is_a_common_order_already():
    network = gpt2()
    data = as_data(tokens(40), "token")
    assert fit_statistics(network, batches(data, keyed_order(data, None, 0), 40)).products == {}


# a network without skips, and the same one with its channels renamed at every depth (MEASURES.md, section 7)

WIDTH, BLOCKS = 12, 4


class Layer(nn.Module):
    """ReLU of ``matrix`` h."""

    def __init__(self, matrix):
        super().__init__()
        self.register_buffer("matrix", matrix)

    def forward(self, h):
        return torch.einsum("dc,nchw->ndhw", self.matrix, h).relu()


def plain(renamed):
    """No skips; each layer does little, so that depths share a code. Renamed: the same function of its input."""
    names = [torch.eye(WIDTH, dtype=torch.float64)]
    for depth in range(BLOCKS):
        order = torch.randperm(WIDTH, generator=generator(depth))
        scale = normal(WIDTH, seed=depth).exp()
        names.append(torch.diag(scale)[order] if renamed else names[0])
    layers = []
    for depth, (before, after) in enumerate(itertools.pairwise(names)):
        matrix = torch.eye(WIDTH, dtype=torch.float64) + 0.25 * normal(WIDTH, WIDTH, seed=20 + depth) / WIDTH**0.5
        layers.append(Layer(after @ matrix @ before.inverse()))
    head = nn.Linear(WIDTH, 4, bias=False, dtype=torch.float64)
    with torch.no_grad():
        head.weight.copy_(2 * normal(4, WIDTH, seed=40) @ names[-1].inverse())
    return opened(Chain(layers, head))


def test_a_relabelled_network_transfers_once_its_channels_are_matched():
    networks = [plain(False), plain(True)]
    inputs = [normal(1500, WIDTH, seed=seed).exp() for seed in (1, 2)]
    for h in inputs:
        said = [network.model(pixels(h)) for network in networks]
        torch.testing.assert_close(*said)
    fitted, read = ([*labelled(networks[0], h, seed)] for seed, h in enumerate(inputs))
    original, other = (judged(network, fitted, read, replicates=20) for network in networks)
    apart = ~torch.eye(BLOCKS + 1, dtype=torch.bool)
    for target in ("label", "model"):
        zero_shot = [j.matrix("retention", target=target)[apart] for j in (original, other)]
        matched_ = [j.matrix("retention", target=target, form=MATCHED)[apart] for j in (original, other)]
        assert zero_shot[0].min() > 0.5 and zero_shot[1].mean() < 0.1
        assert matched_[0].min() > 0.5
        torch.testing.assert_close(matched_[1], matched_[0], rtol=0, atol=0.02)

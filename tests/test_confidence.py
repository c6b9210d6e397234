"""One confidence for all depths: found where it is known, chosen on other units than the map, kept in the file."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import itinf
from itinf.data.clusters import batches, keyed_order
from itinf.data.items import as_data
from itinf.lenses.confidence import at_best_confidence
from itinf.lenses.fit_statistics import is_held_out
from itinf.lenses.lens import Lens, translators_at
from itinf.lenses.translator import Translator, translated_logits
from itinf.networks.trace import trace
from lens_oracles import carrying, labelled
from oracles import normal


def items(network, seed):
    return as_data(labelled(network, normal(4000, 12, seed=seed), seed), network.unit)


def scaled(lens, factor):
    """The lens with all logits times a factor: its head has no bias."""
    maps = [Translator.of(factor * t.matrix.double(), factor * t.bias.detach().double()) for t in lens.translators]
    return replace(lens, translators=maps, log_prior=torch.full_like(lens.log_prior, -np.log(len(lens.log_prior))))


@pytest.mark.parametrize("factor", [0.5, 1.0, 4.0])
def test_too_much_confidence_is_taken_back(factor):
    """Labels are drawn from the logits z; a lens that reads c z is right at β = 1/c."""
    network = carrying()
    data = items(network, 3)
    lens = scaled(itinf.fit(network, data, "logit"), factor)
    found = at_best_confidence(network, lens, data, keyed_order(data, None, 0), 500)
    assert found.beta * factor == pytest.approx(1, abs=0.15)
    read = trace(network, next(batches(data, keyed_order(data, 50, 0), 50)), gradients=False)
    state = network.per_prediction(read.states[1])
    tempered = translated_logits(network, state, translators_at(read, found)[1])
    plain = network.readout(state)
    wanted = found.beta * factor * plain + (1 - found.beta) * lens.log_prior
    torch.testing.assert_close(tempered, wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.read(read, found.sites[1].name), tempered)


def test_only_units_that_were_held_out_choose_it():
    network = carrying()
    right = labelled(network, normal(4000, 12, seed=3), 3)
    data = as_data(right, network.unit)
    order = keyed_order(data, None, 0)
    lens = scaled(itinf.fit(network, data, "logit"), 2.0)
    held = set(order.indices[is_held_out(order.keys)].tolist())
    mixed = as_data([(x, y if k in held else (y + 1) % 4) for k, (x, y) in enumerate(right)], network.unit)
    found = [at_best_confidence(network, lens, one, order, 500).beta for one in (data, mixed)]
    assert found[0] == found[1]


def test_the_shared_lens_has_one_and_keeps_it(tmp_path):
    network = carrying()
    data = items(network, 1)
    lens = itinf.fit(network, data, "shared", batch=500)
    assert 0.3 < lens.beta < 3 and lens.beta != 1
    lens.save(tmp_path / "lens.safetensors")
    again = Lens.load(tmp_path / "lens.safetensors", network)
    assert again.beta == lens.beta and Lens.of(lens.content()).beta == lens.beta
    assert itinf.fit(network, data, "affine", batch=500).beta == 1
    probes = [itinf.Prediction(lens=one).description for one in (lens, replace(lens, beta=1.0))]
    assert probes[0] != probes[1]  # so that a study is not resumed with another one

"""Calibration equals means and standard deviations of everything at once, whatever the batches."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch

from itinf import IGNORED, ItinfError, trace
from itinf.networks.states import segments
from itinf.probes.calibration import Calibration, calibrate
from itinf.probes.readouts import read
from measured import vectors, view
from oracles import batch as make_batch
from oracles import normal, part_of
from shipped import shipped


def pieces(network, batch, cuts):
    """(trace, vectors) of parts of a batch."""
    found = []
    for start, stop in cuts:
        seen = trace(network, part_of(batch, start, stop))
        found.append((seen, vectors(view(network, seen, Calibration(), readouts=read(seen)))))
    return found


@pytest.mark.parametrize("name", ["cifar-resnet20", "gpt2"])
def test_means_and_scales_are_those_of_all_units(name):
    network, batch = shipped(name)
    if name == "gpt2":
        inputs, targets = batch.inputs.repeat(3, 1), batch.targets.repeat(3, 1)
        inputs[2:] = inputs[2:].flip(1)
    else:
        inputs, targets = torch.cat([batch.inputs, normal(4, 3, 32, 32, seed=5)]), torch.arange(6)
    batch = make_batch(inputs, targets)
    ((seen, whole),) = pieces(network, batch, [(0, 6)])
    found = calibrate(pieces(network, batch, [(0, 1), (1, 5), (5, 6)]))
    known = seen.known
    assert found.units == int(known.sum()) and found.means.keys() == whole.keys()
    for key, vector in whole.items():
        expected = network.canonical(vector)[known].mean(0)
        torch.testing.assert_close(found.means[key], expected, rtol=1e-9, atol=1e-12)
    numbers = segments(seen)
    if network.gauge != "channel-scale":
        assert not found.scales
        return
    assert numbers == [0] * 4 + [1] * 3 + [2] * 3 and found.scales.keys() == {0, 1, 2}
    for segment in found.scales:
        states = [network.canonical(s) for s, n in zip(seen.states, numbers, strict=True) if n == segment]
        for c in range(len(found.scales[segment])):
            values = torch.cat([s[:, :, c].flatten() for s in states])
            assert found.scales[segment][c].item() == pytest.approx(float(values.std(correction=0)), rel=1e-9)


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_a_channel_that_never_varies_has_scale_exactly_zero(value):
    network, batch = shipped("cifar-isotropic", torch.float32)
    network = copy.deepcopy(network)
    with torch.no_grad():
        for norm in [network.model.bn1, *(network.model.get_submodule(b.name).bn2 for b in network.blocks)]:
            norm.weight[2], norm.bias[2] = 0, 0
        network.model.bn1.bias[2] = value
    found = calibrate(pieces(network, batch, [(0, 1), (1, 2)]))
    assert found.scales[0][2] == 0 and (found.scales[0] > 0).any()


def test_no_target_at_all_is_an_error():
    network, batch = shipped("gpt2")
    ignored = dataclasses.replace(batch, targets=torch.full_like(batch.targets, IGNORED))
    with pytest.raises(ItinfError, match="calibration"):
        calibrate(pieces(network, ignored, [(0, 2)]))

"""The paths probe in a study: which units, batches, shards, untrained networks; and coverage of its intervals."""

from __future__ import annotations

import tarfile
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

import itinf
from itinf import registry
from itinf.data.clusters import keyed_order, load_batch
from test_coverage import SHARED, SUBSETS
from test_study import agree
from tiny import images, opened, probed, resnet

PROBES = [itinf.Paths(units=12), itinf.Paths(units=12, parts=True, sampled=False)]
KINDS = pytest.mark.parametrize("kind", ["image", "token"])


@KINDS
def test_the_batch_and_the_shards_change_nothing(kind):
    """The first 12 clusters of the study are measured, however it is read; half a batch of 8 has some of them."""
    network, data = opened(kind)
    one, other = (probed(network, data, probes=PROBES, untrained=1, batch=size) for size in (8, 32))
    agree(one, other, 1e-4)
    shards = [probed(network, data, probes=PROBES, untrained=1, batch=8, shard=(place, 2)) for place in range(2)]
    agree(one, itinf.merge(shards), 1e-4)
    rows = one.table
    observed = rows[rows["null"] == "observed"]
    assert set(observed.n_clusters) == {12} and set(observed.unit) == {"image" if kind == "image" else "sequence"}
    assert set(rows[rows["null"] == "untrained"].measure) == set(observed.measure)
    shares = observed[observed.measure == "path_share"].groupby(["state_index", "update"])["mean"].sum()
    assert np.allclose(shares, 1, atol=1e-6)


def test_the_probe_is_reached_by_its_name_and_is_no_default(monkeypatch):
    points = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text())["project"]["entry-points"]
    assert points["itinf.probes"]["paths"] == "itinf.probes.paths:Paths"
    monkeypatch.setitem(registry._session["probes"], "paths", itinf.Paths)  # also where an older itinf is installed
    rows = probed(*opened("image"), probes=["paths"]).table
    assert "effective_path_length" in set(rows.measure)
    assert "Paths" not in {type(probe).__name__ for probe in itinf.default_probes()}


@pytest.mark.parametrize(("settings", "said"), [({"units": 0}, "units is 0"), ({"parts": "yes"}, "parts is 'yes'")])
def test_wrong_settings_are_refused(settings, said):
    with pytest.raises(itinf.ItinfError, match=said):
        itinf.Paths(**settings)


def covered(network, data, units):
    """Share of the intervals of 24 disjoint subsets that hold the value of all of them: shares of at least 2 %."""
    settings = {
        "probes": [itinf.Paths(units=units, sampled=False)],
        "units": units,
        "replicates": 200,
        "calibration": 8,
    }
    settings |= {"group": 8, "batch": 64}
    runs = [itinf.probe(network, data, shard=(place, SUBSETS), **settings) for place in range(SUBSETS)]
    whole = itinf.merge(runs).table
    counted = (
        (whole.measure == "effective_path_length") | ((whole.measure == "path_share") & (whole["mean"] > 0.02))
    ).to_numpy()
    held = np.array([(run.table.lo <= whole["mean"]) & (whole["mean"] <= run.table.hi) for run in runs])
    return float(held[:, counted].mean())


def test_24_subsets_cover():
    """The rows depend on each other: of 24 intervals, fewer than 20 hold the truth one time in 200."""
    assert 20 / 24 <= covered(resnet(8), images(24 * 24, side=4), 24 * 24) <= 1


@pytest.mark.simulation
@pytest.mark.skipif(
    not (SHARED / "resnet20-cifar10-idelbayev.safetensors").exists(), reason="needs ResNet-20 and photographs"
)
def test_24_subsets_of_photographs_cover(tmp_path):
    """ResNet-20 on 24 disjoint subsets of 64 photographs each, against all of them."""
    with tarfile.open(SHARED / "cifar10-jpeg.tar.gz") as archive:
        archive.extractall(tmp_path, [m for m in archive if m.name.startswith("test/")], filter="data")
    network = itinf.network("cifar-resnet20", weights=str(SHARED / "resnet20-cifar10-idelbayev.safetensors"))
    share = covered(network, itinf.dataset(f"images:{tmp_path}", network), 64 * SUBSETS)
    print(share)
    assert 0.92 <= share <= 0.985


@pytest.mark.parametrize("name", ["iterative", "resnet-isotropic"])
def test_the_effective_length_is_the_derivative_in_the_scale_of_all_branches(name):
    """With the Jacobians of all branches times c the gradient is Σ c^k G_k, so that its slope at c = 1 is Σ k G_k."""
    network = itinf.network(name, "specimen")
    network.model.double().eval()
    data = itinf.dataset("glyphs", network)
    found = itinf.probe(network, data, [itinf.Paths(units=12, sampled=False)], units=12).table
    (length,) = found.loc[(found.measure == "effective_path_length") & (found.null == "observed"), "mean"]
    order = keyed_order(data, 12, 0)
    batch = load_batch(data, order.indices)
    scale, first = [1.0], []
    blocks = [network.model.get_submodule(block.name) for block in network.blocks]
    for block in blocks:
        block.bn2.register_forward_hook(lambda _, __, out: scale[0] * out + (1 - scale[0]) * out.detach())
    blocks[0].register_forward_pre_hook(lambda _, given: first.append(given[0]))

    def gradient(c):
        scale[0] = c
        loss = cross_entropy(network.model(batch.inputs.double()), batch.targets.flatten(), reduction="sum")
        return torch.autograd.grad(loss, first[-1])[0].flatten(1)

    g = gradient(1.0)
    slope = (gradient(1 + 1e-5) - gradient(1 - 1e-5)) / 2e-5
    assert length == pytest.approx(float(((slope * g).sum(1) / g.square().sum(1)).mean()), rel=1e-5)

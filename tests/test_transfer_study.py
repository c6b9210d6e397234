"""Transfer as a study: it stops at the asked precision, is read again, and refuses what does not belong to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from itinf import ItinfError
from itinf.data.clusters import clusters_of, keyed_order
from itinf.data.items import as_data
from itinf.lenses.fit import fit
from itinf.lenses.transfer.cells import Cell
from itinf.lenses.transfer.matrix import TransferMatrix
from itinf.lenses.transfer.pilot import CLUSTERS, UNITS, pilot_clusters
from itinf.lenses.transfer.retention import precise_enough
from itinf.lenses.transfer.transfer import CHECK, transfer
from itinf.lenses.translator import Translator
from itinf.results.transfer_result import TransferResult
from itinf.studies.fitting_data import UnmeasuredClusters, fitting_data, training_split
from lens_oracles import descending, labelled, starts
from tiny import Items, gpt2

WIDTH = 6


@pytest.fixture(scope="module")
def net():
    return descending(WIDTH)


@pytest.fixture(scope="module")
def lens(net):
    return fit(net, labelled(net, starts(400, WIDTH, 0), 0))


@pytest.fixture(scope="module")
def data(net):
    return labelled(net, starts(600, WIDTH, 1), 1)


def test_it_stops_at_the_precision_and_at_no_batch(net, lens, data):
    loose = transfer(net, lens, data, precision=0.5, replicates=40)
    assert loose.manifest["stopped"] and loose.manifest["clusters"] in (CHECK["image"], 2 * CHECK["image"])
    assert loose.manifest["reached"] <= 0.5
    again = transfer(net, lens, data, precision=0.5, replicates=40, batch=7)
    pd.testing.assert_frame_equal(again.table, loose.table, rtol=1e-5, atol=1e-6)
    never = transfer(net, lens, data, precision=0.0, replicates=40)
    assert not never.manifest["stopped"] and never.manifest["clusters"] == 600
    assert never.manifest["reached"] < loose.manifest["reached"]
    few = transfer(net, lens, data, units=100, precision=0.0, replicates=40)
    assert few.manifest["units"] == 100 and "all the units asked for" in repr(few)


def test_the_first_clusters_place_the_windows_and_are_scored_too(net, lens, data, monkeypatch):
    seen = {"pilot": [], "scored": []}

    def placed(network, lens, reads, batches, seed, every, told, batch):
        assert every == 1
        seen["pilot"] += [key for batch in batches for key in batch.keys]
        return torch.full((2, len(reads)), 0.1, dtype=torch.float64)

    class Watched(TransferMatrix):
        def add(self, network, batch, told, *others):
            seen["scored"] += list(batch.keys)
            super().add(network, batch, told, *others)

    monkeypatch.setattr("itinf.lenses.transfer.transfer.windows", placed)
    monkeypatch.setattr("itinf.lenses.transfer.transfer.TransferMatrix", Watched)
    for units in (200, None):
        seen["pilot"], seen["scored"] = [], []
        transfer(net, lens, data, units=units, precision=0.0, replicates=20, batch=30)
        assert len(seen["scored"]) == len(set(seen["scored"])) == (units or 600)
        assert seen["pilot"] == seen["scored"][:UNITS]


def test_a_pilot_of_tokens_reads_a_few_of_many_sequences():
    sequences = as_data([torch.arange(65)] * 3 + [torch.arange(65) + 1] * 37, "token")
    order = keyed_order(sequences, None, 0)
    pilot, every = pilot_clusters(sequences, order)
    assert len(pilot) == CLUSTERS and CLUSTERS * 64 // every == UNITS


def test_too_few_clusters_to_part(net, lens, data):
    with pytest.raises(ItinfError, match=r"3 clusters .* are too few"):
        transfer(net, lens, data, units=3)


def test_the_folder_is_read_again_and_another_refused(net, lens, data, tmp_path, monkeypatch):
    made = transfer(net, lens, data, units=64, replicates=20, out=tmp_path / "out")
    monkeypatch.setattr("itinf.lenses.transfer.transfer.TransferMatrix", None)  # nothing is measured a second time
    read = transfer(net, lens, data, units=64, replicates=20, out=tmp_path / "out")
    pd.testing.assert_frame_equal(read.table, made.table)
    pd.testing.assert_frame_equal(TransferResult.load(tmp_path / "out").summaries, made.summaries)
    with pytest.raises(ItinfError, match=r"another transfer: settings\.units is 65 here and 64 there"):
        transfer(net, lens, data, units=65, replicates=20, out=tmp_path / "out")
    other = replace(lens, record={**lens.record, "units": 7})
    with pytest.raises(ItinfError, match=r"lens\.units is 7 here"):
        transfer(net, other, data, units=64, replicates=20, out=tmp_path / "out")


def test_lenses_that_cannot_be_transferred(net, lens, data):
    with pytest.raises(ItinfError, match="one map for many states"):
        transfer(net, replace(lens, kind="shared"), data)
    stranger = descending(WIDTH)
    stranger.head.weight.data.mul_(2)
    with pytest.raises(ItinfError, match="fitted on another readout"):
        transfer(stranger, lens, data)


def test_what_is_not_measured_is_left_to_fit_on(net, data):
    source = as_data(data, "image")
    rest = UnmeasuredClusters(source, 150, seed=3)
    measured = {source.key(int(i)) for i in keyed_order(source, 150, seed=3).indices}
    left = {rest.key(i) for i in range(len(rest))}
    assert len(rest) == 450 and not left & measured and len(left | measured) == 600
    place = int(rest.indices[5])
    assert all((a == b).all() for a, b in zip(rest[5], source[place], strict=True))
    assert clusters_of(source, None) == 600 and clusters_of(source, 8) == 8
    assert clusters_of(source, 10_000, at_most=True) == 600
    with pytest.raises(ItinfError, match=r"10,000 images asked for, but .* has 600\. Ask for at most 600\."):
        clusters_of(source, 10_000)


def test_the_training_split_where_there_is_one(net, tmp_path):
    import itinf

    glyphs = itinf.network("cifar-resnet8", classes=46)
    measured = itinf.dataset("glyphs", glyphs)
    assert fitting_data("glyphs", glyphs, measured, 100, 0, None).name == "glyphs:32/train"
    tiny = itinf.network("gpt2", n_layer=1, n_embd=8, n_head=1, vocab_size=256, n_positions=16)
    path = tmp_path / "one.txt"
    path.write_text("a text of one split only. " * 40)
    text = itinf.dataset(f"text:{path}", tiny)
    assert len(fitting_data(f"text:{path}", tiny, text, 10, 0, None)) == len(text) - 10
    with pytest.raises(ItinfError, match="left to fit a lens on"):
        fitting_data(f"text:{path}", tiny, text, len(text), 0, None)


@pytest.mark.parametrize("present, split", [(("test",), "test"), (("train", "test"), "train")])
def test_a_folder_of_test_images_only_has_no_training_split(tmp_path, present, split):
    import itinf

    for name in present:
        (tmp_path / name / "one").mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name / "one" / "0.png")
    net = itinf.network("cifar-resnet8", classes=1)
    assert training_split(f"images:{tmp_path}", net, 0, None).name == f"images:{tmp_path.name}/{split}"


def test_a_mistake_is_no_missing_training_split(tmp_path):
    import itinf

    with pytest.raises(ItinfError, match="There is no folder"):
        training_split(f"images:{tmp_path / 'none'}", itinf.network("cifar-resnet8", classes=1), 0, None)
    (tmp_path / "train").mkdir()
    with pytest.raises(ItinfError, match="no class folders"):  # once, all of the folder was taken for the split
        training_split(f"images:{tmp_path}", itinf.network("cifar-resnet8", classes=1), 0, None)


def test_a_data_set_without_splits_is_taken_whole(monkeypatch):
    def whole(argument, network, *, seed, length):
        return Items("token", torch.zeros(2, 3), torch.zeros(2, 3), name=f"{argument} {seed} {length}")

    monkeypatch.setattr("itinf.registry._dataset_function", lambda source: (whole, "mine"))
    assert training_split("whole:mine", gpt2(), 5, 3).name == "mine 5 3"


class Known:
    """A grid of two states, of which it is said how well is known what their own lenses tell."""

    clusters = 50

    def __init__(self, first, last):
        self.told = {0: first, 1: last}
        self.cells = [Cell("affine", j, i, Translator.identity(2)) for j in range(2) for i in range(2)]

    def readable(self, read, target, raw=False):
        mean, error = self.told[read.at]
        return np.r_[mean, mean + error * np.random.default_rng(read.at).standard_normal(200)]

    def why_unreadable(self, read, target):
        return None


@pytest.mark.parametrize(
    ("first", "last", "holds"),
    [
        ((0.5, 0.01), (1.0, 0.01), True),
        ((0.5, 0.2), (1.0, 0.01), False),  # more units would give the first state a retention
        ((0.01, 0.2), (1.0, 0.01), True),  # too little is told there, however well it is known
        ((0.5, 0.01), (1.0, 0.4), False),  # not even the last is known
        ((0.5, 0.01), (-0.1, 0.4), True),  # nothing to retain
    ],
)
def test_it_goes_on_while_more_units_would_tell_more(first, last, holds):
    assert precise_enough(Known(first, last), precision=1.0) == holds

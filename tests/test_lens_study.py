"""The lenses of a results folder and their transfer: fitted once, read again, and never another study's."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
import torch

from itinf import ItinfError
from itinf.data.clusters import load_batch, silent
from itinf.errors import TooFewError
from itinf.networks.trace import trace
from itinf.settings import Settings
from itinf.studies import lens_study
from itinf.studies.lens_study import LensStudy
from oracles import generator
from tiny import Items, gpt2, images, resnet, tokens


@pytest.fixture
def study(tmp_path):
    network = resnet()
    fitting, data = answered(network, images(400, seed=1), "fitting"), answered(network, images(160, seed=2), "data")
    settings = Settings(replicates=20, untrained=1, precision=0.0)
    return LensStudy(network, data, fitting, tmp_path, "tiny", settings=settings)


def changed(study, **changes):
    """The same study with other settings."""
    return replace(study, settings=study.settings.changed(changes))


def answered(network, items, name):
    """The same inputs with labels drawn from the network's own predictions, so that something is readable."""
    with torch.no_grad():
        p = (3 * network.model(items.inputs)).softmax(1)
    return Items("image", items.inputs, torch.multinomial(p, 1, generator=generator(1)).squeeze(1), name)


def test_lenses_are_fitted_once(study, monkeypatch):
    own, one = study.fitted(silent)
    assert (own.kind, one.kind) == ("affine", "shared") and own.record["units"] == 400
    monkeypatch.setattr(lens_study, "fit", None)  # nothing is fitted a second time
    again = replace(study)
    for made, read in zip((own, one), again.fitted(silent), strict=True):
        assert read.record == made.record and read.statistics is None
        for a, b in zip(made.translators, read.translators, strict=True):
            assert (a is None and b is None) or (a.weight.equal(b.weight) and a.bias.equal(b.bias))


def test_lenses_of_another_study_are_refused_and_stay(study):
    study.fitted(silent)
    files = {path: path.read_bytes() for path in study.folder.rglob("*.safetensors")}
    assert len(files) == 2
    for change, what in (
        ({"seed": 3}, "seed is 3 here and 0 there"),
        ({"fit_units": 200}, "units is 200 here and 400"),
    ):
        with pytest.raises(ItinfError, match=what):
            changed(study, **change).fitted(silent)
    assert files == {path: path.read_bytes() for path in study.folder.rglob("*.safetensors")}


def test_transfers_are_read_again(study, monkeypatch):
    trained, fresh = study.transfers(silent)
    assert trained.manifest["units"] == 160
    assert set(trained.table["null"]) == {"observed", "rotated"}
    assert set(fresh.table["null"]) == set(fresh.summaries["null"]) == {"untrained"}
    assert set(fresh.table["null_seed"]) == {0} and set(fresh.table["model"]) == set(trained.table["model"])
    assert fresh.manifest["network"]["weights"] == "random:0"
    # labels of its own predictions are nothing to an untrained network
    kept = fresh.table[fresh.table["measure"] == "retention"].groupby("target")["mean"].count()
    assert kept.get("label", 0) < kept["model"]
    monkeypatch.setattr("itinf.lenses.transfer.transfer.TransferMatrix", None)
    for made, read in zip((trained, fresh), replace(study).transfers(silent), strict=True):
        pd.testing.assert_frame_equal(read.table, made.table)
        pd.testing.assert_frame_equal(read.summaries, made.summaries)


def test_an_interrupted_transfer_fits_again_what_no_file_holds(study):
    study.fitted(silent)
    (again,) = changed(study, untrained=0).transfers(silent)
    (whole,) = replace(changed(study, untrained=0), folder=study.folder / "whole").transfers(silent)
    pd.testing.assert_frame_equal(again.table, whole.table)
    assert {"shared", "shared, left out"} <= set(again.table["lens"])


def test_too_few_units_name_the_number_needed(study):
    with pytest.raises(TooFewError, match="it takes at least 130"):
        changed(study, fit_units=60).fitted(silent)
    assert not list(study.folder.rglob("*.safetensors"))
    assert lens_study.default_fit_units(study.network, study.fitting) == lens_study.FIT_UNITS["image"]
    network = gpt2()
    width = network.model.config.n_embd
    assert lens_study.default_fit_units(network, tokens(4)) == max(16384, 3 * width)


def test_kinds(study):
    with pytest.raises(ItinfError, match="lens is 'logit'; expected affine or tuned"):
        replace(study, kind="logit").fitted(silent)
    own, _ = replace(study, kind="tuned").fitted(silent)
    assert own.kind == "tuned" and (study.folder / "lenses/tiny/trained/tuned.safetensors").is_file()
    assert own.record["kl"] and own.record["asked"] == 400


def test_a_lens_moved_by_hand(study):
    own, _ = study.fitted(silent)
    network = study.network
    seen = trace(network, load_batch(study.data, range(3)), gradients=False)
    first, second, third = own.sites[0].name, own.sites[1].name, own.sites[3].name
    read = own.read(seen, second, fitted_at=first)
    vectors = network.pool(seen.states[own.sites[1].id])
    with torch.no_grad():
        torch.testing.assert_close(read, network.head(own[first](vectors)))
    assert not read.equal(own.read(seen, second))
    with pytest.raises(ItinfError, match="reads vectors of width 32, and these are 16 wide"):
        own.read(seen, first, fitted_at=third)

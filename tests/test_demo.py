"""The embedded default: the shipped specimens are what their cards say, and comparing them takes no argument."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors import safe_open

import itinf
import language.train
import vision.train
from itinf.cli import app
from itinf.data.clusters import silent
from itinf.registry import specimen
from itinf.studies import compare, demo, study, study_file
from itinf.studies.demo import SPECIMENS, specimens_study
from itinf.training.specimen import read_card

MEGABYTES = 12
TEXT = ("gpt2", "iterative-gpt2")
FEW = ("iterative", "plain-isotropic", "inception", "gpt2")
"""A control that should pass, one that should fail, one with too few units for lenses, one of language."""


@pytest.mark.parametrize("name", SPECIMENS)
def test_shipped_weights(name):
    found = specimen(name)
    (weights,) = found.folder.glob("*.safetensors")
    assert sum(path.stat().st_size for path in found.folder.iterdir()) <= MEGABYTES * 1e6
    with safe_open(weights, framework="pt") as file:
        kinds = {file.get_tensor(key).dtype for key in file.keys() if file.get_tensor(key).ndim > 1}  # noqa: SIM118
    assert kinds == {torch.float16}
    network = itinf.network(name, "specimen")
    assert network.weights == "specimen" and network.name == name and network.dtype == torch.float32
    report = itinf.check(network)
    assert report.ok, report


@pytest.mark.parametrize("name", SPECIMENS)
def test_cards(name):
    card = read_card(specimen(name).folder)
    assert card["specimen"] == name and card["split"] == "train"
    for what, bound in card["bounds"].items():
        assert card["scores"][what] < bound if name in TEXT else card["scores"][what] >= bound
    assert card["minutes"] > 0 and card["recipe"]["steps"] > 0
    assert bool(card["bounds"]) == (name not in ("plain-isotropic", "iterative-gpt2"))


@pytest.mark.parametrize("name", ["resnet", "resnet-isotropic", "inception"])
def test_fonts_never_seen(name):
    """The second run's card: the same recipe without Computer Modern."""
    found = specimen(name)
    card = read_card(found.folder / "without-cm")
    assert card["split"] == "train-without-cm" and not any(face.startswith("cm") for face in card["data"]["faces"])
    first = read_card(found.folder)
    assert {k: v for k, v in card["recipe"].items() if k != "command"} == {
        k: v for k, v in first["recipe"].items() if k != "command"
    }
    (what,) = card["bounds"]
    assert card["scores"][what] >= card["bounds"][what] == 0.85


@pytest.mark.parametrize("name", [name for name in SPECIMENS if name not in TEXT])
def test_image_gates_on_fewer_images(name, monkeypatch):
    monkeypatch.setattr(vision.train, "SCORED", 200)
    found = specimen(name)
    scores = found.evaluate(found.folder, split="train", progress=silent)
    card = read_card(found.folder)["scores"]
    assert [score.what for score in scores] == list(card)
    for score in scores:
        assert abs(score.value - card[score.what]) < 0.08  # four standard errors of 200 answers
        assert score.value >= (score.bound or 0.5)


@pytest.mark.parametrize("name", TEXT)
def test_text_gate_on_fewer_modules(name, monkeypatch):
    monkeypatch.setattr(language.train, "SCORED", 8)
    found = specimen(name)
    (score,) = found.evaluate(found.folder, split="train", progress=silent)
    assert score.reached and score.value < 2.8


def test_the_default_study_is_a_study_file(tmp_path):
    default = specimens_study()
    path = tmp_path / "study.toml"
    path.write_text(study_file.study_toml(default))
    assert study_file.read_study(path) == default
    assert default.settings.untrained == 1 and [e.units for e in default.networks] == [400] * 5 + [4096] * 2
    assert default.roles == {"iterative": "yes", "plain-isotropic": "no", "iterative-gpt2": "yes"}
    small = default.changed(units=64, untrained=1)
    assert small.settings.units == 64 and {e.units for e in small.networks} == {None}


def run(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["itinf", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        app.main()
        raise SystemExit(0)
    return int(end.value.code or 0)


@pytest.fixture
def small(monkeypatch):
    """The default study on a few units."""
    default = specimens_study().changed(untrained=0, replicates=20, group=8, calibration=16)
    # too few for the widest state of Inception
    chosen = [network for network in default.networks if network.name in FEW]
    networks = [replace(network, units=40, fit_units=160) for network in chosen[:-1]]
    few = replace(default, networks=[*networks, replace(chosen[-1], units=512, fit_units=512, length=32)])
    monkeypatch.setattr(demo, "specimens_study", lambda: few)
    monkeypatch.setattr("itinf.cli.studies.show_preview", lambda *_: None)  # its trial takes longer than so few units
    return few


@pytest.mark.slow
def test_compare_without_arguments(small, tmp_path: Path, monkeypatch, capsys):
    out = tmp_path / "out"
    assert run(monkeypatch, "compare", "--out", out) == 0
    printed = capsys.readouterr().out.replace("\n", "")
    assert f"Report: {out / 'report.html'}" in printed and "inception has no lenses" in printed
    table = pd.read_parquet(out / "measures.parquet")
    assert list(table["model"].unique()) == list(FEW)
    assert set(table["modality"]) == {"image", "language"}
    page = (out / "report.html").read_text()
    assert all(name in page for name in FEW) and "What each measure can tell" in page
    sums = {path: path.stat().st_mtime_ns for path in out.glob("networks/*/sums.safetensors")}
    assert len(sums) == len(FEW)
    assert run(monkeypatch, "demo", "--out", out) == 0
    assert sums == {path: path.stat().st_mtime_ns for path in sums}
    assert (out / "report.html").read_text() == page and "inception has no lenses" in page
    lensed = set(table.loc[table["measure"] == "retention", "model"])
    assert lensed == set(FEW) - {"inception"}


@pytest.mark.slow
def test_an_interrupted_comparison_goes_on(small, tmp_path: Path, monkeypatch, capsys):
    """Ctrl-C in the third network, then again: what one run without it would have found."""
    networks = [network for network in small.networks if network.name in FEW[:3]]
    three = replace(small, networks=networks, lens="none")
    monkeypatch.setattr(demo, "specimens_study", lambda: three)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    monkeypatch.setattr(study, "draw_report", lambda *_: None)
    assert run(monkeypatch, "compare", "--out", whole) == 0
    real, calls = compare.probe, []

    def interrupted(*words, **options):
        calls.append(words[0].name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*words, **options)

    monkeypatch.setattr(compare, "probe", interrupted)
    assert run(monkeypatch, "compare", "--out", broken) == 130
    assert "to resume at the last save" in capsys.readouterr().err
    assert not (broken / "measures.parquet").exists() and len(list(broken.glob("networks/*"))) == 2
    monkeypatch.setattr(compare, "probe", real)
    assert run(monkeypatch, "compare", "--out", broken) == 0
    tables = [pd.read_parquet(folder / "measures.parquet") for folder in (whole, broken)]
    pd.testing.assert_frame_equal(*tables)


def test_data_beside_the_specimens_is_refused(tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, "compare", "--data", "glyphs", "--out", tmp_path / "out") == 2
    assert "specimens already has them" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_a_specimen_is_trained_by_name(tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, "train", "resnett") == 2
    assert "Did you mean resnet" in " ".join(capsys.readouterr().err.split())
    assert run(monkeypatch, "evaluate", "resnet", "--weights", tmp_path) == 2
    assert "card.toml" in " ".join(capsys.readouterr().err.split())

"""Examples of a network are chosen once, stay in its folder, and a folder without them, or with damaged ones, is read all the same."""

import json

import pandas as pd
import pytest
import torch

import itinf
from itinf.data.clusters import silent
from itinf.data.dataset import IGNORED
from itinf.results.comparison import Comparison
from itinf.results.comparison_folder import save
from itinf.results.folder import ResultsFolder
from itinf.results.joint import joined
from itinf.results.manifest import MANIFEST
from itinf.results.probe_result import ProbeResult
from itinf.results.trajectory import EXAMPLES
from itinf.settings import Settings
from itinf.studies import examples as study
from tiny import SETTINGS, images, resnet

NETWORK, DATA = resnet().named("net"), images(40)


@pytest.fixture(scope="module")
def lenses():
    return [itinf.fit(NETWORK, images(200, seed=1), kind) for kind in ("affine", "shared")]


@pytest.fixture
def folder(tmp_path):
    itinf.probe(NETWORK, DATA, [itinf.Performance()], out=tmp_path / "net", **SETTINGS)
    return tmp_path / "net"


def chosen(folder, lenses=(), data=DATA):
    return study.with_examples(ProbeResult.load(folder), NETWORK, data, lenses, folder, Settings(**SETTINGS), silent)


def same(one, other):
    pd.testing.assert_frame_equal(one.table, other.table)
    assert (one.names, one.pictures, one.lenses, one.chosen_from) == (
        other.names,
        other.pictures,
        other.lenses,
        other.chosen_from,
    )
    assert (one.network, one.weights) == (other.network, other.weights)


def test_the_file_holds_what_was_chosen(folder, lenses):
    made = chosen(folder, lenses).examples
    same(made, itinf.examples(NETWORK, DATA, lenses))
    assert made.readers == ["own", "shared", "logit"] and made.chosen_from == 40
    listed = json.loads((folder / MANIFEST).read_text())["files"]
    assert EXAMPLES in listed and listed[EXAMPLES]["size"] == (folder / EXAMPLES).stat().st_size
    same(ProbeResult.load(folder).examples, made)
    raw = pd.read_parquet(folder / EXAMPLES)
    assert raw["picture"].iloc[0][:4] == b"\x89PNG" and set(raw["rule"]) >= {"wrong", "random"}


def test_a_second_run_reads_and_chooses_nothing(folder, lenses, monkeypatch):
    made, content = chosen(folder, lenses).examples, (folder / EXAMPLES).read_bytes()
    monkeypatch.setattr(study, "examples", None)
    same(chosen(folder, lenses).examples, made)
    assert (folder / EXAMPLES).read_bytes() == content


def test_damaged_examples_are_named_and_made_again(folder, lenses):
    made, content = chosen(folder, lenses), (folder / EXAMPLES).read_bytes()
    (folder / EXAMPLES).write_bytes(content[:-1] + b"x")
    hurt = ProbeResult.load(folder)
    assert hurt.examples is None and f"{EXAMPLES} has been changed since it was written" in hurt.without_examples
    pd.testing.assert_frame_equal(hurt.table, made.table)
    assert "has been changed" in itinf.compare([hurt]).examples["net"]
    again = chosen(folder, lenses)
    assert (folder / EXAMPLES).read_bytes() == content and again.without_examples == ""
    same(again.examples, made.examples)


def test_a_file_of_another_shape_is_named(folder):
    chosen(folder)
    content = pd.DataFrame({"item": [1]}).to_parquet()
    with ResultsFolder.open(folder, None) as kept:
        kept.add(EXAMPLES, content)
    assert "cannot be read as a table" in ProbeResult.load(folder).without_examples
    assert "cannot be read as a table" in chosen(folder).without_examples


def test_an_interruption_leaves_a_folder_that_is_read_and_completed(folder, lenses, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "examples", interrupted)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(KeyboardInterrupt):
        chosen(folder, lenses)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    run = ProbeResult.load(folder)
    assert run.examples is None and run.without_examples == "" and itinf.compare([run]).examples == {}
    monkeypatch.undo()
    assert chosen(folder, lenses).examples is not None


def test_where_none_can_be_chosen_the_numbers_stand(folder):
    none = images(40)
    none.targets = torch.full_like(none.targets, IGNORED)
    run = chosen(folder, data=none)
    assert run.examples is None and "has a target" in run.without_examples and len(run.table)
    assert not (folder / EXAMPLES).exists()


def test_examples_go_where_their_network_goes(folder, lenses, tmp_path, monkeypatch):
    run = chosen(folder, lenses)
    monkeypatch.setattr("itinf.results.comparison_folder.draw_report", lambda *_, **__: [])
    save(itinf.compare([run]), tmp_path / "one")
    save(itinf.compare([run]), tmp_path / "two")
    same(Comparison.load(tmp_path / "one").examples["net"], run.examples)
    other = ProbeResult(run.stages, run.manifest | {"settings": run.manifest["settings"] | {"seed": 5}}, run.examples)
    save(itinf.compare([other]), tmp_path / "three")
    both = joined([tmp_path / "one", tmp_path / "three"])
    assert list(both.examples) == ["net (one)", "net (three)"]
    assert [one.network for one in both.examples.values()] == ["net (one)", "net (three)"]
    pd.testing.assert_frame_equal(both.examples["net (three)"].table, run.examples.table)


def test_examples_are_in_the_notebook_and_in_figures(folder, lenses):
    made = chosen(folder, lenses).examples
    assert made.plot(0).axes and "Read by" in made._repr_html_()

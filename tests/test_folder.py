"""Folders of every kind of study: killed at any moment they end bit for bit the same, and damage is made good."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest

import itinf
from itinf import lock, registry
from itinf.lenses.fit import fit
from itinf.lenses.transfer.transfer import transfer
from itinf.results import report
from itinf.results.comparison import Comparison
from itinf.results.folder import ResultsFolder
from itinf.results.manifest import MANIFEST, damages, read_manifest
from itinf.results.probe_result import ProbeResult
from itinf.results.report import REPORT
from itinf.results.transfer_result import TransferResult
from itinf.statistics import bootstrap
from itinf.studies import study as studies
from itinf.studies.study_file import Study, StudyNetwork
from lens_oracles import descending, labelled, starts
from pages import ShortPage
from tiny import gpt2, probed, save_always, tokens

BLOCK = 12
PROBES = [itinf.Performance(), itinf.Alignment(nulls=("pairing",), gradients=("output",)), itinf.UpdateNorm()]
DRAWN: set[Path] = set()
"""Folders of comparisons that get their page."""
KINDS = pytest.mark.parametrize("kind", ["probe", "transfer", "compare"])


@pytest.fixture(scope="module", autouse=True)
def small():
    """Blocks of few clusters, and few figures; the page of a comparison, which takes longest, only where it is asked for."""

    def draw(comparison, folder):
        if folder.path in DRAWN:
            report.draw_report(comparison, folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "BLOCK", BLOCK)
        patch.setattr(report, "FIGURES", ("update_norm",))
        patch.setattr(report, "LENS_FIGURES", ("lenses",))
        patch.setattr(registry, "page", lambda name: ShortPage)
        patch.setattr(studies, "draw_report", draw)  # once for all: two threads would take back each other's
        yield


def silent(*_):
    pass


@cache
def network():
    return gpt2()


def a_probe(out, told=silent, **settings):
    given = {"probes": PROBES, "untrained": 1, "batch": 8} | settings
    return probed(network(), tokens(56), out=out, progress=told, **given)


@cache
def moved():
    net = descending(6)
    return net, fit(net, labelled(net, starts(150, 6, 0), 0)), labelled(net, starts(300, 6, 1), 1)


def a_transfer(out, told=silent, **settings):
    return transfer(*moved(), out=out, progress=told, **({"precision": 0.0, "replicates": 20, "batch": 64} | settings))


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("".join(f"{n} times {n} is {n * n}. " for n in range(300)))
    return path


def a_comparison(text, out, told=silent, drawn=False, **settings):
    """One network of a block with its lenses, and the same untrained."""
    options = {"n_layer": 1, "n_embd": 8, "n_head": 2, "vocab_size": 256, "n_positions": 16}
    networks = [StudyNetwork("gpt2", f"text:{text}", weights="random:1", fit_units=256, options=options)]
    given = {
        "units": 512,
        "replicates": 20,
        "group": 8,
        "calibration": 8,
        "untrained": 1,
        "batch": 16,
        "device": "cpu",
    } | settings
    if drawn:
        DRAWN.add(out)
    return itinf.run_study(Study(networks), out, progress=told, **given)


@pytest.fixture
def study(kind, text):
    """A small study of a kind: folder, told -> result."""
    return {"probe": a_probe, "transfer": a_transfer, "compare": partial(a_comparison, text)}[kind]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, text):
    """Kind -> its result and folder, measured without interruption."""
    made = {}

    def of(kind):
        if kind not in made:
            study = {"probe": a_probe, "transfer": a_transfer, "compare": partial(a_comparison, text, drawn=True)}[kind]
            folder = tmp_path_factory.mktemp("whole") / kind
            made[kind] = study(folder), folder
        return made[kind]

    return of


def same(one, two):
    """No bit differs: tables, and every sum behind them."""
    assert one.table.equals(two.table)
    for a, b in zip(getattr(one, "runs", [one]), getattr(two, "runs", [two]), strict=True):
        for name, stage in getattr(a, "stages", {}).items():
            found, wanted = stage.sums.arrays(), b.stages[name].sums.arrays()
            assert found.keys() == wanted.keys() and all(np.array_equal(found[k], wanted[k]) for k in wanted)
            for field in stage.histograms.FIELDS:
                assert np.array_equal(getattr(stage.histograms, field), getattr(b.stages[name].histograms, field))
    if hasattr(one, "summaries"):
        assert one.summaries.equals(two.summaries)


class Killer:
    """Ends the study with KeyboardInterrupt at the n-th event: progress, or just before or after a file is written."""

    def __init__(self, patch):
        self.left, replace = None, Path.replace

        def written(path, target):
            self.event()
            replace(path, target)
            self.event()

        patch.setattr(Path, "replace", written)

    def event(self, *_):
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.left = None
                raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("kind", "rounds"),
    [("probe", 20), ("transfer", 20), ("compare", 8), pytest.param("compare", 20, marks=pytest.mark.simulation)],
)
def test_killed_at_random_moments_it_ends_with_the_same_bits(kind, rounds, study, finished, tmp_path, monkeypatch):
    """One folder, killed again and again; what is saved between is decided at random, too."""
    whole, _ = finished(kind)
    draw, kills, clusters = random.Random(kind), 0, 0
    monkeypatch.setattr(ResultsFolder, "due", lambda folder: draw.random() < 0.7)
    killer, folder = Killer(monkeypatch), tmp_path / "parts 0"
    for number in range(rounds):
        killer.left = draw.randrange(60 if kind == "compare" else 20)
        try:
            same(study(folder, killer.event), whole)
            folder = tmp_path / f"parts {number + 1}"  # it came to its end: another one
        except KeyboardInterrupt:
            kills += 1
        assert not [path for path in tmp_path.rglob(".*") if path.is_file()], "a lock or a half-written file is left"
    killer.left = None
    last = study(folder, killer.event)
    same(last, whole)
    for run in [last] if kind != "compare" else last.runs:
        history = [sitting["clusters"] for sitting in run.manifest["history"]]
        clusters = history[-1][1]
        assert [0, *(stop for _, stop in history)] == [*(start for start, _ in history), clusters]
    assert kills >= rounds / 2 and damages(folder, read_manifest(folder)) == {}
    same({"probe": ProbeResult, "transfer": TransferResult, "compare": Comparison}[kind].load(folder), whole)


@KINDS
def test_a_complete_folder_is_read_and_not_written(kind, study, finished):
    whole, folder = finished(kind)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    events = []
    same(study(folder, lambda *event: events.append(event)), whole)
    assert {name for name, *_ in events} <= {"report"}
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == {
        path: when for path, when in before.items() if path.is_file()
    }


RUN = """
import sys, time
sys.path.insert(0, {tests!r})
import torch
torch.set_num_threads({threads})
import test_folder
test_folder.bootstrap.BLOCK = test_folder.BLOCK
from itinf.results.folder import ResultsFolder
from pathlib import Path
ResultsFolder.due = lambda folder: True
def told(stage, done, total):
    print(stage, done, flush=True)
    time.sleep(600 if (stage, done) == ("observed", 40) else 0)
test_folder.a_probe(Path({out!r}), told)
"""


def test_beside_a_running_study_others_are_refused_and_its_kill_loses_nothing(finished, tmp_path):
    """SIGKILL within a block."""
    import torch

    script = RUN.format(tests=str(Path(__file__).parent), threads=torch.get_num_threads(), out=str(tmp_path / "out"))
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
    )
    try:
        assert any(line == "observed 40\n" for line in process.stdout)
        for settings in ({}, {"seed": 1}):
            with pytest.raises(itinf.ItinfError, match=rf"in use: process {process.pid} on "):
                a_probe(tmp_path / "out", **settings)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    with pytest.raises(itinf.ItinfError, match=r"another study: settings\.seed is 1 here and 0 there"):
        a_probe(tmp_path / "out", seed=1)
    stages = []
    run = a_probe(tmp_path / "out", lambda *told: stages.append(told))
    assert next(told[:2] for told in stages if told[0] == "observed") == ("observed", 32)  # the save before
    same(run, finished("probe")[0])
    assert len(run.manifest["history"]) == 2


@KINDS
def test_of_two_that_start_at_once_one_is_refused(kind, study, finished, tmp_path):
    gate, ended = threading.Barrier(2, timeout=60), []

    def start():
        gate.wait()
        try:
            ended.append(study(tmp_path / "out"))
        except itinf.ItinfError as refusal:
            ended.append(str(refusal))

    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [one for one in ended if isinstance(one, str)]
    assert len(refused) == 1 and f"process {os.getpid()} on" in refused[0], ended
    (run,) = (one for one in ended if not isinstance(one, str))
    same(run, finished(kind)[0])


def test_a_sitting_under_other_circumstances_is_on_record(tmp_path, monkeypatch):
    save_always(monkeypatch)
    killer, out = Killer(monkeypatch), tmp_path / "Größe 1"
    killer.left = 30
    with pytest.raises(KeyboardInterrupt):
        a_probe(out, killer.event)
    path = out / MANIFEST
    begun = json.loads(path.read_text())
    begun["history"][0]["circumstances"]["versions"]["torch"] = "1.13.0"
    path.write_text(json.dumps(begun))
    run = a_probe(out, batch=16)
    first, second = run.manifest["history"]
    assert first["circumstances"] == begun["history"][0]["circumstances"] and first["clusters"][0] == 0
    assert second["circumstances"]["batch"] == 16 and second["clusters"] == [first["clusters"][1], 70]
    assert run.manifest["seconds"] == pytest.approx(first["seconds"] + second["seconds"], abs=0.06)
    assert any("2 sittings with different torch: 1.13.0, " in note for note in run.notes)
    assert {key: run.manifest[key] for key in run.identity} == {key: begun[key] for key in run.identity}


def spoil(path, how):
    content = path.read_bytes()
    if how == "deleted":
        path.unlink()
    else:
        place = len(content) // 2
        path.write_bytes(
            content[:place] + (b"" if how == "truncated" else bytes([content[place] ^ 1]) + content[place + 1 :])
        )


HOW = pytest.mark.parametrize("how", ["deleted", "truncated", "flipped"])
LISTED = {
    "probe": ["sums.safetensors", "measures.parquet"],
    "transfer": ["measures.parquet", "summaries.parquet", "replicates.parquet"],
    "compare": ["measures.parquet", "measures.csv", "summaries.parquet", "study.toml", REPORT]
    + [f"figures/update_norm.{ending}" for ending in ("png", "svg", "csv")],
}


@HOW
@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in LISTED for name in LISTED[kind]])
def test_every_damage_is_noticed(kind, name, how, finished, tmp_path):
    _, folder = finished(kind)
    assert read_manifest(folder)["files"].keys() == set(LISTED[kind])
    copy = shutil.copytree(folder, tmp_path / "copy")
    spoil(copy / name, how)
    with ResultsFolder.open(copy, None) as opened:
        assert opened.damaged.keys() == {name} and opened.problem(name) and not opened.sound(name)


@HOW
@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in ("probe", "transfer") for name in LISTED[kind]])
def test_damage_is_made_good_or_named(kind, name, how, finished, tmp_path, caplog):
    whole, folder = finished(kind)
    copy = shutil.copytree(folder, tmp_path / "copy")
    spoil(copy / name, how)
    cls = {"probe": ProbeResult, "transfer": TransferResult}[kind]
    if (kind, name) == ("probe", "measures.parquet"):
        same(cls.load(copy), whole)  # the table is made from the sums
    else:
        with pytest.raises(itinf.ItinfError, match=rf"{name} (is not there|has)"):
            cls.load(copy)
    same({"probe": a_probe, "transfer": a_transfer}[kind](copy), whole)
    assert damages(copy, read_manifest(copy)) == {} and (copy / name).read_bytes() == (folder / name).read_bytes()
    assert ("measured again" in caplog.text) == ((kind, name) != ("probe", "measures.parquet"))


@HOW
def test_a_comparison_is_made_good(how, text, finished, tmp_path):
    """Everything that is made from the networks' sums is spoiled at once, and made again without the networks."""
    whole, folder = finished("compare")
    copy = shutil.copytree(folder, tmp_path / "copy")
    names = {name for name in LISTED["compare"] if name != "study.toml"}
    for name in names:
        spoil(copy / name, how)
    (copy / "networks/gpt2/measures.parquet").unlink()
    assert set(damages(copy, read_manifest(copy))) == names
    assert itinf.report(copy) == copy / REPORT
    assert damages(copy, read_manifest(copy)) == {}
    same(Comparison.load(copy), whole)


@pytest.mark.parametrize("name", ["networks/gpt2/sums.safetensors", "networks/gpt2/measures.parquet",
    "lenses/gpt2/trained/affine.safetensors", "lenses/gpt2/trained/shared.safetensors",
    "transfer/gpt2/trained/measures.parquet", "transfer/gpt2/untrained-0/summaries.parquet"])  # fmt: skip
def test_a_networks_part_of_a_comparison_is_made_again(name, text, finished, tmp_path):
    whole, folder = finished("compare")
    copy = shutil.copytree(folder, tmp_path / "copy")
    spoil(copy / name, "flipped")
    if "lenses" not in name and "measures" not in name.partition("networks")[2]:
        with pytest.raises(itinf.ItinfError, match=Path(name).name):
            itinf.report(copy)
    same(a_comparison(text, copy), whole)
    assert (copy / name).read_bytes() == (folder / name).read_bytes()
    assert all(damages(path.parent, read_manifest(path.parent)) == {} for path in copy.rglob(MANIFEST))


@pytest.mark.parametrize(
    ("change", "words"),
    [({"seed": 1}, r"study\.seed is 1 here and 0 there"), ({"units": 256}, r"study\.units is 256 here and 512 there")],
)
def test_another_comparison_is_refused_before_anything_is_written(change, words, text, finished):
    _, folder = finished("compare")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(itinf.ItinfError, match=rf"another comparison: {words}\. Choose another --out"):
        a_comparison(text, folder, **change)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@KINDS
def test_folders_of_schema_1_are_accepted_as_they_are(kind, study, finished, tmp_path):
    """They have neither a history nor hashes, and their lenses no manifest."""
    whole, folder = finished(kind)
    copy = shutil.copytree(folder, tmp_path / "copy")
    for path in copy.rglob(MANIFEST):
        if "lenses" in path.parts:
            path.unlink()
            continue
        old = json.loads(path.read_text())
        history = old.pop("history")
        del old["files"]
        old |= {"circumstances": history[0]["circumstances"]} if "probes" in old else {}
        for key in ("schema", "study", "seconds") if "study" in old else ():
            del old[key]
        path.write_text(json.dumps(old))
    events = []
    same(study(copy, lambda *event: events.append(event)), whole)
    assert {name for name, *_ in events} <= {"report"}
    if kind != "compare":
        run = {"probe": ProbeResult, "transfer": TransferResult}[kind].load(copy)
        same(run, whole)
        assert run.manifest["history"][0]["clusters"][1] > 0 and "measured in" not in repr(run)


@pytest.mark.parametrize("kind", ["probe", "transfer"])
def test_another_schema_is_named(kind, study, finished, tmp_path):
    copy = shutil.copytree(finished(kind)[1], tmp_path / "copy")
    there = json.loads((copy / MANIFEST).read_text())
    (copy / MANIFEST).write_text(json.dumps(there | {"schema": 0}))
    with pytest.raises(itinf.ItinfError, match=r"another version of itinf: .* schema 0.*choose another --out"):
        study(copy)


def test_a_complete_folder_that_cannot_be_written_is_read(finished, tmp_path, monkeypatch):
    whole, folder = finished("probe")

    def refused(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(lock.os, "open", refused)
    same(a_probe(folder), whole)
    with pytest.raises(itinf.ItinfError, match=r"out cannot be written \(Permission denied\). Choose another --out"):
        a_probe(tmp_path / "out")


def test_the_first_process_alone_locks_and_writes(finished, tmp_path, monkeypatch):
    """Under torchrun the others hold the same results, and read what stands."""
    whole, folder = finished("probe")
    monkeypatch.setenv("RANK", "1")
    with lock.kept(folder):
        same(a_probe(folder), whole)
    same(a_probe(tmp_path / "out"), whole)
    assert not (tmp_path / "out").exists()


def test_results_saved_by_hand_follow_the_protocol(finished, tmp_path):
    whole, _ = finished("probe")
    out = tmp_path / "out"
    for _ in range(2):
        whole.save(out)
        assert damages(out, read_manifest(out)) == {} and ProbeResult.load(out).manifest == whole.manifest
    with lock.kept(out), pytest.raises(itinf.ItinfError, match="in use"):
        whole.save(out)
    with pytest.raises(itinf.ItinfError, match=r"holds a study of one network \(itinf probe\), and not the transfer"):
        finished("transfer")[0].save(out)

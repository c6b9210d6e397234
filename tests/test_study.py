"""Whole studies of tiny networks: what must change no number, what an interruption leaves, what is refused."""

import threading

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import itinf
from itinf.data.dataset import IGNORED
from itinf.results import folder as folders
from itinf.results import sums as accumulator
from itinf.results.manifest import read_manifest
from itinf.studies import probe_pass
from tiny import GROUP, NAMES, Items, gpt2, images, opened, probed, resnet, save_always, study, tokens
from tolerance import rounding

NUMBERS = ["mean", "lo", "hi", "band_lo", "band_hi", "n_units", "n_missing", "n_clusters"]
KINDS = pytest.mark.parametrize("kind", ["image", "token"])


def numbers(run):
    return run.table.set_index(NAMES).sort_index()


FLOAT32 = rounding(torch.float32, 9 * 64)
"""Another batch adds up the longest sums, over 9 pixels of 64 channels, in another order."""


def agree(one, two, tolerance=FLOAT32):
    """All rows, all numbers; medians' intervals may step by what one unit weighs."""
    a, b = numbers(one), numbers(two)
    assert a.index.is_unique and a.index.equals(b.index)
    np.testing.assert_allclose(a[NUMBERS].to_numpy(float), b[NUMBERS].to_numpy(float), rtol=tolerance, atol=tolerance)
    assert (a.reason == b.reason).all()


@KINDS
@pytest.mark.parametrize("batch", [5, 32])
def test_the_batch_changes_nothing(kind, batch):
    agree(study(kind, untrained=1), probed(*opened(kind), untrained=1, batch=batch))


@KINDS
def test_the_number_of_threads_changes_nothing(kind):
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if threads > 1 else 2)
    try:
        agree(study(kind), probed(*opened(kind)))
    finally:
        torch.set_num_threads(threads)


@KINDS
def test_a_loaders_order_changes_nothing(kind):
    network, data = opened(kind)
    items = [data[i] for i in range(len(data))]
    loader = DataLoader(items, batch_size=7, shuffle=True)
    agree(probed(network, items), probed(network, loader), 0)


def test_the_order_of_items_changes_nothing():
    """Items that keep their names may stand anywhere."""
    network, data = opened("token")

    class Backwards(Items):
        def key(self, index):
            return str(len(self) - 1 - index)

    turned = Backwards("token", data.inputs.flip(0), data.targets.flip(0))
    agree(probed(network, data), probed(network, turned))


@KINDS
def test_shards_merge_into_the_whole(kind):
    network, data = opened(kind, 28)
    first, second = (probed(network, data, shard=(i, 2), untrained=1, batch=GROUP) for i in range(2))
    whole = probed(network, data, untrained=1, batch=GROUP)
    agree(itinf.merge([first, second]), whole, 1e-9)
    agree(itinf.merge([second, first]), whole, 1e-9)
    assert (first.clusters, second.clusters) == (16, 12)
    with pytest.raises(itinf.ItinfError, match="1/2 is there twice"):
        itinf.merge([first, first])


def test_shards_do_not_depend_on_the_batch():
    network, data = opened("token", 28)
    parts = [probed(network, data, shard=(i, 2), batch=batch) for i, batch in ((0, 5), (1, 32))]
    agree(itinf.merge(parts), study("token", 28))


def test_units_are_counted_in_whole_sequences():
    network, data = opened("token")
    assert (probed(network, data, units=100).clusters, probed(network, data, units=100).units) == (17, 102)


class KilledError(Exception):
    pass


def killed_after(calls):
    """A progress callback that raises at the given call after something was measured."""
    seen = []

    def progress(stage, done, total):
        if stage != "calibration" and done:
            seen.append((stage, done, total))
            if len(seen) == calls:
                raise KilledError

    return progress


@KINDS
@pytest.mark.parametrize("calls", [2, 4])
def test_a_killed_study_goes_on_with_another_batch(kind, calls, tmp_path, monkeypatch):
    """Killed in the first or the second stage; out of memory, one goes on with a smaller batch."""
    save_always(monkeypatch)
    network, data = opened(kind)
    out = tmp_path / "run"
    with pytest.raises(KilledError):
        probed(network, data, untrained=1, batch=8, out=out, progress=killed_after(calls))
    with pytest.raises(itinf.ItinfError, match="no finished results"):
        itinf.ProbeResult.load(out)
    done = []
    run = probed(network, data, untrained=1, batch=16, out=out, progress=lambda *seen: done.append(seen))
    measured = [seen for seen in done if seen[0] != "calibration"]
    stages = [seen[:2] for seen in measured]
    assert stages[:2] == [("observed", 8), ("observed", 24)] if calls == 2 else stages[0][0] == "untrained:0"
    agree(run, study(kind, untrained=1))
    agree(itinf.ProbeResult.load(out), run, 1e-12)


def test_a_complete_folder_is_read(tmp_path, monkeypatch):
    network, data = opened("token")
    run = probed(network, data, out=tmp_path / "run")
    before = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "run").iterdir()}
    assert set(before) == {"manifest.json", "sums.safetensors", "measures.parquet"}

    def never(*_, **__):
        raise AssertionError("measured again")

    monkeypatch.setattr(probe_pass, "trace", never)
    agree(probed(network, data, out=tmp_path / "run", batch=8), run, 1e-12)
    assert {file.name: file.stat().st_mtime_ns for file in (tmp_path / "run").iterdir()} == before


def test_a_folder_can_be_read_at_any_time(tmp_path, monkeypatch):
    """A reader beside the writer: every file is whole, and sums never stand without a manifest."""
    save_always(monkeypatch)
    network, data = opened("token")
    out, stop, faults = tmp_path / "run", threading.Event(), []

    def read():
        while not stop.wait(0.005):
            try:
                files = {file.name for file in out.glob("[!.]*")}
                assert "sums.safetensors" not in files or "manifest.json" in files
                manifest = read_manifest(out)
                if "sums.safetensors" in files:
                    accumulator.load_sums(out / "sums.safetensors")
                if manifest is not None and manifest["complete"]:
                    itinf.ProbeResult.load(out)
            except Exception as fault:
                faults.append(fault)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        probed(network, data, batch=8, out=out)
    finally:
        stop.set()
        reader.join()
    assert not faults
    assert not list(out.glob(".*")), "a temporary file was left"


def test_an_interrupted_write_leaves_a_folder_that_resumes(tmp_path, monkeypatch):
    """The disk is full at the first sums: the study begins again, and nobody is told that the folder is foreign."""
    network, data = opened("token")

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(folders, "write_bytes", full)
        probed(network, data, out=tmp_path / "run")
    agree(probed(network, data, out=tmp_path / "run"), study("token"))


@pytest.mark.parametrize(
    ("change", "named"),
    [({"seed": 1}, "seed"), ({"replicates": 50}, "replicates"), ({"group": 4}, "group"), ({"units": 60}, "clusters"),
     ({"probes": [itinf.Performance()]}, "probes"), ({"untrained": 1}, "untrained")],
)  # fmt: skip
def test_another_studys_folder_is_refused_by_name(change, named, tmp_path):
    network, data = opened("token", 16)
    quick = {"probes": [itinf.UpdateNorm()], "out": tmp_path / "run"}
    probed(network, data, **quick)
    with pytest.raises(itinf.ItinfError, match=rf"holds another study: .*{named}.* Choose another --out"):
        probed(network, data, **(quick | change))


def test_another_network_or_data_set_is_refused(tmp_path):
    data = tokens(16)
    quick = {"probes": [itinf.UpdateNorm()], "out": tmp_path / "run"}
    probed(gpt2(), data, **quick)
    with pytest.raises(itinf.ItinfError, match=r"network\.fingerprint"):
        probed(gpt2(seed=2), data, **quick)
    data.note = {"items": 17}
    with pytest.raises(itinf.ItinfError, match=r"data\.note"):
        probed(gpt2(), data, **quick)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(itinf.ItinfError, match="holds no itinf results"):
        probed(gpt2(), data, **(quick | {"out": tmp_path / "other"}))


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"unit": 8}, "no setting 'unit'. Did you mean units"), ({"units": 0}, "units is 0; expected a whole number of at least 1"),
     ({"units": 10**6}, "1,000,000 tokens asked for, but tiny has 96"), ({"group": 1}, "group is 1"),
     ({"calibration": 0}, "calibration is 0"), ({"replicates": 1}, "replicates is 1"), ({"untrained": -1}, "untrained is -1"),
     ({"seed": -1}, "seed is -1"), ({"shard": (2, 2)}, r"shard is \(2, 2\)"), ({"batch": 0}, "batch is 0"),
     ({"shard": (2, 3)}, "16 clusters make 2 groups of 8")],
)  # fmt: skip
def test_mistakes_are_named_before_anything_is_written(settings, message, tmp_path):
    with pytest.raises(itinf.ItinfError, match=message):
        probed(gpt2(), tokens(16), **(settings | {"out": tmp_path / "run"}))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("target", [-1, 10])
def test_a_target_that_is_no_class_is_named(target):
    network, data = opened("image", 16)
    data.targets[3] = target
    with pytest.raises(itinf.ItinfError, match=f"target {target} is out of range for a head of 10 classes"):
        probed(network, data)


def test_padding_changes_nothing():
    """Tokens without a target after the last known one: in a causal network no number sees them."""
    network, short = gpt2(), tokens(24)
    pad = torch.full_like(short.inputs[:, :3], 5)
    long = Items(
        "token", torch.cat([short.inputs, pad], 1), torch.cat([short.targets, torch.full_like(pad, IGNORED)], 1)
    )
    agree(probed(network, long), probed(network, short))


def test_images_without_a_target_enter_no_number():
    """Left out by target or by not being there: the same, but for the pairs' groups."""
    network, data = resnet(), images(32)
    order = itinf.data.clusters.keyed_order(data, None, 0).indices
    data.targets[order[24:]] = IGNORED
    probes = [
        itinf.Performance(),
        itinf.Alignment(nulls=()),
        itinf.UpdateNorm(),
        itinf.Gain(nulls=()),
        itinf.Prediction(nulls=()),
    ]
    whole, part = probed(network, data, probes=probes), probed(network, data, units=24, probes=probes)
    a, b = (numbers(run) for run in (whole, part))
    assert (whole.units, part.units) == (24, 24)
    # the forms that calibrate see fewer units
    free = ~a.index.get_level_values("form").isin(["centred", "gauge-fixed"])
    np.testing.assert_allclose(a["mean"][free], b["mean"][free], rtol=FLOAT32, atol=FLOAT32)


@pytest.mark.parametrize("setting", [{"dtype": "float64"}, {"device": "cpu"}, {"precision": 0.1}, {"unit": 8}])
def test_a_setting_that_would_be_ignored_is_refused(setting):
    """A network is moved by its own ``to``; transfer alone has a precision."""
    with pytest.raises(itinf.ItinfError, match=f"no setting {next(iter(setting))!r}"):
        itinf.probe(*opened("image", 16), **setting)

"""Runs on disk, side by side and in words."""

import json

import numpy as np
import pandas as pd
import pytest
from safetensors import safe_open

import itinf
from itinf.files import difference
from itinf.results.manifest import MANIFEST, record_of
from itinf.results.probe_result import IDENTITY
from itinf.results.sums import SUMS
from itinf.results.table import MEASURES
from tiny import GROUP, gpt2, study, tokens

KINDS = pytest.mark.parametrize("kind", ["image", "token"])


def equal(one, two):
    pd.testing.assert_frame_equal(one, two, check_exact=True)


@KINDS
def test_a_run_comes_back_from_its_folder(kind, tmp_path):
    run = study(kind, untrained=1)
    run.save(tmp_path / "run")
    again = itinf.ProbeResult.load(tmp_path / "run")
    equal(again.table, run.table)
    equal(pd.read_parquet(tmp_path / "run" / MEASURES), run.table)
    written = json.loads((tmp_path / "run" / MANIFEST).read_text())
    assert again.manifest == run.manifest == record_of(written) and set(written["files"]) == {SUMS, MEASURES}
    assert (again.units, again.clusters, repr(again)) == (run.units, run.clusters, repr(run))


def test_a_saved_run_is_the_same_file_again(tmp_path):
    first = study("token").save(tmp_path / "one")
    second = itinf.ProbeResult.load(first).save(tmp_path / "two")
    assert (first / SUMS).read_bytes() == (second / SUMS).read_bytes()


def test_sums_are_float64_and_each_count_is_stored_once(tmp_path):
    run = study("token")
    run.save(tmp_path / "run")
    with safe_open(tmp_path / "run" / SUMS, framework="numpy") as file:
        found = {name: file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118
    whole = ("keys", "histogram/fine", "histogram/counts")  # keys, bins and numbers of units
    assert {dtype for name, dtype in found.items() if not name.endswith(whole)} == {np.dtype("float64")}
    sums = run.stages["observed"].sums
    counts = [k for name, k in sums.index.items() if name == "n|known"]
    assert len(counts) == 1
    assert sum(e.columns.get("n") == "n|known" for e in run.stages["observed"].entries.values()) > 20


@pytest.mark.parametrize("spoil", [SUMS, MANIFEST])
def test_a_spoiled_folder_is_named(spoil, tmp_path):
    folder = study("token").save(tmp_path / "run")
    content = (folder / spoil).read_bytes()
    (folder / spoil).write_bytes(content[: len(content) // 2])
    with pytest.raises(itinf.ItinfError, match=f"{spoil} (cannot be read|has .* bytes, and .* were written)"):
        itinf.ProbeResult.load(folder)


def test_a_folder_without_results_is_named(tmp_path):
    with pytest.raises(itinf.ItinfError, match="holds no finished results"):
        itinf.ProbeResult.load(tmp_path)


def test_a_merged_run_comes_back(tmp_path):
    parts = [study("token", shard=(i, 2)) for i in range(2)]
    before = [part.clusters for part in parts]
    whole = itinf.merge(parts)
    assert [part.clusters for part in parts] == before, "merging changes no part"
    assert whole.manifest["settings"]["merged"] == [[0, 2], [1, 2]]
    whole.save(tmp_path / "run")
    equal(itinf.ProbeResult.load(tmp_path / "run").table, whole.table)


def test_runs_of_different_studies_do_not_merge():
    network, data = gpt2(), tokens(16)
    quick = {"probes": [itinf.UpdateNorm()], "group": GROUP}
    one = itinf.probe(network, data, shard=(0, 2), **quick)
    other = itinf.probe(network, data, shard=(1, 2), seed=1, **quick)
    with pytest.raises(itinf.ItinfError, match=r"not of one study: settings\.seed is 0 here and 1 there"):
        itinf.merge([one, other])


def test_identity_and_circumstance():
    run = study("token")
    manifest = run.manifest
    assert set(IDENTITY) < set(manifest)
    assert difference(run.identity, manifest) is None
    assert difference(run.identity, manifest | {"history": [], "seconds": 1e9}) is None
    changed = manifest | {"settings": manifest["settings"] | {"group": 9}}
    assert difference(run.identity, changed) == f"settings.group is {GROUP} here and 9 there"


@KINDS
def test_the_words_for_a_run(kind):
    run = study(kind, 16)
    words = repr(run)
    assert f"{run.units:,} {kind}s in 16 clusters" in words
    table = run.table.set_index("measure")
    assert f"{table['mean']['accuracy']:.2%}" in words and f"{table['mean']['loss']:.3f} nats" in words
    assert ("3 (of 2, 2, 2 blocks)" if kind == "image" else "1 (of 2 blocks)") in words
    assert "rough" in words
    assert ("changes the state's shape" in words) == (kind == "image")

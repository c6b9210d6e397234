"""Estimators, reasons and nulls in files: what was written by an older itinf is read, what comes back is equal."""

import dataclasses
import importlib
import json
import pkgutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import itinf
from itinf.results.estimators import _KINDS, _KNOWN, Mean, estimator_json, estimator_of
from itinf.results.reasons import REASONS, Reason, reason_of
from itinf.results.sums import load_sums, merge_stages
from itinf.studies.probe import default_probes
from tiny import opened, probed, study, tokens

SHARES = {"Share": "Mean", "PairShare": "PairMean", "PartnerShare": "PartnerMean"}
"""Estimators that an older itinf did not tell from means."""
SPACED = {"own_n", "own_gain", "own_movement"}
"""Roles that were written with a space."""


def as_before(header):
    """A header as an older itinf wrote it: kinds as words, reasons as sentences alone, no nulls."""
    kinds = {kind.__name__: word for word, kind in _KINDS.items()}
    for stage in header.values():
        stage["missing"] = [[row, sentence] for row, sentence, _ in stage["missing"]]
        del stage["nulls"]
        for entry in stage["entries"]:
            name = entry.pop("estimator")
            entry["kind"] = kinds[SHARES.get(name, name)]
            del entry["module"]
            columns = entry["columns"].items()
            entry["columns"] = {r.replace("_", " ") if r in SPACED else r: column for r, column in columns}
    return header


@pytest.mark.parametrize("kind", ["image", "token"])
def test_files_of_an_older_itinf_are_read(kind, tmp_path):
    since_then = itinf.Persistence, itinf.VarianceShares, itinf.EstimationError
    known_then = [probe for probe in default_probes() if not isinstance(probe, since_then)]
    run = probed(*opened(kind), probes=known_then, untrained=1)
    path = run.save(tmp_path / "run") / "sums.safetensors"
    with safe_open(path, framework="numpy") as file:
        header = json.loads(file.metadata()["itinf"])
    del header["blake2b"]  # an older itinf wrote no hash
    words = {entry["estimator"] for stage in header.values() for entry in stage["entries"]}
    assert words - set(SHARES) == {kind.__name__ for kind in _KINDS.values()}, "the study has every kind"
    save_file(load_file(path), path, metadata={"itinf": json.dumps(as_before(header))})
    stages = load_sums(path)
    as_means = {row: type(e).__mro__[e.share](**e.columns) for row, e in run.stages["observed"].entries.items()}
    assert stages["observed"].entries == as_means
    read, measures = (
        itinf.ProbeResult(stages, run.manifest).table,
        ["descent_share", "descent_share_effect", "accuracy"],
    )
    for found in (read, run.table):
        found.loc[found.measure.isin(measures), ["lo", "hi", "band_lo", "band_hi"]] = 0.0  # they had other intervals
    pd.testing.assert_frame_equal(read, run.table)


def test_an_estimator_comes_back_from_plain_data():
    for row, estimator in study("token").stages["observed"].entries.items():
        assert estimator_of(json.loads(json.dumps(estimator_json(estimator)))) == estimator, row


@pytest.mark.parametrize("columns", [{"sum": "a", "n": "b"}, {"n": "b", "other": "c"}])
def test_other_columns_are_named(columns):
    data = {"estimator": "Mean", "module": Mean.__module__, "columns": columns}
    with pytest.raises(itinf.ItinfError, match=r"estimated by a Mean with the columns .*itinf\.results\.estimators"):
        estimator_of(data)


def test_no_name_of_a_file_is_looked_up_outside_the_estimators():
    data = {"estimator": "system", "module": "os", "columns": {"n": "n|known"}}
    with pytest.raises(
        itinf.ItinfError, match=r"an estimator 'system', which the module 'os' defines\. Import it first"
    ):
        estimator_of(data)
    data["module"] = "__main__"
    with pytest.raises(itinf.ItinfError, match=r"the program or notebook that measured them defines\. Run its"):
        estimator_of(data)


def test_every_reason_has_a_code_and_a_sentence_of_its_own():
    assert all(reason_of(reason.sentence) == reason == REASONS[code] for code, reason in REASONS.items())
    assert reason_of("it was too cold") == Reason("other", "it was too cold")
    table = pd.concat([study(kind).table for kind in ("image", "token")])
    assert ((table.reason == "") == (table.reason_code == "")).all()
    missing = table[table["mean"].isna()]
    assert (missing.reason == [REASONS[code].sentence for code in missing.reason_code]).all()
    assert set(missing.reason_code) == {"shape_changes", "no_readout", "no_readout_of_both", "no_unit"}


@pytest.mark.parametrize(
    ("name", "skips", "code"), [("cifar-resnet8", True, "no_gauge"), ("cifar-plain8", False, "no_skips")]
)
def test_a_network_without_a_gauge_says_by_code_whether_it_has_skips(name, skips, code):
    """A residual network that is described without a gauge has its skips all the same."""
    network = dataclasses.replace(itinf.network(name), gauge=None, regauge=None)
    run = probed(network, opened("image", 16)[1], probes=[itinf.Alignment(forms=("gauge-fixed",))])
    assert {code} <= set(run.table.reason_code) <= {code, "no_readout", "shape_changes"}
    assert run.stages["observed"].structure["skips"] is skips and set(run.table.skips) == {skips}
    assert study("image").stages["observed"].structure["skips"] is True


def as_older(path):
    """Writes a file of sums as an itinf did that had coarse bins only, and no products of columns over dyads."""
    positive = np.logspace(-8, 4, 289)
    old = np.concatenate([-positive[::-1], positive])
    with safe_open(path, framework="numpy") as file:
        header = json.loads(file.metadata()["itinf"])
    del header["blake2b"]
    tensors = load_file(path)
    for name, stage in header.items():
        kept = len(tensors[f"{name}/replicates"][0])
        stage["columns"], stage["replicated"] = stage["columns"][:kept], kept
        for key in ("plain", "clusters", "rows"):
            if f"{name}/{key}" in tensors:
                tensors[f"{name}/{key}"] = np.ascontiguousarray(tensors[f"{name}/{key}"][..., :kept])
        del stage["replicated"], tensors[f"{name}/histogram/fine"], tensors[f"{name}/histogram/counts"]
        below = np.tile(np.linspace(0, 24, len(old) + 1).round(), (len(stage["histograms"]), 1))
        tensors |= {f"{name}/histogram/{field}": below for field in ("below", "square", "cross")}
    save_file(tensors, path, metadata={"itinf": json.dumps(header)})


def test_a_study_that_an_older_itinf_began_starts_over_and_does_not_merge(tmp_path, caplog):
    network, data = opened("token", 16)
    run = probed(network, data, probes=[itinf.Gain()], out=tmp_path / "run")
    path, manifest = tmp_path / "run" / "sums.safetensors", tmp_path / "run" / "manifest.json"
    as_older(path)
    stages = load_sums(path)
    assert stages["observed"].older and len(itinf.ProbeResult(stages, run.manifest).table) == len(run.table)
    other = probed(network, tokens(32), probes=[itinf.Gain()]).stages
    with pytest.raises(itinf.ItinfError, match=r"other settings .* or by another version of itinf"):
        merge_stages([stages, other])
    manifest.write_text(manifest.read_text().replace('"complete": true', '"complete": false'))
    again = probed(network, data, probes=[itinf.Gain()], out=tmp_path / "run")
    assert "was written by an older itinf, which recorded less. It is measured again." in caplog.text
    pd.testing.assert_frame_equal(again.table, run.table)


def test_where_results_are_read_every_estimator_of_itinf_is_known_and_torch_is_not_needed():
    """In a process of its own, as here every module is loaded already."""
    text = (
        "import sys; import itinf.results.sums; from itinf.results.estimators import _KNOWN; "
        "print(*sorted(name for name, of in _KNOWN.items() if any(m.startswith('itinf.') for m in of)), 'torch' in sys.modules)"
    )
    *known, torch_loaded = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=True
    ).stdout.split()
    for module in pkgutil.walk_packages(itinf.__path__, "itinf."):
        if module.name != "itinf.__main__":
            importlib.import_module(module.name)
    every = {name for name, of in _KNOWN.items() if any(module.startswith("itinf.") for module in of)}
    assert set(known) == every and torch_loaded == "False"

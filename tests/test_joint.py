"""Several folders on one page: nothing is mixed up, nothing is written into them, and what differs is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

import itinf
from itinf import registry
from itinf.lenses.fit import fit
from itinf.lenses.transfer.transfer import transfer
from itinf.results.comparison import Comparison
from itinf.results.joint import joined
from lens_oracles import descending, labelled, starts
from pages import ShortPage
from pictures import RENDERS, blank
from test_page import Read
from tiny import SETTINGS

PROBES = [itinf.Performance(), itinf.UpdateNorm()]
SCHEMA1 = Path(__file__).parent / "data" / "schema1"


@pytest.fixture(scope="module", autouse=True)
def few_figures():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RENDERS, blank)  # the page of this module is made before a test's own fixtures
        yield


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Folders of several people: a/net and b/net of other seeds, a/moved with a transfer of a/net, b/other."""
    home = tmp_path_factory.mktemp("home")
    net = descending(6)
    data = labelled(net, starts(60, 6, 1), 1)
    itinf.probe(net.named("net"), data, PROBES, out=home / "a/net", **SETTINGS)
    itinf.probe(net.named("net"), data, PROBES, out=home / "b/net", **(SETTINGS | {"seed": 7}))
    other = descending(6).named("other")
    itinf.probe(other, data, PROBES, out=home / "b/other", **SETTINGS)
    lens = fit(net.named("net"), labelled(net, starts(150, 6, 0), 0))
    moved = transfer(net.named("renamed since"), lens, data, precision=0.0, replicates=20)
    moved.save(home / "a/moved")
    return home


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def page(home, tmp_path_factory):
    out = tmp_path_factory.mktemp("together") / "out"
    before = contents(home)
    made = itinf.report(home / "a/net", home / "a/moved", home / "b/net", str(home / "b/other"), out=out)
    assert contents(home) == before, "the folders are only read"
    assert made == out / "report.html"
    return made


def test_one_page_has_the_networks_of_all_folders_told_apart(page):
    read = Read(page.read_text(encoding="utf-8"))
    names = ["net (a/net)", "net (b/net)", "other"]
    assert [name for name in read.inside("bdi") if name in names][:3] == names
    said = read.inside("strong")
    assert [line for line in said if "is called" in line] == [
        f"Several folders have a network net; that of {folder} is called “net ({folder})”."
        for folder in ("a/net", "b/net")
    ]
    table = pd.read_parquet(page.parent / "measures.parquet")
    assert list(table["model"].unique()) == names
    seeds = {name: Comparison.load(page.parent)._run(name).manifest["settings"]["seed"] for name in names}
    assert seeds == {"net (a/net)": 0, "net (b/net)": 7, "other": 0}


def test_the_numbers_are_those_of_the_folders(home, page):
    table = pd.read_parquet(page.parent / "measures.parquet")
    own = pd.read_parquet(home / "b/net/measures.parquet")
    shown = table[table["model"] == "net (b/net)"].reset_index(drop=True)
    pd.testing.assert_frame_equal(shown.drop(columns="model"), own.drop(columns="model"))
    assert pd.read_csv(page.parent / "measures.csv")["mean"].count() == table["mean"].count()


def test_a_transfer_joins_the_probe_of_the_network_with_its_fingerprint(page):
    both = Comparison.load(page.parent)
    assert [moved.name for moved in both.transfers] == ["net (a/net)"], "whatever it was called"
    assert set(both.summaries["model"]) == {"net (a/net)"}
    assert (page.parent / "figures/one_lens.svg").is_file()


def test_what_differs_is_said_and_what_is_paired(page):
    rows = [cells for cells in Read(page.read_text(encoding="utf-8")).rows if cells[0] == "seed" and len(cells) == 3]
    assert rows == [["seed", "0: net (a/net) · other; 7: net (b/net)", "other units: no difference is paired"]]
    assert Comparison.load(page.parent).paired == [["net (a/net)", "other"]]
    assert "net (a/net) · other: measured on the same units" in page.read_text(encoding="utf-8")


def test_the_page_of_all_is_made_again_from_its_own_folder(page):
    before = page.read_bytes()
    itinf.report(page.parent)
    assert page.read_bytes() == before


def test_the_same_measurement_is_shown_once(home, tmp_path):
    shutil.copytree(home / "a/net", tmp_path / "copy")
    both = joined([home / "a/net", tmp_path / "copy"])
    assert [run.name for run in both.runs] == ["net"]
    assert both.joined == [f"{tmp_path / 'copy'} and {home / 'a/net'} hold the same measurement of net: shown once."]


def test_what_is_unfinished_or_edited_is_named_and_the_rest_is_shown(home, page, tmp_path):
    spoiled = shutil.copytree(page.parent, tmp_path / "spoiled")
    (spoiled / "networks/other/sums.safetensors").write_bytes(b"?")
    manifest = json.loads((spoiled / "manifest.json").read_text())
    (spoiled / "manifest.json").write_text(json.dumps(manifest | {"complete": False}))
    begun = shutil.copytree(home / "b/net", tmp_path / "begun")
    manifest = json.loads((begun / "manifest.json").read_text())
    (begun / "manifest.json").write_text(json.dumps(manifest | {"complete": False}))
    made = itinf.report(spoiled, begun, out=tmp_path / "out")
    read = Read(made.read_text(encoding="utf-8"))
    assert [run.name for run in Comparison.load(tmp_path / "out").runs] == ["net (a/net)", "net (b/net)"]
    left = [line for line in read.inside("strong") if line.startswith("Left out: ")]
    assert (
        len(left) == 2
        and "networks/other/sums.safetensors has 1 bytes" in left[0]
        and "begun holds no finished" in left[1]
    )


def test_entries_taken_out_of_a_manifest_are_not_recorded(home, tmp_path):
    edited = shutil.copytree(home / "b/other", tmp_path / "edited")
    manifest = json.loads((edited / "manifest.json").read_text())
    del manifest["network"]["weights"], manifest["network"]["fingerprint"], manifest["settings"]["seed"]
    manifest["history"] = []
    (edited / "manifest.json").write_text(json.dumps(manifest))
    read = Read(itinf.report(edited).read_text(encoding="utf-8"))
    facts = read.inside("dd")
    assert any(fact.startswith("not recorded (float64, fingerprint not recorded") for fact in facts)
    assert any(fact.endswith("clusters, seed not recorded") for fact in facts)


def test_folders_of_an_older_itinf_are_put_together(tmp_path):
    made = itinf.report(SCHEMA1 / "probe", SCHEMA1 / "transfer", out=tmp_path / "out")
    both = Comparison.load(made.parent)
    assert len(both.runs) == 1 and len(both.transfers) == 1
    assert "not recorded" in Read(made.read_text(encoding="utf-8")).inside("dd"), "skips were not recorded then"


def test_transfers_alone_have_a_page(home, tmp_path):
    made = itinf.report(home / "a/moved", out=tmp_path / "out")
    assert "renamed since" in "".join(Read(made.read_text(encoding="utf-8")).inside("title"))
    assert itinf.report(made.parent) == made


def test_what_cannot_be_done_is_refused_with_what_to_do(home, tmp_path, command):
    with pytest.raises(
        itinf.ItinfError, match=r"2 folders were given, and no folder for the page\. Write itinf report"
    ):
        itinf.report(home / "a/net", home / "b/net")
    with pytest.raises(itinf.ItinfError, match="No folder was given"):
        itinf.report()
    with pytest.raises(itinf.ItinfError, match=r"which is only read\. Choose another --out"):
        itinf.report(home / "a/net", home / "b/net", out=home / "a/net/all")
    (tmp_path / "empty").mkdir()
    with pytest.raises(itinf.ItinfError, match=r"No folder holds finished results\. .*empty holds no results"):
        itinf.report(tmp_path / "empty", tmp_path / "empty", out=tmp_path / "out")
    code, printed = command("report", home / "none", home / "a/net", "--out", tmp_path / "out")
    assert code and "none is no folder. Give folders that itinf has written." in printed
    assert not (tmp_path / "out").exists()


def test_the_command_takes_several_folders(home, tmp_path, command, monkeypatch):
    monkeypatch.setattr(registry, "page", lambda name: ShortPage)
    code, printed = command("report", home / "a/net", home / "b/other", "--out", tmp_path / "out")
    assert code == 0 and f"Report: {tmp_path / 'out/report.html'}" in printed
    assert [run.name for run in Comparison.load(tmp_path / "out").runs] == ["net", "other"]

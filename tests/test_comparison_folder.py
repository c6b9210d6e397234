"""A comparison saved from Python is the folder that the command line writes: it is read, drawn again, and kept apart."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

import itinf
from itinf import registry
from itinf.lenses.fit import fit
from itinf.lenses.transfer.transfer import transfer
from itinf.results.comparison import Comparison
from itinf.results.groups import HEADLINES
from itinf.studies.compare import LENS_NULLS
from itinf.studies.probe import default_probes
from lens_oracles import descending, labelled, starts
from pages import ShortPage
from test_page import Read
from tiny import SETTINGS

PAGE = registry.page
NAMES = "one", "two"
GROUPS = {"trained": ["one", "two"]}
PROBES = [itinf.Performance(), itinf.Alignment(nulls=("pairing",), gradients=("output",)), itinf.UpdateNorm()]


def moved(net, data):
    """The transfer of a network, and that of the same network as if it were untrained."""
    lens = fit(net, labelled(net, starts(150, 6, 0), 0))
    found = transfer(net, lens, data, precision=0.0, replicates=20)
    return [found, found.as_null("untrained", 0)]


def test_all_headlines_of_groups_are_numbers_that_a_study_measures(both):
    net = descending(6).named("one")
    lens = fit(net, labelled(net, starts(150, 6, 0), 0), "shared")
    probes = [*default_probes(), itinf.Prediction(lens=lens, nulls=LENS_NULLS)]
    run = itinf.probe(net, labelled(net, starts(60, 6, 1), 1), probes, **SETTINGS)
    found = itinf.compare([run], both.transfers, groups={"alone": ["one"]}).group_table
    known = found[(found["headline"] != "") & found["mean"].notna()]
    assert sorted(known["headline"]) == sorted(HEADLINES), "each once"


@pytest.fixture(scope="module", autouse=True)
def few_figures():
    """Few figures, and a page in a line: drawing takes longest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "page", lambda name: Short)
        yield


class Short(ShortPage):
    def html(self, drawn, make_all=None):
        said = None if self.others["groups"] is None else self.others["group_notes"]
        return f"{sorted(drawn)}, {self.others['remarks']}, {said}"


@pytest.fixture(scope="module")
def both():
    net = descending(6)
    data = labelled(net, starts(60, 6, 1), 1)
    runs = [itinf.probe(net.named(name), data, PROBES, **SETTINGS) for name in NAMES]
    return itinf.compare(runs, moved(net.named(NAMES[0]), data), ["two has no lenses: none were fitted."], GROUPS)


@pytest.fixture(scope="module")
def folder(both, tmp_path_factory):
    return both.save(tmp_path_factory.mktemp("saved") / "both")


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_the_folder_holds_all_that_the_command_line_writes(both, folder):
    own = ("manifest.json", "measures.parquet", "sums.safetensors")
    moved = ("manifest.json", "measures.parquet", "summaries.parquet", "replicates.parquet")
    assert files(folder) == {
        "manifest.json", "measures.parquet", "summaries.parquet", "groups.parquet", "report.html", "measures.csv",
        *(f"figures/update_norm.{ending}" for ending in ("png", "svg", "csv")),
        *(f"networks/{name}/{file}" for name in NAMES for file in own),
        *(f"transfer/one/{kind}/{file}" for kind in ("trained", "untrained-0") for file in moved),
    }  # fmt: skip
    again = Comparison.load(folder)
    for name in ("table", "summaries", "group_table"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(both, name))
    assert (again.notes, again.groups) == (both.notes, both.groups)
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "groups.parquet"), both.group_table)
    assert (folder / "report.html").read_text() == f"['update_norm'], {both.notes}, ['trained: one, two.{ROUGH}']"


ROUGH = " Two networks give an interval of 1 degree of freedom, which is very wide."


def test_itinf_report_makes_the_same_page_again(folder):
    page = (folder / "report.html").read_bytes()
    for name in ("report.html", "groups.parquet"):
        (folder / name).unlink()
    assert itinf.report(folder) == folder / "report.html"
    assert (folder / "report.html").read_bytes() == page and (folder / "groups.parquet").is_file()


def test_the_same_comparison_is_saved_again_and_another_refused(both, folder, tmp_path):
    before = (folder / "report.html").stat().st_mtime_ns
    both.save(folder)
    assert (folder / "report.html").stat().st_mtime_ns == before, "what is there and sound is kept"
    with pytest.raises(itinf.ItinfError, match=r"holds another comparison: study.names is \['one'\] here and \['one'"):
        itinf.compare(both.runs[:1]).save(folder)
    with pytest.raises(itinf.ItinfError, match=r"study\.networks\.one"):
        other = itinf.compare(both.runs, both.transfers)
        changed = {"settings": both.runs[0].manifest["settings"] | {"seed": 7}}
        other.runs[0] = itinf.ProbeResult(other.runs[0].stages, other.runs[0].manifest | changed)
        other.save(folder)
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(itinf.ItinfError, match="holds no itinf results"):
        both.save(tmp_path)
    assert files(tmp_path) == {"thesis.tex"}


def test_other_groups_of_the_same_networks_are_drawn_anew(both, folder):
    itinf.compare(both.runs, both.transfers, both.notes).save(folder)
    assert Comparison.load(folder).groups == {} and (folder / "report.html").read_text().endswith("None")
    both.save(folder)
    assert Comparison.load(folder).groups == GROUPS and ROUGH in (folder / "report.html").read_text()
    assert json.loads((folder / "manifest.json").read_text())["study"]["made_by"] == "Comparison.save"


def test_what_would_have_one_folder_is_refused(both, tmp_path):
    with pytest.raises(itinf.ItinfError, match="Two transfers of one were given"):
        itinf.compare(both.runs, [both.transfers[0]] * 2).save(tmp_path / "out")
    slash = itinf.ProbeResult(
        both.runs[0].stages, both.runs[0].manifest | {"network": both.runs[0].manifest["network"] | {"name": "a/b"}}
    )
    under = itinf.ProbeResult(
        both.runs[0].stages, both.runs[0].manifest | {"network": both.runs[0].manifest["network"] | {"name": "a_b"}}
    )
    with pytest.raises(itinf.ItinfError, match="Two networks share a name"):
        itinf.compare([slash, under]).save(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_was_measured_without_alignment_or_accuracy_has_a_page_too(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "page", PAGE)
    net = descending(6).named("one")
    run = itinf.probe(net, labelled(net, starts(60, 6, 1), 1), [itinf.UpdateNorm()], **SETTINGS)
    folder = itinf.compare([run], groups={"alone": ["one"]}).save(tmp_path / "out")
    text = (folder / "report.html").read_text()
    assert "60 images in 60 clusters" in text and "as given" in text, "the page says that the network was live"
    assert any(row[:2] == ["mean over blocks or states", "alone, 1 network"] for row in Read(text).rows)
    assert {path.name for path in (folder / "figures").iterdir()} == {
        f"{name}.{ending}" for name in ("overview_one",) for ending in ("png", "svg", "csv")
    }

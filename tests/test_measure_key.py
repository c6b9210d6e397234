"""Probes that a study or a command measures beside the usual ones."""

from pathlib import Path

import pytest

import itinf
from itinf import registry
from itinf.studies import study as studies
from itinf.studies.compare import study_probes
from itinf.studies.study_file import read_study, study_toml

NETWORK = itinf.StudyNetwork("gpt2", "stdlib")


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(registry._session, "probes", {"swap": itinf.Swap, "lesion": itinf.Lesion})


def test_a_file_names_them_and_old_files_stay_as_they_were(tmp_path):
    plain, more = itinf.Study([NETWORK]), itinf.Study([NETWORK]).changed(measure=["swap", "lesion", "swap"])
    assert "measure" not in study_toml(plain) and more.measure == ["swap", "lesion"]
    (tmp_path / "study.toml").write_text(study_toml(more))
    assert read_study(tmp_path / "study.toml") == more


def test_the_command_line_lists_probes(command):
    code, printed = command("list")
    assert code == 0 and "Probes (--measure):" in printed and ", swap" in printed


def test_they_come_after_the_usual_ones_and_none_comes_twice():
    usual = study_probes(["label"])
    found = study_probes(["label"], measure=["gain", "swap"])
    assert found == [*usual, itinf.Swap()]


def test_a_study_measures_them(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(studies, "draw_report", lambda *_: None)
    text = tmp_path / "text.txt"
    text.write_text("".join(f"{n} times {n} is {n * n}. " for n in range(300)))
    options = "{n_layer = 2, n_embd = 8, n_head = 2, vocab_size = 256, n_positions = 16}"
    (tmp_path / "study.toml").write_text(
        'units = 256\nreplicates = 20\ngroup = 8\ncalibration = 8\nlens = "none"\nmeasure = ["swap"]\n'
        f'[[network]]\nname = "gpt2"\ndata = "text:{text}"\nweights = "random:1"\noptions = {options}\n'
    )
    table = itinf.run_study(tmp_path / "study.toml", tmp_path / "out").table
    assert set(table.loc[table["form"] == "swap", "measure"]) == {
        "cost",
        "accuracy_cost",
        "intervention_kl",
        "agreement",
    }
    assert "first_order_gain" in set(table["measure"])

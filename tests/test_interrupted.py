"""What an interrupted command shows: what is saved, what finished networks say, and how to go on."""

from __future__ import annotations

import sys

import pytest

import itinf
import tiny
from itinf.cli.interrupted import saved_is_shown
from itinf.registry import answers
from itinf.results.saved import finished_tables, saved
from itinf.studies import study as studies
from itinf.studies.study_file import Study, StudyNetwork

OPTIONS = {"n_layer": 1, "n_embd": 8, "n_head": 2, "vocab_size": 256, "n_positions": 16}


def stops(at, calls=1):
    """A progress function that ends a study at a stage."""
    left = [calls]

    def told(*seen):
        if at in seen and seen[-2] > 0:
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt

    return told


def test_how_much_of_a_probe_is_saved(tmp_path, monkeypatch, capsys):
    tiny.save_always(monkeypatch)
    monkeypatch.setattr(sys, "argv", ["itinf", "probe", "gpt2", "--out", "a folder"])
    network, data, out = *tiny.opened("token", 40), tmp_path / "out"
    assert saved(out) == []
    with pytest.raises(KeyboardInterrupt), saved_is_shown(out):
        tiny.probed(network, data, out=out, untrained=1, batch=8, progress=stops("observed", 3))
    # two slabs of 8 were saved before the third one was told; an untrained network reads a quarter, 10 clusters
    assert capsys.readouterr().err.splitlines() == [
        f"Saved in {out}:",
        "gpt2, probes: 16 of 50 clusters",
        "To resume: itinf probe gpt2 --out 'a folder'",
    ]
    assert finished_tables(out)[0].empty
    tiny.probed(network, data, out=out, untrained=1, batch=8)
    assert saved(out) == ["gpt2, probes: finished"]


def test_nothing_is_saved_yet(tmp_path, capsys):
    with pytest.raises(KeyboardInterrupt), saved_is_shown(tmp_path / "out"):
        raise KeyboardInterrupt
    assert capsys.readouterr().err == f"Nothing is saved in {tmp_path / 'out'} yet.\n"


def test_the_finished_networks_of_a_comparison_are_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(studies, "draw_report", lambda *_: None)
    path, out = tmp_path / "text.txt", tmp_path / "out"
    path.write_text("".join(f"{n} times {n} is {n * n}. " for n in range(300)))
    networks = [StudyNetwork("gpt2", f"text:{path}", weights="random:1", label=name, options=OPTIONS) for name in "ab"]
    plan = Study(networks, lens="none").changed(units=320, replicates=20, group=8, calibration=8, device="cpu")
    monkeypatch.setattr(sys, "argv", ["itinf", "compare", "study.toml"])
    with pytest.raises(KeyboardInterrupt), saved_is_shown(out):
        itinf.run_study(plan, out, progress=stops("b"))
    told = capsys.readouterr().err.splitlines()
    table = itinf.ProbeResult.load(out / "networks" / "a").table
    assert told == [
        f"Saved in {out}:",
        "a, probes: finished",
        *answers(table, finished_tables(out)[1]),
        "To resume: itinf compare study.toml",
    ]
    assert told[2].startswith("Steps go down the loss: a for")

"""The README's Python lines run one after another, as written but on smaller and fewer units."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import matplotlib.figure
import pandas as pd
import pytest

import itinf
from itinf import registry
from itinf.studies import study_file
from markdown import ROOT, code_blocks

SMALLER = {"randn(64, 3, 64, 64)": "randn(64, 3, 32, 32)", "units=4096": "units=1024", "units=2048": "units=512"}
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return [block.text for block in code_blocks(ROOT / "README.md") if block.language == language]


def test_python_lines_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    text = "".join(_blocks("python"))
    for written, smaller in SMALLER.items():
        assert written in text
        text = text.replace(written, smaller)
    exec(compile(text, "README.md", "exec"), names)
    run, both = names["run"], names["both"]
    assert isinstance(run.table, pd.DataFrame)
    assert isinstance(run.plot("gain"), matplotlib.figure.Figure)
    printed = capsys.readouterr().out
    for word in ("layer1.0", "segments", "bridges", "undefined", "64 images"):
        assert word in printed
    assert (tmp_path / "results" / "mine" / "manifest.json").is_file()
    assert isinstance(names["moved"].plot("transfer"), matplotlib.figure.Figure)
    assert {"retention", "transfer_penalty"} == set(names["moved"].summaries["measure"])
    assert (tmp_path / "results" / "gpt2.safetensors").is_file()
    same = both.difference(run.name, "again", "descent_share", gradient="output", update="update")
    assert same.paired.all() and (same["mean"] == 0).all() and (same.lo == 0).all() and (same.hi == 0).all()


def test_the_study_file_is_one(tmp_path: Path) -> None:
    (block,) = _blocks("toml")
    path = tmp_path / "study.toml"
    path.write_text(block)
    study = study_file.read_study(path)
    assert [e.label for e in study.networks] == ["", "skips removed", ""]
    path.write_text(study_file.study_toml(study))
    assert study_file.read_study(path) == study


def test_names_in_the_readme_exist() -> None:
    for name in re.findall(r"`itinf\.(\w+)`", README):
        assert hasattr(itinf, name) or name in registry.GROUPS, name
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        itinf.network("cifar-resnet20")

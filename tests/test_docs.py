"""Every code block of the documents runs as it is written, and their names and links are there."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure

import itinf
from itinf import registry
from itinf.results import report
from itinf.studies import study_file
from markdown import ROOT, code_blocks, commands, install, parsed
from reports.html.page import Page

DOCS = sorted((ROOT / "docs").glob("*.md"))
READ = ("measuring.md",)
"""Pages whose commands are read by the command line, and not run: they name weights and data of a user."""
NAMES = pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)


def run_python(path: Path) -> dict[str, Any]:
    """Runs the Python blocks that are no files, one after another; returns their names."""
    names: dict[str, Any] = {}
    for block in code_blocks(path):
        if block.language == "python" and not block.file:
            exec(compile(block.text, path.name, "exec"), names)
    return names


@NAMES
def test_every_block_has_a_language_that_is_run(path: Path) -> None:
    fences = re.findall(r"^```(\w*)$", path.read_text(encoding="utf-8"), re.M)
    assert len(fences) == 2 * len(code_blocks(path)), "a block without a language"
    assert {block.language for block in code_blocks(path) if not block.file} <= {"python", "sh", "toml"}


@NAMES
def test_names_and_links_are_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for name in re.findall(r"\bitinf\.(\w+)\(", text):
        assert hasattr(itinf, name), name
    for link in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert (path.parent / link).exists(), link
    for name in re.findall(r"`itinf\.(\w+)`", text):
        assert hasattr(itinf, name) or name in registry.GROUPS, name
    for named in re.findall(r"`((?:vision|language|reports|itinf|tests)/[\w./]+)`", text):
        assert (ROOT / named).exists(), named


def run_all(
    path: Path, folder: Path, patch: pytest.MonkeyPatch, command: Callable[..., tuple[int, str]], **more: str
) -> tuple[dict[str, Any], dict[str, str]]:
    """Runs a document in an empty folder: Python, then its files as a package, then the shell, where nothing may fail.

    Args:
        more: further files of the package: module -> text.

    Returns:
        The names that Python has defined, and what each command printed.
    """
    patch.chdir(folder)
    patch.setattr(report, "FIGURES", ("gain",))  # drawing takes longest
    patch.setattr(report, "LENS_FIGURES", ("lenses",))
    patch.setattr(Page, "figures", lambda page: {})
    names, blocks, package = run_python(path), code_blocks(path), folder / "package"
    for name, text in {**{f.file: f.text for f in blocks if f.file}, **more}.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    if (package / "pyproject.toml").is_file():
        install(package)
        patch.syspath_prepend(package)
    said = {}
    for words in commands(blocks):
        assert words[0] == "itinf", words
        code, said[words[1]] = command(*words[1:])
        assert code == 0, said[words[1]]
    return names, said


def test_pages_with_blocks_are_tested_below() -> None:
    assert {path.name for path in DOCS if code_blocks(path)} == {"extending.md", "python.md", *READ}


@pytest.mark.parametrize("name", READ)
def test_commands_and_study_files_are_understood(name: str, tmp_path: Path) -> None:
    blocks = code_blocks(ROOT / "docs" / name)
    for words in commands(blocks):
        assert words[0] == "itinf", words
        parsed(words)
    (text,) = (block.text for block in blocks if block.language == "toml")
    path = tmp_path / "study.toml"
    path.write_text(text)
    study = study_file.read_study(path)
    assert [network.label for network in study.networks] == ["", "skips removed", ""]
    path.write_text(study_file.study_toml(study))
    assert study_file.read_study(path) == study


def test_python_from_one_network_to_lenses(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: Callable[..., tuple[int, str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    names, _ = run_all(ROOT / "docs" / "python.md", tmp_path, monkeypatch, command)
    run, both, moved = names["run"], names["both"], names["moved"]
    assert isinstance(run.table, pd.DataFrame) and isinstance(run.plot("gain"), Figure)
    printed = capsys.readouterr().out
    for word in ("layer1.0", "segments", "bridges", "undefined", "64 images"):
        assert word in printed
    assert Path("results/mine/manifest.json").is_file() and Path("results/gpt2.safetensors").is_file()
    assert isinstance(moved.plot("transfer"), Figure)
    assert set(moved.summaries["measure"]) == {"retention", "transfer_penalty", "carried_at_most", "surplus"}
    same = both.difference(run.name, "again", "descent_share", gradient="output", update="update")
    assert same.paired.all() and (same["mean"] == 0).all() and (same.lo == 0).all() and (same.hi == 0).all()


def test_a_network_from_nothing_to_a_page_and_to_a_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., tuple[int, str]]
) -> None:
    path = ROOT / "docs" / "extending.md"
    model = code_blocks(path)[0].text
    with forgotten("itinf_rings"):
        names, said = run_all(
            path, tmp_path, monkeypatch, command, **{"itinf_rings/model.py": model, "itinf_rings/__init__.py": ""}
        )
        code, printed = command("probe", "rings", "--data", "rings", "-O", "block=3")
    assert code == 2 and "The options of rings are: blocks" in printed
    assert names["report"].ok and {"rings"} == set(names["both"].table["model"])
    assert Path("results/rings/report.html").is_file() and itinf.Comparison.load("results/rings").transfers
    assert "rings Residual blocks on points in the plane." in said["list"]
    assert "rings Points on three rings: rings[:COUNT]." in said["list"]
    assert "rings: the description holds" in said["check"]
    for table in (names["run"].table, pd.read_parquet("results/probe/measures.parquet")):
        assert table.set_index("measure").loc["accuracy", "mean"] > 0.8, "it has learned, and its file was loaded"
    assert "affine" in set(table["lens"])


@contextmanager
def forgotten(package: str) -> Iterator[None]:
    """Afterwards the package is no longer imported."""
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == package]:
            del sys.modules[name]

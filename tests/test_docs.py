"""Every code block of the documents runs as it is written, and their names and links are there."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import itinf
from itinf.results import report
from markdown import ROOT, CodeBlock, code_blocks, install

DOCS = sorted((ROOT / "docs").glob("*.md"))
NAMES = pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)


def lines(blocks: list[CodeBlock]) -> list[list[str]]:
    """The commands of all shell blocks, as words."""
    return [
        shlex.split(line, comments=True) for b in blocks if b.language == "sh" for line in b.text.splitlines() if line
    ]


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
    assert {block.language for block in code_blocks(path) if not block.file} <= {"python", "sh"}


@NAMES
def test_names_and_links_are_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for name in re.findall(r"\bitinf\.(\w+)\(", text):
        assert hasattr(itinf, name), name
    for link in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert (path.parent / link).exists(), link
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
    names, blocks, package = run_python(path), code_blocks(path), folder / "package"
    for name, text in {**{f.file: f.text for f in blocks if f.file}, **more}.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    if (package / "pyproject.toml").is_file():
        install(package)
        patch.syspath_prepend(package)
    said = {}
    for words in lines(blocks):
        assert words[0] == "itinf", words
        code, said[words[1]] = command(*words[1:])
        assert code == 0, said[words[1]]
    return names, said


@pytest.mark.parametrize("path", [path for path in DOCS if path.name != "extending.md"], ids=lambda path: path.name)
def test_every_block_runs(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., tuple[int, str]]
) -> None:
    run_all(path, tmp_path, monkeypatch, command)


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

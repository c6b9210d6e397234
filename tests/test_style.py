"""The house rules a program can check: lint, types, sizes of files and functions, no pickle. Arrows: test_arrows."""

import ast
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("itinf", "vision", "language", "reports")
FILES = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
UNPICKLERS = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal"}
ENTRIES, LINES, MEDIAN, FUNCTION = 14, 350, 150, 60


def imported(tree):
    """Top-level names of every module that is imported, anywhere in a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield (node.module or "").split(".")[0]


def test_imports_are_found_wherever_they_stand():
    source = "import a.b as c\nfrom d.e import f\ndef g():\n    from .i import j\n    import k\n"
    assert set(imported(ast.parse(source))) == {"a", "d", "k"}


def test_every_package_is_seen():
    assert {file.relative_to(ROOT).parts[0] for file in FILES} == set(PACKAGES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_house_rules(file):
    source = file.read_text(encoding="utf-8")
    tree = ast.parse(source)
    assert not set(imported(tree)) & UNPICKLERS, "weights and results are never unpickled"
    assert len(source.splitlines()) <= LINES, "more than one idea in a file"
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    long = [node.name for node in functions if (node.end_lineno or 0) - node.lineno >= FUNCTION]
    assert not long, "more than one idea in a function"


def test_a_stranger_finds_his_way():
    rooms = {path.name for path in (ROOT / "itinf").iterdir()} - {
        "__init__.py",
        "__main__.py",
        "__pycache__",
        "py.typed",
    }
    assert len(rooms) <= ENTRIES
    sizes = [len(file.read_text(encoding="utf-8").splitlines()) for file in FILES if file.name != "__init__.py"]
    assert statistics.median(sizes) <= MEDIAN


@pytest.mark.slow
@pytest.mark.parametrize("command", ["ruff check .", "ruff format --check .", "mypy"])
def test_checker(command):
    done = subprocess.run([sys.executable, "-m", *command.split()], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"

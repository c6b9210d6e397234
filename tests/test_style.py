"""The house rules a program can check: lint, types, the direction of imports, file sizes, no pickle."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("itinf", "vision", "language", "reports")
FILES = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
UNPICKLERS = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal"}


def imported(source, package=""):
    """Names of every module a source imports, anywhere in it; ``from . import x`` counts as the package."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or package if node.level == 0 else package


def tops(file):
    """Top-level names of what a file imports."""
    package = file.relative_to(ROOT).parts[0]
    return {name.split(".")[0] for name in imported(file.read_text(encoding="utf-8"), package)}


def forbidden(file):
    """What a file of a package may not import."""
    package = file.relative_to(ROOT).parts[0]
    if package == "itinf":
        return {"vision", "language", "reports"}
    others = set(PACKAGES) - {package, "itinf"}
    return others | {"torch"} if package == "reports" else others


def test_imports_are_found_wherever_they_stand():
    source = "import a.b as c\nfrom d.e import f\ndef g():\n    from . import h\n    from .i import j\n    import k\n"
    assert set(imported(source, "here")) == {"a.b", "d.e", "here", "k"}


def test_every_package_is_seen():
    assert {file.relative_to(ROOT).parts[0] for file in FILES} == set(PACKAGES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_house_rules(file):
    assert not tops(file) & forbidden(file), "an arrow of DESIGN is reversed"
    assert not tops(file) & UNPICKLERS, "weights and results are never unpickled"
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 300, "more than one idea in a file"


@pytest.mark.slow
@pytest.mark.parametrize("command", ["ruff check .", "ruff format --check .", "mypy"])
def test_checker(command):
    done = subprocess.run([sys.executable, "-m", *command.split()], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"

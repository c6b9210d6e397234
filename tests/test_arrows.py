"""The arrows of the house point one way: import-linter's contracts in pyproject.toml, and that they can fail."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("itinf", "vision", "language", "reports")


def lint(folder):
    """What import-linter says of the packages in a folder."""
    code = "import sys; sys.path.insert(0, ''); from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


def test_the_arrows_point_one_way():
    code, said = lint(ROOT)
    assert code == 0 and "0 broken" in said, said


@pytest.mark.parametrize(
    "file, line",
    [
        ("itinf/data/clusters.py", "from ..networks.network import Network"),
        ("itinf/results/table.py", "from ..networks.trace import Trace"),
        ("itinf/cli/app.py", "import vision.glyphs"),
        ("reports/rows.py", "from itinf.results.table import MEASURES"),
        ("vision/glyphs.py", "import language.text"),
    ],
)
def test_an_arrow_turned_round_is_found(file, line, tmp_path):
    for package in PACKAGES:
        for source in (ROOT / package).rglob("*.py"):
            copy = tmp_path / source.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text(encoding="utf-8"), encoding="utf-8")
    assert lint(tmp_path)[0] == 0
    spoiled = tmp_path / file
    spoiled.write_text(spoiled.read_text(encoding="utf-8") + f"\n{line}\n", encoding="utf-8")
    code, said = lint(tmp_path)
    assert code != 0 and "1 broken" in said, said

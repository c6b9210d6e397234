"""Fixtures of several files."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from matplotlib.figure import Figure

from itinf.cli import app
from pictures import blank


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Runs ``itinf …`` in this process; returns its exit code and all it printed, on one line."""

    def run(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["itinf", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            app.main()
            raise SystemExit(0)
        printed = capsys.readouterr()
        return int(end.value.code or 0), " ".join((printed.out + printed.err).split())

    return run


@pytest.fixture(autouse=True)
def blank_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made but not rendered, which takes longest of all; the mark ``pixels`` has them rendered."""
    if not request.node.get_closest_marker("pixels"):
        monkeypatch.setattr(Figure, "savefig", blank)

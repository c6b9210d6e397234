"""A fixture of several files."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from itinf.cli import app


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

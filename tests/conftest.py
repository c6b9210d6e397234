"""Fixtures of several files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from browser import WITHOUT, chromium
from itinf.cli import app
from pictures import RENDERS, blank


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
        monkeypatch.setattr(RENDERS, blank)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium; not kept for other files, whose own event loops it would disturb."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def small_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a comparison of two small networks, in its folder; with pictures as they are."""
    from browser_pages import small_comparison

    return small_comparison(tmp_path_factory.mktemp("page") / "comparison")


@pytest.fixture(scope="session")
def small_trajectory_pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """ "text" and "pictures" -> the page of a trajectory."""
    from browser_pages import small_trajectories

    return small_trajectories(tmp_path_factory.mktemp("trajectories"))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Says why the pages were not opened; pytest alone says at most that some tests were skipped."""
    skipped = [report for report in terminalreporter.stats.get("skipped", ()) if WITHOUT in str(report.longrepr)]
    if skipped:
        terminalreporter.write_line(f"{len(skipped)} tests of pages in a browser were skipped, {WITHOUT}.", yellow=True)

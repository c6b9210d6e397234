"""Progress: plain lines in a log file, bars in a notebook, nothing in a script that does not ask."""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace

import pytest

import itinf
import tiny
from itinf.cli import console, progress_log
from itinf.cli.progress_log import ProgressLog
from itinf.data.progress import in_notebook, silent, visible, visible_study


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(progress_log.time, "monotonic", lambda: now.seconds)
    return now


def test_lines_of_a_log(clock):
    lines = []
    log = ProgressLog(lines.append)
    log.show("net", "fitting", 0, 40)
    log.tell()
    clock.seconds += 65
    log.show("net", "fitting", 10, 40)
    log.tell()
    clock.seconds += 7000
    log.show("net", "fitting", 40, 40)
    assert lines == [
        "net: fitting 0/40, 0:00 elapsed",
        "net: fitting 10/40, 1:05 elapsed, 3:15 left",
        "net: fitting 40/40, 1:57:45 elapsed",
    ]
    log.tell()
    assert len(lines) == 3  # it is at work on nothing


def test_what_was_saved_before_is_not_counted_as_speed(clock):
    lines = []
    log = ProgressLog(lines.append)
    log.show("net", "observed", 1000, 2000)
    clock.seconds += 10
    log.show("net", "observed", 1100, 2000)
    log.tell()
    assert lines == ["net: observed 1,100/2,000, 0:10 elapsed, 1:30 left"]


def test_a_short_stage_has_no_line_of_its_own(clock):
    lines = []
    log = ProgressLog(lines.append)
    for stage, seconds in (("calibration", 1), ("observed", 20)):
        log.show("a", stage, 0, 8)
        clock.seconds += seconds
        log.show("a", stage, 8, 8)
    log.show("b", "fitting", 0, 8)
    clock.seconds += 9
    log.show("b", "tuning", 0, 8)  # a stage that another one follows
    assert lines == ["a: observed 8/8, 0:20 elapsed", "b: fitting 0/8, 0:09 elapsed"]


def test_lines_come_while_a_batch_takes_long():
    lines = []
    with progress_log.progress_log(lines.append, every=0.05) as log:
        log.show("net", "transfer", 0, 4096)
        time.sleep(0.4)
    count = len(lines)
    assert count >= 2 and set(lines) == {"net: transfer 0/4,096, 0:00 elapsed"}
    time.sleep(0.15)
    assert len(lines) == count  # it has ended


def test_a_log_file_gets_lines_and_no_bars(monkeypatch, capsys):
    monkeypatch.setattr(console, "progress_log", lambda write: progress_log.progress_log(write, every=0.05, short=0.0))
    with console.progress_bars("net [1]") as show:
        show("fitting", 3, 4)
        time.sleep(0.2)
        show("fitting", 4, 4)
    printed = capsys.readouterr().err.splitlines()
    assert printed[0] == "net [1]: fitting 3/4, 0:00 elapsed" and printed[-1] == "net [1]: fitting 4/4, 0:00 elapsed"
    assert all(line.startswith("net [1]: fitting ") for line in printed)


def test_a_script_shows_nothing():
    assert not in_notebook() and visible(None) is silent
    calls = []
    assert visible(calls.append) == calls.append and visible_study(calls.append) == calls.append
    visible_study(None)("net", "fitting", 1, 2)


@pytest.fixture
def notebook(monkeypatch):
    """IPython as a kernel has it; the bars are those of tqdm, told here."""
    tiny.opened("token")  # loads what has bars of its own
    bars = []

    class Bar:
        def __init__(self, total, initial, desc):
            self.total, self.n, self.desc, self.closed = total, initial, desc, False
            bars.append(self)

        def update(self, more):
            self.n += more

        def close(self):
            self.closed = True

    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object())))
    monkeypatch.setattr("tqdm.auto.tqdm", Bar)
    return bars


def test_a_transfer_that_is_precise_enough_says_that_it_has_ended(monkeypatch):
    monkeypatch.setattr("itinf.lenses.transfer.transfer.CHECK", {"token": 8})
    network, data = tiny.opened("token", 32)
    lens, calls = itinf.fit(network, data, progress=silent), []
    moved = itinf.transfer(network, lens, data, precision=1e9, replicates=20, progress=lambda *told: calls.append(told))
    assert moved.manifest["stopped"] and moved.manifest["units"] < 32 * tiny.SEQUENCE
    stage, done, total = calls[-1]
    assert (stage, done) == ("transfer", total) and total < 32 * tiny.SEQUENCE
    assert calls[-2] == ("transfer", done, 32 * tiny.SEQUENCE)


def test_a_notebook_shows_bars_by_itself(notebook):
    network, data = tiny.opened("token", 16)
    itinf.probe(network, data, **tiny.SETTINGS)
    assert [(bar.desc, bar.n, bar.total, bar.closed) for bar in notebook] == [
        ("calibration", 12, 12, True),
        ("observed", 16, 16, True),
    ]
    notebook.clear()
    lens = itinf.fit(network, data)
    assert [(bar.desc, bar.n, bar.closed) for bar in notebook] == [("fitting", 16, True)]
    notebook.clear()
    itinf.transfer(network, lens, data, precision=0.0, replicates=20)
    assert [(bar.desc, bar.n, bar.total, bar.closed) for bar in notebook] == [("transfer", 96, 96, True)]
    notebook.clear()
    itinf.probe(network, data, progress=silent, **tiny.SETTINGS)
    assert notebook == []
    visible_study(None)("net", "fitting", 1, 2)
    assert [(bar.desc, bar.n) for bar in notebook] == [("net: fitting", 1)]


def test_a_terminal_of_ipython_is_no_notebook(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace()))
    assert not in_notebook()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert not in_notebook()

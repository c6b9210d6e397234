"""Signals end a command with one message and the usual exit code, and leave nothing broken, at any moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STOPPING = "Stopping after this step; Ctrl-C again ends at once.\n"
MESSAGE = "Interrupted. Run the same command again to resume at the last save.\n"
START = """
import sys, time
class Slow:  # importing a module of this name takes a minute
    def find_spec(self, name, path=None, target=None):
        if name == SLOW:
            print("ready", flush=True)
            time.sleep(60)
sys.meta_path.insert(0, Slow())
sys.argv = ["itinf", *WORDS]
from itinf.__main__ import main
"""
WORK = """
import sys, time
from pathlib import Path
from itinf.cli import app, signals
from itinf.files import write_text

@app.app.command()
def stub(folder: Path) -> None:
    with signals.working():
        try:
            PLACE
        finally:
            write_text(folder / "first", "whole")
            print("tidies", flush=True)
            time.sleep(1)
            write_text(folder / "second", "whole")

class Dying:
    def __del__(self):
        print("ready", flush=True)
        time.sleep(60)

def wait():
    print("ready", flush=True)
    time.sleep(60)

def die():
    Dying()
    time.sleep(60)
"""
RUN = """
sys.argv = ["itinf", "stub", FOLDER]
from itinf.__main__ import main
main()
"""


@contextmanager
def running(code: str, ignored: signal.Signals | None = None) -> Iterator[subprocess.Popen[str]]:
    """A process that runs the code, once it has said that it is ready."""

    def ignore() -> None:
        if ignored is not None:
            signal.signal(ignored, signal.SIG_IGN)

    environment = {key: value for key, value in os.environ.items() if key not in ("RANK", "WORLD_SIZE")}
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
        preexec_fn=ignore,
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == "ready\n", process.communicate()
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, printed = process.communicate(timeout=60)
    return process.returncode, printed


def work(place: str, folder: Path) -> str:
    return WORK.replace("PLACE", place) + RUN.replace("FOLDER", repr(str(folder)))


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_command_that_works_tidies_up(name, code, tmp_path):
    with running(work("wait()", tmp_path)) as process:
        process.send_signal(getattr(signal, name))
        assert ended(process) == (code, STOPPING * (name == "SIGINT") + MESSAGE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "second"]


@pytest.mark.parametrize("slow", ["typer", "torch"])
def test_while_something_slow_is_loaded(slow):
    words = ["check", "cifar-resnet8"]
    start = START.replace("SLOW", repr(slow)).replace("WORDS", repr(words)) + "main()"
    with running(start) as process:
        process.send_signal(signal.SIGINT)
        assert ended(process) == (130, MESSAGE)


def test_what_was_ignored_at_the_start_stays_ignored():
    """As under nohup, and SIGINT for a command in the background of a script."""
    for ignored in (signal.SIGHUP, signal.SIGINT):
        start = START.replace("SLOW", "'typer'").replace("WORDS", "['list']") + "main()"
        with running(start, ignored) as process:
            process.send_signal(ignored)
            time.sleep(0.3)
            assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            assert ended(process)[0] == 143


def test_the_same_signal_twice_does_not_disturb_the_tidying_up(tmp_path):
    with running(work("wait()", tmp_path)) as process:
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None and process.stdout.readline() == "tidies\n"
        process.send_signal(signal.SIGHUP)
        assert ended(process) == (143, MESSAGE)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"first": "whole", "second": "whole"}


def test_a_later_signal_ends_at_once(tmp_path):
    code = work("wait()", tmp_path).replace("time.sleep(1)", "time.sleep(50)")
    with running("import itinf.cli.signals as s; s.AGAIN_SECONDS = 0.1" + code) as process:
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None and process.stdout.readline() == "tidies\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        assert ended(process) == (143, MESSAGE)
    assert [path.name for path in tmp_path.iterdir()] == ["first"]


def test_a_second_ctrl_c_ends_at_once(tmp_path):
    """A wrapper sends the same one twice within milliseconds; a person needs longer, and is not made to wait 3 s."""
    with running(work("wait()", tmp_path).replace("time.sleep(1)", "time.sleep(50)")) as process:
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None and process.stdout.readline() == "tidies\n"
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None
        again = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert ended(process) == (130, STOPPING + MESSAGE)
        assert time.monotonic() - again < 20  # not the 50 s that tidying up takes
    assert [path.name for path in tmp_path.iterdir()] == ["first"]


def test_a_signal_that_python_swallows_comes_again(tmp_path):
    """An exception in ``__del__`` is printed and forgotten."""
    with running(work("die()", tmp_path)) as process:
        process.send_signal(signal.SIGINT)
        assert ended(process) == (130, STOPPING + MESSAGE)


def test_the_api_leaves_signals_to_its_caller():
    code = """
import signal, sys
before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
import itinf, itinf.cli.app
from itinf.statistics.processes import process_group
with process_group():
    now = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
print("ready", flush=True)
assert now == before and sys.unraisablehook is sys.__unraisablehook__
"""
    with running(code) as process:
        assert ended(process) == (0, "")

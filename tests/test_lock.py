"""A folder is kept by one process at a time, and by none that has ended."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from itinf import ItinfError, lock
from itinf.lock import LOCK, kept

HOLD = """
import sys, time
from pathlib import Path
from itinf.lock import kept
with kept(Path(sys.argv[1])):
    print("kept", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that keeps the folder ``tmp_path / "out"``."""
    words = [sys.executable, "-c", HOLD, str(tmp_path / "out")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])
    assert process.stdout.readline() == "kept\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_second_is_told_who_keeps_it(holder, tmp_path):
    with (
        pytest.raises(
            ItinfError, match=rf"process {holder.pid} on \S+ has been writing to it since 20\d\d-"
        ) as refusal,
        kept(tmp_path / "out"),
    ):
        pass
    assert str(tmp_path / "out") in str(refusal.value) and "choose another --out" in str(refusal.value)


def test_a_killed_process_keeps_nothing(holder, tmp_path):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert (tmp_path / "out" / LOCK).exists()
    with kept(tmp_path / "out"):
        assert str(os.getpid()) in (tmp_path / "out" / LOCK).read_text()
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_what_stays_empty_goes_and_what_was_there_stays(tmp_path):
    (tmp_path / "mine").mkdir()
    for path in ("new/folder", "mine"):
        with kept(tmp_path / path):
            assert (tmp_path / path / LOCK).is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["mine"] and not list((tmp_path / "mine").iterdir())
    with kept(tmp_path / "new/folder"):
        (tmp_path / "new/folder/file").touch()
    assert [path.name for path in (tmp_path / "new/folder").iterdir()] == ["file"]


def test_an_exception_gives_it_back(tmp_path):
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), kept(tmp_path / "out"):
            raise KeyboardInterrupt


def test_of_many_at_once_one_keeps_it_at_a_time(tmp_path):
    """Threads stand for processes: the folder is made and taken away again and again while they try."""
    inside, most, times, faults = [], [], [], []

    def work():
        for _ in range(100):
            try:
                with kept(tmp_path / "out"):
                    inside.append(1)
                    most.append(len(inside))
                    times.append(1)
                    inside.pop()
            except ItinfError:
                pass
            except BaseException as fault:
                faults.append(fault)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults and set(most) == {1} and len(times) >= 100
    assert not list(tmp_path.glob("out/*"))


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch, caplog):
    def none(handle):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock, "_lock_of_the_system", none)
    with kept(tmp_path / "out"):
        pass
    assert "has no locks (No locks available)" in caplog.text

"""Work in several processes: all of it is done, what is told and raised arrives, and an end ends everybody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from itinf import ItinfError
from itinf.studies import workers


def write(folder, number, told):
    told("network", "stage", number, 9)
    (folder / str(number)).write_text(str(os.getpid()))
    return number * number


def refuse(folder, number, told):
    if number == 1:
        raise ItinfError(f"number {number} is refused")
    (folder / f"{number} begins").touch()
    time.sleep(60)
    (folder / f"{number} ends").touch()


def die(folder, number, told):
    os._exit(3)


def sleep(folder, number, told):
    (folder / str(number)).touch()
    time.sleep(60)


def multiply(folder, number, told):
    """Long work in C, as a forward pass is."""
    import torch

    (folder / str(number)).touch()
    torch.linalg.svd(torch.rand(4000, 4000))
    time.sleep(60)


class Slow:
    """A task that takes a minute to import in the worker."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return imported, (self.folder,)


def imported(folder):
    (folder / "imports").touch()
    time.sleep(60)


def kill(folder, number, told):
    if number == 1:
        while not (folder / "0").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGKILL)
    sleep(folder, number, told)


def each(folder: Path, count: int):
    return {f"net{number}": (folder, number) for number in range(count)}


def test_everything_is_done_and_told(tmp_path):
    said = []
    returned = workers.run_in_processes(write, each(tmp_path, 5), 2, lambda *words: said.append(words))
    assert returned == {f"net{number}": number * number for number in range(5)}
    assert sorted(path.name for path in tmp_path.iterdir()) == list("01234")
    assert sorted(said) == [("network", "stage", number, 9) for number in range(5)]
    processes = {path.read_text() for path in tmp_path.iterdir()}
    assert len(processes) <= 2 and str(os.getpid()) not in processes


def test_a_mistake_is_raised_and_the_others_stop(tmp_path):
    start = time.monotonic()
    with pytest.raises(ItinfError, match="number 1 is refused"):
        workers.run_in_processes(refuse, each(tmp_path, 2), 2, lambda *words: None)
    assert time.monotonic() - start < 50 and not list(tmp_path.glob("*ends"))


def test_a_process_that_dies_is_named(tmp_path):
    with pytest.raises(ItinfError, match=r"measured net0 ended with code 3.*--jobs 1"):
        workers.run_in_processes(die, each(tmp_path, 1), 1, lambda *words: None)


def test_an_interruption_ends_the_others(tmp_path):
    def interrupted(*words):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        workers.run_in_processes(write, each(tmp_path, 1), 1, interrupted)


def test_a_killed_process_names_its_network_and_the_others_stop(tmp_path):
    start = time.monotonic()
    with pytest.raises(ItinfError, match=r"measured net1 ended with code -9 .*resumes at the last save"):
        workers.run_in_processes(kill, each(tmp_path, 2), 2, lambda *words: None)
    assert time.monotonic() - start < 50


@pytest.mark.parametrize("work", ["sleep", "multiply", "import"])
def test_workers_end_with_their_parent(work, tmp_path):
    """A session of its own counts the processes: none is left of it, no worker and no resource tracker."""
    count = 1 if work == "import" else 2
    tasks = "{'net': (Slow(folder), 0)}" if work == "import" else "each(folder, 2)"
    code = f"""
import sys
from pathlib import Path
from test_workers import *
if __name__ == "__main__":
    folder = Path(sys.argv[1])
    workers.run_in_processes({"sleep" if work == "import" else work}, {tasks}, {count}, print)
"""
    script = tmp_path / "script.py"
    script.write_text(code)
    out = tmp_path / "out"
    out.mkdir()
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    environment = os.environ | {"PYTHONPATH": paths}
    parent = subprocess.Popen(
        [sys.executable, str(script), str(out)], env=environment, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        begin = time.monotonic()
        while len(list(out.iterdir())) < count and time.monotonic() - begin < 60:
            time.sleep(0.05)
        assert len(list(out.iterdir())) == count and parent.poll() is None
        parent.kill()
        parent.wait(60)
        begin = time.monotonic()
        while alive(parent.pid):
            assert time.monotonic() - begin < 20
            time.sleep(0.05)
    finally:
        if alive(parent.pid):
            os.killpg(parent.pid, signal.SIGKILL)
        parent.communicate()


def alive(session: int) -> bool:
    try:
        os.killpg(session, 0)
    except ProcessLookupError:
        return False
    return True

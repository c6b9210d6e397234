"""Work in several processes: all of it is done, what is told and raised arrives, and an end ends everybody."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from itinf import ItinfError
from itinf.studies import workers


def write(folder, number, told):
    told("network", "stage", number, 9)
    (folder / str(number)).write_text(str(os.getpid()))


def refuse(folder, number, told):
    if number == 1:
        raise ItinfError(f"number {number} is refused")
    (folder / f"{number} begins").touch()
    time.sleep(60)
    (folder / f"{number} ends").touch()


def die(folder, number, told):
    os._exit(3)


def each(folder: Path, count: int):
    return {f"net{number}": (folder, number) for number in range(count)}


def test_everything_is_done_and_told(tmp_path):
    said = []
    workers.run_in_processes(write, each(tmp_path, 5), 2, lambda *words: said.append(words))
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

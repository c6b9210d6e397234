"""Progress in a log file: one plain line every 30 seconds, and one at the end of each longer stage."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

EVERY = 30.0
"""Seconds between two lines."""
SHORT = 5.0
"""A stage of fewer seconds has no line at its end."""


@dataclass
class _Stage:
    """The stage that a network is at: how much was done when it was first seen, how much is done, how much there is."""

    name: str
    began: float
    before: int
    done: int
    total: int

    def line(self, now: float) -> str:
        """As "observed 640/2,000, 1:05 elapsed, 2:18 left"."""
        elapsed, made = now - self.began, self.done - self.before
        left = (
            f", {_clock(elapsed / made * (self.total - self.done))} left" if made > 0 and self.done < self.total else ""
        )
        return f"{self.name} {self.done:,}/{self.total:,}, {_clock(elapsed)} elapsed{left}"


class ProgressLog:
    """Writes lines about the stages of several networks.

    Args:
        write: takes a line.
        every: seconds between two lines of a network.
        short: seconds under which a stage has no line at its end.
    """

    def __init__(self, write: Callable[[str], object], every: float = EVERY, short: float = SHORT) -> None:
        self.write, self.every, self.short = write, every, short
        self.stages: dict[str, _Stage] = {}
        self.lock = threading.Lock()

    def show(self, name: str, stage: str, done: int, total: int) -> None:
        """Takes the progress of a network; see ``itinf.run_study``."""
        with self.lock:
            now, known = time.monotonic(), self.stages.get(name)
            if known is None or known.name != stage:
                self._end(name)
                known = self.stages[name] = _Stage(stage, now, done, done, total)
            known.done, known.total = done, total
            if done >= total:
                self._end(name)

    def tell(self) -> None:
        """Writes a line for every network that is at work."""
        with self.lock:
            for name, stage in self.stages.items():
                self.write(f"{name}: {stage.line(time.monotonic())}")

    def _end(self, name: str) -> None:
        stage, now = self.stages.pop(name, None), time.monotonic()
        if stage is not None and now - stage.began >= self.short:
            self.write(f"{name}: {stage.line(now)}")


@contextmanager
def progress_log(write: Callable[[str], object], every: float = EVERY, short: float = SHORT) -> Iterator[ProgressLog]:
    """A log to which a thread writes; so lines also come while a single batch takes long."""
    log, ended = ProgressLog(write, every, short), threading.Event()

    def tell() -> None:
        while not ended.wait(every):
            log.tell()

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield log
    finally:
        ended.set()


def _clock(seconds: float) -> str:
    """As "0:41" or "2:05:07"."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"

"""Processes of one job watch each other: a store that all of them reach holds their beats, and why the job has ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

BEAT_SECONDS = 2.0
BEATS = 15
"""A process without a new beat in this many of another's own beats is lost. Beats, not seconds: both may be suspended."""


class Watch:
    """Says every two seconds that this process lives, and looks whether the next one does.

    Args:
        store: of torch.distributed, for this watch alone.
        rank, size: of this process, and the number of processes.
        lost: called in the thread of the watch when the job has ended elsewhere, with the reason.

    Attributes:
        why: a sentence; "" while nobody has ended.
    """

    def __init__(self, store: Any, rank: int, size: int, lost: Callable[[str], None] | None = None) -> None:
        self.store, self.rank, self.size, self.lost = store, rank, size, lost
        self.why = ""
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="itinf watch")
        self._thread.start()

    def stop(self) -> None:
        """Ends the watch."""
        self._stopped.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(2 * BEAT_SECONDS)

    def claim(self) -> bool:
        """Whether this is the first process to claim the last word. Where the store has ended, nobody can tell."""
        try:
            return bool(self.store.add("said", 1) == 1)
        except RuntimeError:
            return True

    def fail(self, why: str) -> None:
        """Ends the job: the other processes read the sentence. The first such sentence stays."""
        self._stopped.set()
        try:
            self.store.compare_set("ended", "", why)
            self.store.add("seen", 1)
        except RuntimeError:
            pass  # the store ended before

    def linger(self) -> None:
        """Waits until every other process has seen that the job has ended, or two of their beats."""
        end = time.monotonic() + 2 * BEAT_SECONDS + 1
        while time.monotonic() < end and self.store.add("seen", 0) < self.size:
            time.sleep(0.05)

    def reason(self) -> str:
        """Why the job has ended, if another process has told it within two beats; else ""."""
        end = time.monotonic() + 2 * BEAT_SECONDS
        while not self.why and time.monotonic() < end and self._thread.is_alive():
            self._look()
            time.sleep(0.1)
        return self.why

    def _run(self) -> None:
        other, last, missed = (self.rank + 1) % self.size, -1, 0
        while not self._stopped.wait(BEAT_SECONDS):
            try:
                self.store.add(f"beat/{self.rank}", 1)
                beat = self.store.add(f"beat/{other}", 0)
            except RuntimeError:
                beat, missed = 0, 0
            missed, last = 0 if beat != last else missed + 1, beat
            if missed >= BEATS:
                silence = f"has given no sign of life for {BEATS * BEAT_SECONDS:.0f} s"
                self.store.compare_set("ended", "", f"Process {other + 1} of {self.size} {silence}.")
            if self._look():
                break
        if self.why and self.lost is not None and not self._stopped.is_set():
            self.lost(self.why)

    def _look(self) -> bool:
        try:
            if self.store.check(["ended"]):
                self.why = self.store.get("ended").decode()
        except RuntimeError:
            self.why = self.why or "The first process of this job has ended."
        return bool(self.why)

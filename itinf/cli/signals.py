"""Ctrl-C, SIGTERM and SIGHUP end a command in one way: what is saved stays, one message, exit code 128 + the signal.

A signal that was ignored at the start stays ignored, so that nohup works. Only the command line listens; the Python API
leaves signals to its caller. This file loads nothing slow: it listens before typer and torch are loaded.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

NUMBERS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
AGAIN_SECONDS = 3.0
"""A second signal sooner than this is the same wish: wrappers and terminals send some twice. A later one ends at once."""
CTRL_C_AGAIN_SECONDS = 0.3
"""The same for a second Ctrl-C: a person waits longer than a wrapper does, and then means it."""
LATER_SECONDS = 0.05
STUCK_SECONDS = 10.0
SHOW_CURSOR = "\x1b[?25h"
STOPPING = "Stopping after this step; Ctrl-C again ends at once."
RESUME = "Run the same command again to resume at the last save."


class _Ending:
    """How the command ends: the number of the signal, 0 without one, and when it came."""

    def __init__(self) -> None:
        self.number, self.since = 0, 0.0
        self.works = False  # there may be files and processes to tidy up
        self.swallowed = False  # the interruption did not get through
        self.lost = ""  # why another process of this job has ended

    def __bool__(self) -> bool:
        return bool(self.number or self.lost)

    @property
    def code(self) -> int:
        return 2 if self.lost else 128 + self.number


_ending = _Ending()


def listen() -> dict[int, Any]:
    """Listens from now on; returns the handlers there were. Does nothing outside of the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    before = {number: signal.getsignal(number) for number in NUMBERS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _received)
    sys.unraisablehook = _swallowed
    return before


@contextlib.contextmanager
def heard() -> Iterator[None]:
    """Listens for the time of a command, and prints the message if a signal has ended it.

    Raises:
        SystemExit: with the exit code of the signal.
    """
    global _ending
    hook = sys.unraisablehook
    _ending, before = _Ending(), listen()
    try:
        yield
    except BaseException as error:
        finished = isinstance(error, SystemExit) and not error.code
        if finished or not (_ending or isinstance(error, KeyboardInterrupt)):
            raise
        _ending.number = _ending.number or signal.SIGINT
        if says_the_end():
            with contextlib.suppress(OSError, ValueError):  # it is closed
                sys.stderr.write(_text())
                sys.stderr.flush()
        raise SystemExit(_ending.code) from None
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def working() -> Iterator[None]:
    """Here a signal raises KeyboardInterrupt, so that files are left whole; elsewhere it ends the process at once.

    Raises:
        SystemExit: instead of whatever a signal has led to.
    """
    try:
        _ending.works = True
        yield
    except BaseException as error:
        if not (_ending or isinstance(error, KeyboardInterrupt)):
            raise
        _ending.number = _ending.number or signal.SIGINT
        raise SystemExit(_ending.code) from None
    finally:
        _ending.works = False


def others_ended(why: str) -> None:
    """Ends this process because another one of its job has ended; called in another thread."""
    _ending.lost = why
    if _ending.works:
        _send_to_main(signal.SIGTERM)
        time.sleep(STUCK_SECONDS)  # this thread ends with the process
    _end_now()


def says_the_end() -> bool:
    """Whether this process prints why the job ends; one of them does."""
    processes = sys.modules.get("itinf.statistics.processes")  # an import could wait for the one that was interrupted
    if processes is not None and hasattr(processes, "speaks"):
        return bool(processes.speaks())
    return os.environ.get("RANK", "0") == "0"


def _text() -> str:
    what = _ending.lost or "Interrupted."
    if not _ending.lost and _ending.number == signal.SIGTERM and os.environ.get("WORLD_SIZE", "1") != "1":
        what = "Interrupted by SIGTERM; torchrun sends it to every process when one has ended."
    return f"{SHOW_CURSOR * sys.stderr.isatty()}{what} {RESUME}\n"


def _received(number: int, frame: object) -> None:
    if _ending.number and not _ending.swallowed:
        twice = number == _ending.number == signal.SIGINT
        if time.monotonic() - _ending.since > (CTRL_C_AGAIN_SECONDS if twice else AGAIN_SECONDS):
            _end_now()
        return
    again = _ending.swallowed  # it has been said
    _ending.number, _ending.since, _ending.swallowed = number, time.monotonic(), False
    if not _ending.works:
        _end_now()
    if number == signal.SIGINT and not again:
        with contextlib.suppress(Exception):
            if says_the_end():
                os.write(2, f"{STOPPING}\n".encode())
    raise KeyboardInterrupt


def _swallowed(unraisable: Any) -> None:
    """Python swallows what a ``__del__`` raises. A signal that came in one comes again, a little later."""
    if not (_ending and isinstance(unraisable.exc_value, KeyboardInterrupt)):
        sys.__unraisablehook__(unraisable)
        return
    _ending.swallowed = True
    timer = threading.Timer(LATER_SECONDS, _send_to_main, (_ending.number,))
    timer.daemon = True
    timer.start()


def _send_to_main(number: int) -> None:
    """Sends this process a signal that also wakes the main thread from a sleep, where the system can do that."""
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, number)
    else:
        _thread.interrupt_main(signal.Signals(number))


def _end_now() -> None:
    """Ends the process without tidying up: files are whole at any time, and locks and workers end with their process."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # the signal may have come in the middle of writing
            stream.flush()
    with contextlib.suppress(Exception):
        if says_the_end():
            os.write(2, _text().encode())
    os._exit(_ending.code)

"""Makes many things in several processes, which have the memory of this one and send back what they made."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any, TypeVar

AT_ONCE, WORTH = 4, 4
"""Most processes at once, and things for each that make another process worth its start."""
Made = TypeVar("Made")


def forked(makes: Mapping[str, Callable[[], Made]]) -> dict[str, Made]:
    """Calls functions without arguments, in as many processes as there are cores and work; in one without ``fork``.

    Args:
        makes: name -> function. It touches tables and figures alone, never torch, whose threads a fork does not have.

    Returns:
        name -> what the function returned, in the same order.

    Raises:
        Exception: what one of the functions raised.
    """
    helpers = min(_cores(), AT_ONCE, len(makes) // WORTH) - 1 if sys.platform == "linux" else 0  # a fork is safe there
    fork = multiprocessing.get_context("fork" if helpers > 0 else None)
    taken, others = fork.Value("i", 0), []
    for _ in range(helpers):
        receives, sends = fork.Pipe(duplex=False)
        # the functions need not be sent: a fork has them
        helper = fork.Process(target=_send, args=(sends, makes, taken), daemon=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: this process has threads
            helper.start()
        sends.close()
        others.append(receives)
    made = _made(makes, taken)
    for receives in others:
        error, more = receives.recv()
        if error is not None:
            raise error
        made |= more
    return {name: made[name] for name in makes}


def _send(to: Connection, makes: Mapping[str, Callable[[], Any]], taken: Any) -> None:
    """Makes a part of the things in a process of its own."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    try:
        to.send((None, _made(makes, taken)))
    except Exception as error:
        to.send((error, {}))


def _made(makes: Mapping[str, Callable[[], Made]], taken: Any) -> dict[str, Made]:
    """Makes one thing after the other that no process has taken; ``taken`` counts them for all."""
    made: dict[str, Made] = {}
    while True:
        with taken.get_lock():
            place = taken.value
            taken.value += 1
        if place >= len(makes):
            return made
        name = list(makes)[place]
        made[name] = makes[name]()


def _cores() -> int:
    return len(os.sched_getaffinity(0))

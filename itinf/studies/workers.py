"""Several networks at a time, in processes that leave their results in the folder."""

from __future__ import annotations

import os
import queue
import signal
from collections.abc import Callable, Sequence
from multiprocessing import get_context, parent_process
from typing import Any

from ..errors import ItinfError

WAIT_SECONDS, STOP_SECONDS = 0.2, 5.0


def run_in_processes(
    work: Callable[..., Any], each: Sequence[tuple[Any, ...]], jobs: int, progress: Callable[..., None]
) -> None:
    """Calls ``work(*arguments, told)`` for every tuple of arguments, so many at a time.

    Args:
        work: a function of a module; what it returns is lost. What it tells its last argument,
            ``progress`` is told here.
        each: arguments, which travel to other processes.
        jobs: how many processes; each has its share of the cores.
        progress: see above.

    Raises:
        ItinfError: what ``work`` raised, or that a process died; the others are stopped.
        KeyboardInterrupt: after the processes have stopped, too.
    """
    context = get_context("spawn")  # a fork would share torch's threads
    tasks, told = context.Queue(), context.Queue()
    jobs = min(jobs, len(each))
    for arguments in (*each, *[None] * jobs):
        tasks.put(arguments)
    threads = max(1, (os.cpu_count() or 1) // jobs)
    workers = [context.Process(target=_work, args=(work, tasks, told, threads), daemon=True) for _ in range(jobs)]
    for worker in workers:
        worker.start()
    try:
        busy = True
        while busy:
            busy = any(worker.is_alive() for worker in workers)  # asked before the queue is found empty
            _listen(told, progress)
            if died := [worker for worker in workers if worker.exitcode]:
                raise ItinfError(
                    f"A process that measured a network ended with code {died[0].exitcode} (see above; -9 is often too "
                    "little memory). The same command goes on from the last save; --jobs 1 takes the least memory."
                )
    finally:
        for worker in workers:
            while worker.is_alive() and worker.pid is not None:  # one that is still importing may miss the first
                os.kill(worker.pid, signal.SIGINT)
                worker.join(STOP_SECONDS)


def _listen(told: Any, progress: Callable[..., None]) -> None:
    """Passes on what was said, until nothing is for a moment."""
    while True:
        try:
            said = told.get(timeout=WAIT_SECONDS)
        except queue.Empty:
            return
        if isinstance(said, ItinfError):
            raise said
        progress(*said)


def _work(work: Callable[..., Any], tasks: Any, told: Any, threads: int) -> None:
    import torch

    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it would be ignored
    torch.set_num_threads(threads)

    def tell(*said: Any) -> None:
        parent = parent_process()
        if parent is not None and not parent.is_alive():  # killed: nobody waits for what is measured here
            raise KeyboardInterrupt
        told.put(said)

    try:
        for arguments in iter(tasks.get, None):
            work(*arguments, tell)
    except KeyboardInterrupt:
        pass  # told by the process that waits
    except ItinfError as error:
        told.put(error)

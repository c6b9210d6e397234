"""Worker processes: they measure several networks at a time, and write their results into the folder."""

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
    """Calls ``work(*arguments, report)`` for every tuple of arguments, in ``jobs`` processes.

    Args:
        work: a function at the top level of a module; its return value is lost. A call of ``report`` in a process
            calls ``progress`` here, with the same arguments.
        each: tuples of arguments that can be pickled.
        jobs: number of processes; they share the cores equally.
        progress: see ``work``.

    Raises:
        ItinfError: ``work`` raised it, or a process died; the other processes are stopped.
        KeyboardInterrupt: raised after the processes have stopped.
    """
    context = get_context("spawn")  # a fork would share torch's threads
    tasks, reports = context.Queue(), context.Queue()
    jobs = min(jobs, len(each))
    for arguments in (*each, *[None] * jobs):
        tasks.put(arguments)
    threads = max(1, (os.cpu_count() or 1) // jobs)
    workers = [context.Process(target=_work, args=(work, tasks, reports, threads), daemon=True) for _ in range(jobs)]
    for worker in workers:
        worker.start()
    try:
        busy = True
        while busy:
            busy = any(worker.is_alive() for worker in workers)  # before reading the queue: nothing is lost
            _listen(reports, progress)
            if died := [worker for worker in workers if worker.exitcode]:
                raise ItinfError(
                    f"A process that measured a network ended with code {died[0].exitcode} (see above; -9 often means "
                    "too little memory). Run the same command again: it resumes at the last save. --jobs 1 needs the "
                    "least memory."
                )
    finally:
        for worker in workers:
            while worker.is_alive() and worker.pid is not None:  # a process that still imports may miss a signal
                os.kill(worker.pid, signal.SIGINT)
                worker.join(STOP_SECONDS)


def _listen(reports: Any, progress: Callable[..., None]) -> None:
    """Passes reports on to ``progress``, until none comes for ``WAIT_SECONDS``."""
    while True:
        try:
            report = reports.get(timeout=WAIT_SECONDS)
        except queue.Empty:
            return
        if isinstance(report, ItinfError):
            raise report
        progress(*report)


def _work(work: Callable[..., Any], tasks: Any, reports: Any, threads: int) -> None:
    import torch

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background would ignore it
    torch.set_num_threads(threads)

    def report(*arguments: Any) -> None:
        parent = parent_process()
        if parent is not None and not parent.is_alive():  # it was killed: nobody waits for these results
            raise KeyboardInterrupt
        reports.put(arguments)

    try:
        for arguments in iter(tasks.get, None):
            work(*arguments, report)
    except KeyboardInterrupt:
        pass  # the parent process prints that
    except ItinfError as error:
        reports.put(error)

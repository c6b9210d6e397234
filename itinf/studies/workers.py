"""Worker processes: they measure several networks at a time, write their results into the folder, and send them back."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from typing import Any

from ..errors import ItinfError, system_error

STOP_SECONDS = 5.0
"""A worker that has not ended so long after it was asked to is killed; what it has written is whole all the same."""
SIGNALS = {getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)}
ENDED = 128 + signal.SIGTERM


@dataclass
class _Done:
    """What a worker sends when it has done something: the return value."""

    value: Any


@dataclass
class _Worker:
    """A process, this end of the pipe to it, and the name of what it does."""

    process: Any
    pipe: Any
    name: str = ""


def run_in_processes(
    work: Callable[..., Any], each: Mapping[str, tuple[Any, ...]], jobs: int, progress: Callable[..., None]
) -> dict[str, Any]:
    """Calls ``work(*arguments, report)`` for every tuple of arguments, in ``jobs`` processes.

    The processes end with this one, also when it is killed.

    Args:
        work: a function at the top level of a module, whose return value can be pickled. A call of ``report`` in a
            process calls ``progress`` here, with the same arguments.
        each: name -> arguments that can be pickled; a message about a lost process says the name.
        jobs: number of processes; they share the cores equally.
        progress: see ``work``.

    Returns:
        name -> what ``work`` returned.

    Raises:
        ItinfError: ``work`` raised it, or a process died; the other processes are stopped.
        KeyboardInterrupt: raised after the processes have stopped.
    """
    waiting, jobs = list(each.items()), min(jobs, len(each))
    workers: list[_Worker] = []
    returned: dict[str, Any] = {}
    try:
        with _held_signals():  # no worker gets one before it can end without a traceback
            for _ in range(jobs):
                workers.append(_started(max(1, (os.cpu_count() or 1) // jobs)))
        while workers:
            for ready in connection.wait([worker.pipe for worker in workers]):
                worker = next(worker for worker in workers if worker.pipe is ready)
                _listen(worker, work, waiting, returned, progress)
                if not worker.name:
                    worker.process.join()
                    workers.remove(worker)
    finally:
        _stop(workers)
    return returned


def _started(threads: int) -> _Worker:
    context = get_context("spawn")  # a fork would share torch's threads
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, threads), daemon=True)
    process.start()
    theirs.close()  # so that the pipe ends with the process
    return _Worker(process, ours, "the first network")


def _listen(
    worker: _Worker,
    work: Callable[..., Any],
    waiting: list[tuple[str, tuple[Any, ...]]],
    returned: dict[str, Any],
    progress: Callable[..., None],
) -> None:
    """Takes one message: a report, an error, what was returned, or None at the start; a free worker gets the next name."""
    try:
        message = worker.pipe.recv()
        if message is None or isinstance(message, _Done):
            if message is not None:
                returned[worker.name] = message.value
            worker.name, arguments = waiting.pop(0) if waiting else ("", ())
            worker.pipe.send((work, arguments) if worker.name else None)
            return
    except (EOFError, OSError):
        worker.process.join()
        raise ItinfError(
            f"The process that measured {worker.name} ended with code {worker.process.exitcode} (see above; -9 often means too "
            "little memory). Run the same command again: it resumes at the last save. --jobs 1 needs the least memory."
        ) from None
    if isinstance(message, ItinfError):
        raise message
    progress(*message)


def _stop(workers: list[_Worker]) -> None:
    """Asks the processes to end, and kills those that do not."""
    for worker in workers:
        worker.process.terminate()
    end = time.monotonic() + STOP_SECONDS
    for worker in workers:
        worker.process.join(max(0.0, end - time.monotonic()))
        worker.process.kill()
        worker.process.join()


@contextmanager
def _held_signals() -> Iterator[None]:
    """Signals wait meanwhile; a process that is started here holds them back until it says otherwise."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(pipe: Any, threads: int) -> None:
    """What a worker does. Nothing slow is loaded before it watches its parent."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _listen_to_signals()
    try:
        import torch

        torch.set_num_threads(threads)
        pipe.send(None)
        for work, arguments in iter(pipe.recv, None):
            pipe.send(_Done(work(*arguments, lambda *report: pipe.send(report))))
    except ItinfError as error:
        pipe.send(error)
    except KeyboardInterrupt:
        os._exit(ENDED)  # what was to be tidied up is; the parent says why
    except (EOFError, BrokenPipeError):
        os._exit(ENDED)  # the parent has ended
    except OSError as error:
        pipe.send(system_error(error))


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(ENDED)  # at once: files are whole at any time, and the system gives back locks


def _listen_to_signals() -> None:
    """A signal that was ignored at the start, as under nohup, stays ignored."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _ended)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _ended(number: int, frame: Any) -> None:
    for other in SIGNALS:
        signal.signal(other, signal.SIG_IGN)  # the first one is enough
    raise KeyboardInterrupt

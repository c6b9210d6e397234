"""The job that this process has joined: how it meets the others, waits for them, and parts from them."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ..errors import ItinfError
from .watch import Watch

if TYPE_CHECKING:  # nothing slow is loaded before a job is joined
    from torch import Tensor

JOIN_SECONDS = 120.0
"""How long a process waits for the others at the start: they import torch, perhaps from a slow disk."""
NO_LIMIT = timedelta(days=30)
"""Time between two exchanges: a process may measure for hours in between. ``Watch`` finds lost ones."""
LONGEST_PAUSE = 0.02
AGAIN = "Run the same command again to resume at the last save."


@dataclass(frozen=True)
class ProcessGroup:
    """The rank of this process, and the number of processes."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0


class Job:
    """The group of torch.distributed that this process is in.

    Attributes:
        here: this process.
        watch: over the others; None in a group that the caller of itinf has made.
        speaks: whether this process says why the job has ended; None before anybody asks.
    """

    def __init__(self, here: ProcessGroup, group: Any, watch: Watch | None) -> None:
        self.here, self.watch, self.speaks = here, watch, None if watch else here.first
        self._group, self._pending = group, False

    def claim(self) -> bool:
        """Whether this process says why the job ends: of all processes, the first one that asks."""
        if self.speaks is None and self.watch is not None:
            self.speaks = self.watch.claim()
        return bool(self.speaks)

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of every process's tensor; it may be made in place."""
        import torch.distributed as dist

        whole = tensor.cpu().contiguous()
        self._wait(dist.all_reduce(whole, group=self._group, async_op=True))
        return whole.to(tensor.device)

    def broadcast(self, content: bytes) -> bytes:
        """What the first process gives."""
        import torch
        import torch.distributed as dist

        length = torch.tensor(len(content))
        self._wait(dist.broadcast(length, 0, group=self._group, async_op=True))
        whole = torch.empty(int(length), dtype=torch.uint8)
        if self.here.first:
            whole = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        self._wait(dist.broadcast(whole, 0, group=self._group, async_op=True))
        return whole.numpy().tobytes()

    def part(self) -> None:
        """Waits for all others. The watch ends between two meetings, because the store ends with the first process."""
        import torch

        self.sum(torch.zeros(1))
        if self.watch is not None:
            self.watch.stop()
        self.sum(torch.zeros(1))

    def fail(self, error: BaseException) -> None:
        """Tells the others that this process ends, and why."""
        if self.watch is None:
            return
        text = str(error) if isinstance(error, ItinfError) else f"it has ended by {type(error).__name__} {error}."
        self.claim()
        self.watch.fail(f"Process {self.here.rank + 1} of {self.here.size} on {socket.gethostname()}: {text}")
        if self.here.first and not _store_is_elsewhere():
            self.watch.linger()

    def leave(self) -> None:
        import torch.distributed as dist

        if self.watch is not None:
            self.watch.stop()
        if not self._pending:  # else torch would wait for the others here
            dist.destroy_process_group(self._group)

    def _wait(self, work: Any) -> None:
        """Waits for an exchange; signals, and the end of another process, end the waiting."""
        self._pending, pause = True, 1e-5
        while not work.is_completed():
            if self.watch is not None and self.watch.why:
                raise ItinfError(f"{self.watch.why} {AGAIN}")
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        self._pending = False
        try:
            work.wait()
        except RuntimeError as error:
            why = self.watch.reason() if self.watch is not None else ""
            closed = str(error).splitlines()[0].rpartition("cc:")[2].partition("] ")[2].split(". ")[0]
            raise ItinfError(f"{why or f'Another process of this job has ended ({closed}).'} {AGAIN}") from error


_store: Any = (
    None  # it lives as long as the process: a second job must not meet the store of the first one while it ends
)
_jobs = 0


def join(here: ProcessGroup, lost: Callable[[str], None] | None) -> Job:
    """Meets the other processes.

    Raises:
        ItinfError: they do not come.
    """
    import torch.distributed as dist

    if dist.is_initialized():  # the caller's own, perhaps NCCL: sums are on the CPU even if the model is on a GPU
        group = dist.new_group(backend="gloo", timeout=NO_LIMIT)
        return Job(ProcessGroup(dist.get_rank(), dist.get_world_size()), group, None)
    made: list[Any] = []

    def meet() -> None:
        try:
            made.append(_meet(here, lost))
        except Exception as error:
            made.append(error)

    thread = threading.Thread(target=meet, daemon=True)  # torch waits in C; here signals still end this process
    thread.start()
    while thread.is_alive():
        thread.join(LONGEST_PAUSE)
    if isinstance(made[0], Exception):
        raise _not_met(here, made[0]) from made[0]
    return Job(here, None, made[0])


def _meet(here: ProcessGroup, lost: Callable[[str], None] | None) -> Watch:
    import torch.distributed as dist

    global _store, _jobs
    if _store is None:
        limit = timedelta(seconds=JOIN_SECONDS)
        _store, _, _ = next(dist.rendezvous("env://", here.rank, here.size, timeout=limit))
    _jobs += 1
    store, end = dist.PrefixStore(f"itinf/{_jobs}", _store), time.monotonic() + JOIN_SECONDS
    store.add("come", 1)
    while (come := store.add("come", 0)) < here.size:
        if time.monotonic() > end:
            raise RuntimeError(f"{come} of {here.size} have come")
        time.sleep(LONGEST_PAUSE)
    watch = Watch(dist.PrefixStore(f"itinf/{_jobs}", _store.clone()), here.rank, here.size, lost)
    dist.init_process_group("gloo", store=store, rank=here.rank, world_size=here.size, timeout=NO_LIMIT)
    return watch


def _store_is_elsewhere() -> bool:
    """Whether torchrun holds the store; else the first process does, and the store ends with it."""
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == str(True)


def _not_met(here: ProcessGroup, error: Exception) -> ItinfError:
    place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    why = (str(error).splitlines() or [type(error).__name__])[0]
    return ItinfError(
        f"Process {here.rank + 1} of {here.size} has not met the others at {place} within {JOIN_SECONDS:.0f} s ({why}). "
        "Start as many processes as WORLD_SIZE says, on machines that reach MASTER_ADDR and MASTER_PORT; or unset "
        "WORLD_SIZE to run one process."
    )

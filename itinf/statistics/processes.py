"""The processes that torchrun starts: who this one is, what they tell each other, and the sums over all of them.

Every process runs the same command and calls the same functions here in the same order. Only the first one reads and
writes results and prints. Without torchrun there is one process, and nothing here does anything.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .. import errors
from ..errors import ItinfError
from .job import Job, ProcessGroup, join

if TYPE_CHECKING:  # nothing slow is loaded before a job is joined
    import numpy as np
    from torch import Tensor

    from .bootstrap import Sums

_job: Job | None = None
_last: Job | None = None


def here() -> ProcessGroup:
    """This process. Outside of ``process_group`` each is alone, but still only the first one writes."""
    return _job.here if _job is not None else ProcessGroup(_number("RANK", 0))


def job_size() -> int:
    """The number of processes that torchrun has started, by the environment; 1 without torchrun.

    Raises:
        ItinfError: the environment contradicts itself.
    """
    size = _number("WORLD_SIZE", 1)
    if size == 1:
        return 1
    if missing := [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]:
        raise ItinfError(
            f"WORLD_SIZE is {size}, but {' and '.join(missing)} is not set; torchrun sets all of them. Start itinf "
            "with torchrun, or unset WORLD_SIZE to run one process."
        )
    if size == 0 or _number("RANK", 0) >= size or not 0 < _number("MASTER_PORT", 0) < 2**16:
        given = ", ".join(f"{name}={os.environ[name]}" for name in ("WORLD_SIZE", "RANK", "MASTER_PORT"))
        raise ItinfError(
            f"{given}: expected RANK below WORLD_SIZE, and a port between 1 and 65535. Start itinf with torchrun, or "
            "unset WORLD_SIZE to run one process."
        )
    return size


@contextmanager
def process_group(lost: Callable[[str], None] | None = None) -> Iterator[ProcessGroup]:
    """Joins the processes that the environment describes. Without torchrun, and inside another one, it does nothing.

    Args:
        lost: called in another thread with a sentence when another process has ended; without it, this process learns
            of that at the next exchange.

    Raises:
        ItinfError: the environment is wrong, the others do not come, or one of them ends.
    """
    global _job, _last
    if _job is not None or job_size() == 1:
        yield ProcessGroup() if _job is None else _job.here
        return
    _job = _last = join(ProcessGroup(_number("RANK", 0), job_size()), lost)
    try:
        yield _job.here
        _job.part()
    except BaseException as error:
        _job.fail(error)
        raise
    finally:
        _job.leave()
        _job = None


def speaks() -> bool:
    """Whether this process says why the job has ended; of the processes of one job, one does."""
    if _job is not None:
        return _job.claim()
    return here().first if _last is None or _last.speaks is None else _last.speaks


def from_first(make: Callable[[], bytes]) -> bytes:
    """What the first process makes; the others wait for it and get the same.

    Raises:
        ItinfError: raised by ``make``; every process raises the same.
    """
    if _job is None or _job.here.size == 1:
        return make()
    content, error = b"", None
    if _job.here.first:
        try:
            content = b"+" + make()
        except ItinfError as raised:
            error = raised
            content = b"-" + json.dumps([type(raised).__name__, str(raised)]).encode()
    content = _job.broadcast(content)
    if error is not None:
        raise error
    if content[:1] == b"-":
        name, text = json.loads(content[1:])
        raise getattr(errors, name, ItinfError)(text)
    return content[1:]


def agreed(answer: Callable[[], bool]) -> bool:
    """The answer of the first process, for all: rounding must not make two processes decide differently."""
    return from_first(lambda: b"yes" if answer() else b"") == b"yes"


def summed(tensor: Tensor) -> Tensor:
    """The sum of every process's tensor; it may be made in place."""
    return tensor if _job is None or _job.here.size == 1 else _job.sum(tensor)


def summed_array(array: np.ndarray) -> np.ndarray:
    """Like ``summed``, never in place."""
    import numpy as np
    import torch

    return summed(torch.from_numpy(np.array(array, order="C"))).numpy()


def summed_sums(part: Sums) -> Sums:
    """The sums of all processes, over different clusters; those of the first process have columns."""
    if here().size == 1:
        return part
    import numpy as np

    from .bootstrap import FINISHED, Sums

    part.flush()
    names, replicated = part.names, part.replicated
    if summed_array(np.array([not names], dtype=np.int64))[0]:  # some process has none
        names, replicated = json.loads(from_first(lambda: json.dumps([names, replicated]).encode()))
    empty = np.zeros(len(names)), np.zeros(len(names)), np.zeros((part.count, replicated))
    arrays = part.arrays() if part.names else dict(zip(FINISHED, empty, strict=True))
    total = {field: summed_array(arrays[field]) for field in FINISHED}
    return Sums.of(part.seed, names, total | {"keys": gathered(part.keys.view(np.int64)).view(np.uint64)})


def gathered(mine: np.ndarray) -> np.ndarray:
    """The int64 arrays (N,) of all processes, one after another; their lengths may differ."""
    import numpy as np

    lengths = np.zeros(here().size, dtype=np.int64)
    lengths[here().rank] = len(mine)
    lengths = summed_array(lengths)
    whole, start = np.zeros(lengths.sum(), dtype=np.int64), lengths[: here().rank].sum()
    whole[start : start + len(mine)] = mine
    return summed_array(whole)


def joined_bytes(parts: Sequence[bytes]) -> bytes:
    """Several contents as one, for ``from_first``."""
    return b"".join(len(part).to_bytes(8, "little") + part for part in parts)


def parted_bytes(whole: bytes) -> list[bytes]:
    """The inverse of ``joined_bytes``."""
    parts, start = [], 0
    while start < len(whole):
        stop = start + 8 + int.from_bytes(whole[start : start + 8], "little")
        parts.append(whole[start + 8 : stop])
        start = stop
    return parts


def _number(name: str, default: int) -> int:
    given = os.environ.get(name) or str(default)
    if not (given.isascii() and given.isdigit()):
        raise ItinfError(
            f"The environment variable {name} is {given!r}; expected a number. Start itinf with torchrun, or unset it."
        )
    return int(given)

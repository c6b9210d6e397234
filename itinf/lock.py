"""The lock of a results folder: only one process at a time can write; the lock ends with the process."""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from .errors import ItinfError

LOCK = ".lock"
"""The hidden file that is locked. It names the process that holds the lock; it is deleted when the lock is released."""
_TAKEN = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_FAR = 1 << 30  # Windows hides locked bytes from readers: lock a byte far behind the text


@contextmanager
def kept(folder: Path) -> Iterator[None]:
    """Locks a folder for this process. Makes the folder if it does not exist, and removes it again if it stays empty.

    Raises:
        ItinfError: another process, or another thread of this one, has locked it; the message names the process.
        OSError: the folder cannot be written.
    """
    made: list[Path] = []
    try:
        handle = _taken(folder, made)
        try:
            yield
        finally:
            _give_back(folder, handle)
    finally:
        for path in made:
            with suppress(OSError):  # it is not empty, or gone
                path.rmdir()


def _taken(folder: Path, made: list[Path]) -> int:
    """Locks the file and returns its handle; adds the folders that it had to make to ``made``, the innermost first."""
    while True:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        made += [path for path in missing if path not in made]
        try:
            handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # another process has just removed the folder
            continue
        try:
            _lock(handle, folder)
            if _same_file(handle, folder / LOCK):  # if not, it was deleted between opening and locking
                _signed(handle, folder)
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    try:
        _lock_of_the_system(handle)
    except OSError as error:
        if error.errno in _TAKEN:
            raise ItinfError(
                f"{folder} is in use: {_keeper(folder)}. Wait until it has finished, or choose another --out."
            ) from None
        if error.errno not in _NO_LOCKS:
            raise
        logging.getLogger("itinf").warning(
            "The file system of %s has no locks (%s): make sure that only one process at a time writes there.",
            folder,
            error.strerror,
        )


if sys.platform == "win32":

    def _lock_of_the_system(handle: int) -> None:
        import msvcrt

        os.lseek(handle, _FAR, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

else:

    def _lock_of_the_system(handle: int) -> None:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _same_file(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _signed(handle: int, folder: Path) -> None:
    """Writes into the locked file which process has locked it; if that fails, the file is removed again."""
    try:
        _sign(handle)
    except OSError:  # the disk is full
        with suppress(OSError):
            (folder / LOCK).unlink()
        raise


def _sign(handle: int) -> None:
    since = datetime.now().astimezone().isoformat(" ", "seconds")
    os.ftruncate(handle, 0)
    os.lseek(handle, 0, os.SEEK_SET)
    os.write(handle, json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since}).encode())


def _keeper(folder: Path) -> str:
    """A phrase that names the process that has locked a folder."""
    for _ in range(20):
        try:
            holder = json.loads((folder / LOCK).read_text(encoding="utf-8"))
            return f"process {holder['pid']} on {holder['host']} has been writing to it since {holder['since']}"
        except (
            OSError,
            ValueError,
            LookupError,
            TypeError,
            RecursionError,
        ):  # the file is being written at this moment
            time.sleep(0.01)
    return "another process is writing to it"


def _give_back(folder: Path, handle: int) -> None:
    if sys.platform == "win32":  # an open file cannot be deleted there
        os.close(handle)
        with suppress(OSError):
            (folder / LOCK).unlink()
        return
    with suppress(OSError):
        if _same_file(handle, folder / LOCK):
            (folder / LOCK).unlink()  # still locked: a process that opens it now notices that the file is gone
    os.close(handle)

"""A folder kept by one process at a time, by a lock of the operating system that ends with the process."""

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
"""The hidden file that is locked; it says who keeps the folder, and goes when the folder is given back."""
_TAKEN = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_FAR = 1 << 30  # Windows hides locked bytes from readers: lock one that no text reaches


@contextmanager
def kept(folder: Path) -> Iterator[None]:
    """Keeps a folder for this process; makes it where there is none, and takes it away again if it stays empty.

    Raises:
        ItinfError: somebody else keeps it, be it a process or a thread of this one: who, and since when.
        OSError: it cannot be written.
    """
    made: list[Path] = []
    handle = _taken(folder, made)
    try:
        yield
    finally:
        _give_back(folder, handle)
        for path in made:
            with suppress(OSError):  # it is not empty, or gone
                path.rmdir()


def _taken(folder: Path, made: list[Path]) -> int:
    """A handle of the locked file; ``made`` gets the folders that were made for it, the innermost first."""
    while True:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        made += [path for path in missing if path not in made]
        try:
            handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # whoever made the folder has just taken it away
            continue
        try:
            _lock(handle, folder)
            if _same_file(handle, folder / LOCK):  # else it was given back between opening and locking
                _sign(handle)
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
            raise ItinfError(f"{folder} is in use: {_keeper(folder)}. Wait for it, or choose another --out.") from None
        if error.errno not in _NO_LOCKS:
            raise
        logging.getLogger("itinf").warning(
            "The file system of %s has no locks (%s): let one process at a time write there.", folder, error.strerror
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


def _sign(handle: int) -> None:
    since = datetime.now().astimezone().isoformat(" ", "seconds")
    os.ftruncate(handle, 0)
    os.lseek(handle, 0, os.SEEK_SET)
    os.write(handle, json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since}).encode())


def _keeper(folder: Path) -> str:
    """Who keeps a folder, in words."""
    for _ in range(20):
        try:
            who = json.loads((folder / LOCK).read_text(encoding="utf-8"))
            return f"process {who['pid']} on {who['host']} has been writing to it since {who['since']}"
        except (OSError, ValueError, KeyError):  # it is just being signed
            time.sleep(0.01)
    return "another process is writing to it"


def _give_back(folder: Path, handle: int) -> None:
    if sys.platform == "win32":  # where an open file cannot be taken away
        os.close(handle)
        with suppress(OSError):
            (folder / LOCK).unlink()
        return
    with suppress(OSError):
        if _same_file(handle, folder / LOCK):
            (folder / LOCK).unlink()  # while it is locked: who opens it now finds that it is another file
    os.close(handle)

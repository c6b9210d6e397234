"""Files that a reader sees old or new and never half of one; what is in them, and what differs."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

PART = ".part"
"""Ends the hidden name under which a file is written before it takes its place."""


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file in one step; an interruption leaves what was there before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=PART)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_text(path: Path, content: str) -> None:
    """``write_bytes`` for UTF-8 text."""
    write_bytes(path, content.encode())


def sweep(folder: Path) -> None:
    """Takes away what a process left that was killed while it wrote; only for who keeps the folder."""
    for path in folder.glob(f".*{PART}"):
        path.unlink(missing_ok=True)


def digest(content: bytes) -> dict[str, Any]:
    """What tells a file's content from any other: its size in bytes and a hash."""
    return {"size": len(content), "blake2b": hashlib.blake2b(content, digest_size=16).hexdigest()}


def damage(path: Path, listed: Mapping[str, Any]) -> str:
    """What is wrong with a file of which ``digest`` is known, in words; "" where nothing is."""
    try:
        found = digest(path.read_bytes())
    except FileNotFoundError:
        return "is not there"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if found["size"] != listed["size"]:
        return f"has {found['size']:,} bytes, and {listed['size']:,} were written"
    return "" if found == listed else "has another content than was written"


def difference(here: Mapping[str, Any], there: Mapping[str, Any], ignored: Collection[str] = ()) -> str | None:
    """The first entry of ``here`` that ``there`` has otherwise, in words; None where all of them agree.

    Args:
        here: what was asked for, JSON-ready; mappings in it are compared entry by entry.
        there: what is on record; entries that ``here`` does not have are no difference.
        ignored: entries that may differ, written "outer.inner".
    """
    for key, wanted in here.items():
        found = there.get(key)
        if isinstance(wanted, Mapping) and isinstance(found, Mapping):
            inner = [name.removeprefix(f"{key}.") for name in ignored if name.startswith(f"{key}.")]
            both = {name: wanted.get(name) for name in sorted(wanted.keys() | found.keys())}
            if (why := difference(both, found, inner)) is not None:
                return f"{key}.{why}"
        elif key not in ignored and wanted != found:
            return f"{key} is {wanted!r} here and {found!r} there"
    return None


def folder_name(name: str) -> str:
    """A network's name as the name of a folder."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name).lstrip(".") or "network"

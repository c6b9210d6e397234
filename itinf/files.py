"""Atomic writing of files, checks of their content, and the difference of two records."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

CONTENT = "content"
"""Entry with a hash of what the items hold that were read."""
ADDED = (CONTENT, "input", "classes_by")
"""Entries that records of an older itinf lack; where one of two records lacks such an entry, this is no difference."""
COMMENTS = ("doubts",)
"""Entries that define nothing."""
PART = ".part"
"""Ending of the hidden name under which a file is written before it is renamed."""


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file atomically; after an interruption, the old file is still there."""
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
    """Writes UTF-8 text, like ``write_bytes``."""
    write_bytes(path, content.encode())


def sweep(folder: Path) -> None:
    """Deletes unfinished files of a process that was killed while it wrote. The caller must have locked the folder."""
    for path in folder.glob(f".*{PART}"):
        path.unlink(missing_ok=True)


def digest(content: bytes) -> dict[str, Any]:
    """Size in bytes and hash of a file's content."""
    return {"size": len(content), "blake2b": hashlib.blake2b(content, digest_size=16).hexdigest()}


def damage(path: Path, listed: Mapping[str, Any]) -> str:
    """A phrase that says what is wrong with a file whose ``digest`` is ``listed``; "" if nothing is wrong."""
    try:
        read = digest(path.read_bytes())
    except FileNotFoundError:
        return "is not there"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if read["size"] != listed["size"]:
        return f"has {read['size']:,} bytes, and {listed['size']:,} were written"
    return "" if read == listed else "has been changed since it was written"


def difference(here: Mapping[str, Any], there: Mapping[str, Any], ignored: Collection[str] = ()) -> str | None:
    """A phrase about the first entry of ``here`` that differs in ``there``; None if all entries agree.

    Args:
        here: the entries asked for, JSON-ready; mappings in it are compared entry by entry.
        there: the recorded entries; further entries at the top level are no difference.
        ignored: entries that may differ, written "outer.inner".
    """
    return _difference(here, there, ignored, False) or _difference(here, there, ignored, True)


def _difference(
    here: Mapping[str, Any], there: Mapping[str, Any], ignored: Collection[str], content: bool
) -> str | None:
    """Like ``difference``, of ``CONTENT`` alone or of everything else: what was read depends on the settings."""
    for key, asked in here.items():
        recorded = there.get(key)
        if isinstance(asked, Mapping) and isinstance(recorded, Mapping):
            inner = [name.removeprefix(f"{key}.") for name in ignored if name.startswith(f"{key}.")]
            whole = {name: asked.get(name) for name in sorted(asked.keys() | recorded.keys())}
            if (why := _difference(whole, recorded, inner, content)) is not None:
                return f"{key}.{why}"
        elif key in ignored or key in COMMENTS or (key == CONTENT) != content or asked == recorded:
            continue
        elif key not in ADDED or None not in (asked, recorded):
            changed = "has changed: items have the names that they had then, but hold something else"
            return f"{key} {changed}" if content else f"{key} is {asked!r} here and {recorded!r} there"
    return None


def folder_name(name: str) -> str:
    """The name of a network, changed so that it can be the name of a folder."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name).lstrip(".") or "network"

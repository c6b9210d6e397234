"""stdlib: a data set of the source code of Python's standard library, which every machine has."""

from __future__ import annotations

import hashlib
import os
import platform
import sysconfig
from pathlib import Path

from itinf import ItinfError, Network

from .text import TokenSequences

SPLITS = ("train", "test")
TEST_SHARE = 0.15
TESTS = {"test", "tests", "idle_test"}


def stdlib(
    argument: str | None, network: Network, *, split: str = "test", length: int | None = None, **_: object
) -> TokenSequences:
    """Source code of the standard library of the running Python, one document per module: stdlib.

    Args:
        argument: None; stdlib takes no argument.
        network: a network with ``prepare``, ``context`` and a head.
        split: ``"test"`` (15 % of the modules, by a hash of the dotted name) or ``"train"``.
        length: tokens per sequence; the network's context by default, at most 256.

    Raises:
        ItinfError: an argument is given, there is no such split, this machine has no source code, or the network does
            not fit.
    """
    if argument is not None:
        raise ItinfError(f"stdlib was given {argument!r}, but takes no argument. For your own files, use text:FILE.")
    documents = modules(split)
    digest = hashlib.blake2b(digest_size=16)
    for text in documents.values():
        digest.update(text.encode())
    note = {
        "split": split,
        "python": platform.python_version(),
        "modules": len(documents),
        "bytes": sum(len(text.encode()) for text in documents.values()),
        "text": digest.hexdigest(),
    }
    return TokenSequences(f"stdlib/{split}", list(documents.items()), network, length, note)


def modules(split: str, root: Path | None = None) -> dict[str, str]:
    """Dotted name -> source code of every module of a split, sorted by name.

    Tests are left out, and so are files without a dotted name (site-packages, files of one platform), files that are
    not UTF-8, and empty files.

    Args:
        split: ``"train"`` or ``"test"``.
        root: folder of the library; by default that of the running Python.

    Raises:
        ItinfError: there is no such split, or the folder has no source code.
    """
    if split not in SPLITS:
        raise ItinfError(f"stdlib has no split {split!r}; expected {' or '.join(SPLITS)}.")
    root = root or Path(sysconfig.get_path("stdlib"))
    sources: dict[str, str] = {}
    for folder, inner, files in os.walk(root):
        inner[:] = [name for name in inner if name.isidentifier() and name not in TESTS]
        for path in (Path(folder, file) for file in files if file.endswith(".py") and file[:-3].isidentifier()):
            name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
            text = _read(path) if is_test(name) == (split == "test") else ""
            if text.strip():
                sources[name] = text
    if not sources:
        raise ItinfError(
            f"No Python source of the {split} split in {str(root)!r}: this Python came without the source of its "
            "library. Use a Python that has it, or your own text with text:FILE."
        )
    return dict(sorted(sources.items()))


def is_test(name: str) -> bool:
    """Whether the module with this dotted name is held out from training."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") < TEST_SHARE * 2**64


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""

"""stdlib: the Python standard library's own source, the text found wherever this program runs."""

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
    """Source and documentation of the running Python's standard library, one document a module: stdlib.

    Args:
        argument: none is taken.
        network: brings ``prepare``, ``context`` and the head's number of tokens.
        split: ``"test"`` (15 % of the modules, by a hash of the dotted name) or ``"train"``.
        length: tokens per sequence; the network's context by default, at most 256.

    Raises:
        ItinfError: an argument, an unknown split, no source on this machine, or a network that
            does not fit.
    """
    if argument is not None:
        raise ItinfError(f"stdlib was given {argument!r}, but takes no argument. For files of your own: text:FILE.")
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
    """Dotted name -> source of every module of a split, in order of name.

    Tests are left out, as is what has no dotted name (site-packages, files of one platform), is
    not UTF-8, or is empty.

    Args:
        split: ``"train"`` or ``"test"``.
        root: the library's folder; by default that of the running Python.

    Raises:
        ItinfError: an unknown split, or no source there.
    """
    if split not in SPLITS:
        raise ItinfError(f"stdlib has no split {split!r}; expected {' or '.join(SPLITS)}.")
    root = root or Path(sysconfig.get_path("stdlib"))
    found: dict[str, str] = {}
    for folder, inner, files in os.walk(root):
        inner[:] = [name for name in inner if name.isidentifier() and name not in TESTS]
        for path in (Path(folder, file) for file in files if file.endswith(".py") and file[:-3].isidentifier()):
            name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
            text = _read(path) if is_test(name) == (split == "test") else ""
            if text.strip():
                found[name] = text
    if not found:
        raise ItinfError(
            f"No Python source of the {split} split in {str(root)!r}; this Python came without its library's source."
        )
    return dict(sorted(found.items()))


def is_test(name: str) -> bool:
    """Whether the module of this dotted name is held out from training."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") < TEST_SHARE * 2**64


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""

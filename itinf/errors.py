"""The exceptions for what the user can correct, and the sentences in which they say it."""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from os import strerror
from typing import Any


class ItinfError(ValueError):
    """A mistake that the user can correct. The message says what was given, what was expected, and what to do.

    The command line prints its message without a traceback and exits with code 2. Characters that would steer a
    terminal, such as those in the name of a file, are written as escapes.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__("".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in message))


class NoSplitError(ItinfError):
    """The data set has no split with this name."""


class UnknownEstimatorError(ItinfError):
    """Results use an estimator that no imported module defines. The results are not damaged: do not measure again."""


class TooFewError(ItinfError):
    """There are too few data to fit a lens, or to measure its transfer. A study can go on without lenses."""


class NothingToDrawError(ItinfError):
    """The results lack what a figure shows. A page, and a notebook, leave such a figure out."""


def nearest(given: str, valid: Iterable[str]) -> str:
    """The sentence that ends a message about an unknown name.

    Args:
        given: the name that the user wrote.
        valid: all valid names.

    Returns:
        "Did you mean …?" if valid names are close to the given name, else the list of valid names.
    """
    names = sorted(valid)
    close = difflib.get_close_matches(given, names, n=3, cutoff=0.6)
    if close:
        return f"Did you mean {' or '.join(close)}?"
    return f"Known: {', '.join(names) or 'none'}."


def shown(value: Any) -> str:
    """The repr of a value that a user gave, on one line of at most 80 characters, for a message."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # a message about a wrong value must not fail because of the value
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 80 else f"{text[:77]}…"


ADVICE = {
    (errno.ENOSPC, errno.EDQUOT, errno.EFBIG): "Free space there, then run the same command again: a study resumes at "
    "its last save.",
    (errno.EACCES, errno.EPERM, errno.EROFS): "Change its permissions, or choose another place.",
    (errno.ENAMETOOLONG,): "Give a shorter name.",
    (errno.ENOTDIR, errno.EEXIST): "A part of the path is a file, and a folder is expected: give another path.",
    (errno.EISDIR,): "It is a folder, and a file is expected: give another path.",
    (errno.ENOENT,): "Give the path of something that exists.",
    (errno.EMFILE, errno.ENFILE): "Too many files are open: close some, or raise the limit (ulimit -n).",
}
"""What to do about an error of the operating system."""


def system_error(error: OSError, what: str = "", verb: str = "be written") -> ItinfError:
    """The message for an error of the operating system.

    Args:
        error: the error.
        what: what could not be read or written; by default the path that the error names.
        verb: "be written", "be read" or "be used".
    """
    path = what or error.filename or "A file"
    why = error.strerror or (strerror(error.errno) if error.errno else str(error) or type(error).__name__)
    advice = next((advice for numbers, advice in ADVICE.items() if error.errno in numbers), "")
    return ItinfError(f"{path} cannot {verb} ({why}). {advice or 'Check the place, then run the same command again.'}")


_NO_MEMORY = re.compile(
    r"out of memory|not enough memory|(can't|cannot|unable to|failed to) (allocate|map)|ALLOC_FAILED|bad_alloc", re.I
)


def lacks_memory(error: BaseException) -> bool:
    """Whether an error says that memory was used up, on the CPU or on an accelerator."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    # an ImportError: a library that cannot be mapped
    kinds = (RuntimeError, ImportError)
    return isinstance(error, MemoryError) or (isinstance(error, kinds) and _NO_MEMORY.search(str(error)) is not None)


@contextmanager
def batch_in_memory(batch: int, more: str = "") -> Iterator[None]:
    """Around work in batches: if memory is used up, the message says which smaller batch to try.

    Args:
        batch: clusters per forward pass.
        more: a sentence on what else saves memory.

    Raises:
        ItinfError: memory was used up.
    """
    try:
        yield
    except ItinfError:
        raise
    except Exception as error:
        if not lacks_memory(error):
            raise
        first = (str(error).splitlines() or [""])[0] or type(error).__name__
        advice = f"Try --batch {batch // 2}." if batch > 1 else "This is the smallest: take a machine with more memory."
        raise ItinfError(f"Out of memory with --batch {batch} ({first}). {advice} {more}".rstrip()) from error

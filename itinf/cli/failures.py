"""The end of a command that fails: the one place that tells the user's mistakes from faults of itinf."""

from __future__ import annotations

import os
import platform
import shlex
import sys
import traceback
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

from ..errors import ItinfError, lacks_memory, system_error
from .console import err

MISTAKE, FAULT = 2, 1
"""Exit codes: the user can correct it; itinf has to be corrected."""
PACKAGES = ("itinf", "torch", "numpy", "transformers")


def told(error: Exception) -> int:
    """Prints what is wrong and what to do, and returns the exit code.

    Errors of the operating system and a lack of memory are the user's to correct. Everything else that is no
    ``ItinfError`` is a fault of itinf: the traceback is printed, and then how to report it.
    """
    if isinstance(error, ItinfError):
        return _print(error)
    if lacks_memory(error):
        traceback.clear_frames(error.__traceback__)  # gives back what they hold
        first = (str(error).splitlines() or [""])[0] or type(error).__name__
        return _print(f"Out of memory ({first}). Close other programs, take a smaller network, or another machine.")
    if isinstance(error, OSError):
        _close_output()
        named = error.filename is not None  # a full stdout has no name
        return _print(
            system_error(error, error.filename if named else "The output", "be used" if named else "be written")
        )
    with suppress(MemoryError, OSError):
        traceback.print_exception(error)
    _print(
        f"This is a fault of itinf, or of a package that was added to it: {type(error).__name__}: {error}\n"
        f"Please report the command and the traceback above:\n  {shlex.join(['itinf', *sys.argv[1:]])}\n"
        f"  {', '.join(_versions())}"
    )
    return FAULT


def _close_output() -> None:
    """If stdout is full, the flush at the end of the process must not fail, too: it would change the exit code."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print(message: object) -> int:
    text = f"itinf: {message}"
    try:
        err.print(text, style="red", markup=False, highlight=False, soft_wrap=True)
    except MemoryError:
        os.write(2, f"{text}\n".encode())
    except OSError:  # stderr is closed or full, too
        pass
    return MISTAKE


def _versions() -> list[str]:
    found = [f"Python {platform.python_version()} on {platform.platform()}"]
    for name in PACKAGES:
        with suppress(PackageNotFoundError, MemoryError):
            found.append(f"{name} {version(name)}")
    return found

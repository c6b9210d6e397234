"""What an interrupted command shows: what is saved, what the finished part of it says, and how to go on."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .console import err, first_process


@contextmanager
def saved_is_shown(folder: Path) -> Iterator[None]:
    """Around the work of a command that stores results in a folder."""
    try:
        yield
    except KeyboardInterrupt:
        if first_process():
            with suppress(Exception):  # nothing may come before the end
                _show(folder)
        raise


def _show(folder: Path) -> None:
    from ..registry import answers
    from ..results.saved import finished_tables, saved

    sentences = saved(folder)
    lines = [f"Saved in {folder}:" if sentences else f"Nothing is saved in {folder} yet.", *sentences]
    lines += answers(*finished_tables(folder))
    lines += [f"To resume: {shlex.join(['itinf', *sys.argv[1:]])}"] if sentences else []
    for line in lines:
        err.print(line, markup=False, highlight=False, soft_wrap=True)

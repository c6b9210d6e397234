"""Prints what a command will measure, before its long work: what, what not and why, and how long it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..files import require_writable
from ..statistics.processes import job_size
from .console import err, first_process

if TYPE_CHECKING:
    from ..studies.preview import Preview

MOST_STAGES = 3
"""Stages whose times are printed; they are the longest ones."""
SAME = 0.8
"""A shortest time of this share of the longest one is not printed."""


def show_preview(make: Callable[[], Sequence[Preview]], folder: Path | None = None, jobs: int = 1) -> None:
    """Prints what will be measured, unless the folder holds it already. Only the first process does.

    Args:
        make: makes the preview of every network; ``folder``: for the results; None if they are no folder.
        jobs: number of networks measured at a time.

    Raises:
        ItinfError: the folder cannot be written, or ``make`` refuses something.
    """
    from ..results.folder import refuse_foreign
    from ..results.manifest import MANIFEST, read_manifest
    from ..results.saved import saved
    from ..studies.study import PARTS

    if not first_process() or (folder is not None and (read_manifest(folder) or {}).get("complete")):
        return
    if folder is not None:
        refuse_foreign(folder, PARTS)
        require_writable(folder / MANIFEST, named=folder)
    with err.status("A short trial, to see what can be measured and how long it takes"):
        previews = make()
    lines = [*preview_lines(previews), ("time", time_line(previews, jobs))]
    lines += [("saved", sentence) for sentence in saved(folder)] if folder is not None else []
    for what, text in lines:
        err.print(f"  {what:<10}{text}", markup=False, highlight=False, soft_wrap=True)


def preview_lines(previews: Sequence[Preview]) -> list[tuple[str, str]]:
    """The lines of several previews: what holds for all networks once, then each network's own."""
    first, *others = previews
    common = [line for line in first.lines if all(line in other.lines for other in others)]
    lines = common if others else []
    for preview in previews:
        lines += [line for line in preview.lines if not others or line not in common]
        lines += [("undefined", line) for line in preview.undefined]
        lines += [("warning", line) for line in preview.warnings]
    return lines


def time_line(previews: Sequence[Preview], jobs: int = 1) -> str:
    """How long it takes, and the longest stages: "about 7 minutes (measuring 80 %, fitting 15 %)"."""
    from ..studies.preview_study import wall_seconds

    most = wall_seconds([preview.total for preview in previews], jobs) / job_size()
    least = wall_seconds([preview.total - preview.spared for preview in previews], jobs) / job_size()
    stages: dict[str, float] = {}
    for preview in previews:
        for stage, seconds in preview.seconds.items():
            stages[stage] = stages.get(stage, 0.0) + seconds
    total = sum(stages.values())
    longest = sorted(stages, key=lambda stage: -stages[stage])[:MOST_STAGES]
    shares = ", ".join(f"{stage} {stages[stage] / total:.0%}" for stage in longest)
    if least > SAME * most:
        return f"{in_words(most)} ({shares})"
    return f"{in_words(least)} to {in_words(most)} ({shares}): a transfer stops as soon as it is precise enough"


def in_words(seconds: float) -> str:
    """A time as "under a minute", "about 7 minutes", "about 2 h 40 min"."""
    minutes = round(seconds / 60)
    if seconds < 60:
        return "under a minute"
    if minutes < 90:
        return f"about {minutes} minute{'' if minutes == 1 else 's'}"
    return f"about {minutes // 60} h {minutes % 60:02} min"

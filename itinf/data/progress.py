"""How far a study is: the function that every long call takes, and the bar that a notebook shows by itself."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

Progress = Callable[[str, int, int], None]
"""Called with the name of a stage, clusters done, and clusters in all."""
StudyProgress = Callable[[str, str, int, int], None]
"""Called with a network's name, a stage, clusters done, and clusters in all."""


def silent(stage: str, done: int, total: int) -> None:
    """Shows no progress."""


def visible(given: Progress | None) -> Progress:
    """The function that was given; without one, a bar for each stage in a notebook, and nothing elsewhere."""
    return given or (partial(_Bars(), "") if in_notebook() else silent)


def visible_study(given: StudyProgress | None) -> StudyProgress:
    """Like ``visible``, for several networks."""
    return given or (_Bars() if in_notebook() else lambda name, stage, done, total: None)


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook: it has loaded IPython, whose shell has a kernel."""
    ipython = sys.modules.get("IPython")
    return getattr(getattr(ipython, "get_ipython", lambda: None)(), "kernel", None) is not None


class _Bars:
    """One bar for each stage of each network."""

    def __init__(self) -> None:
        self.bars: dict[tuple[str, str], Any] = {}

    def __call__(self, name: str, stage: str, done: int, total: int) -> None:
        if (name, stage) not in self.bars:
            with warnings.catch_warnings():  # without ipywidgets the bar is text, which needs no warning
                warnings.simplefilter("ignore")
                from tqdm.auto import tqdm
            self.bars[name, stage] = tqdm(total=total, initial=done, desc=f"{name}: {stage}" if name else stage)
        bar = self.bars[name, stage]
        bar.update(done - bar.n)
        if done >= total:
            bar.close()
            del self.bars[name, stage]

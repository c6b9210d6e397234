"""A figure is drawn once; its files and its picture on the page are made from that one drawing."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from ..errors import NothingToDrawError

PRINT_DPI = 300
PICTURES = (".png", ".svg")
"""Endings of the files that every figure has; a figure whose numbers are known has a ``.csv``, too."""
NUMBERS = ".csv"
AT_ONCE, WORTH = 4, 4
"""Most processes that draw at once, and figures for each that make another process worth its start."""


@dataclass(frozen=True)
class Drawn:
    """A figure and the files made from it.

    Attributes:
        png: at print quality; the page shows a smaller copy.
        svg: the page shows it as it is where ``marks`` says where its numbers are.
        files: path in the results folder -> content.
        marks: what the figure's attribute ``marks`` returns after it was saved; None without one.
    """

    png: bytes
    svg: bytes
    files: dict[str, bytes]
    marks: Any = None


def drawn(draw: Callable[[], Any], stem: str) -> Drawn | None:
    """Draws a figure and makes its files; None if the results lack what it shows.

    Args:
        draw: makes the matplotlib Figure, or None; its attribute ``numbers``, if it has one, is the table of what it shows.
        stem: path of the files without ending.
    """
    try:
        figure = draw()
    except NothingToDrawError:
        return None
    if figure is None:
        return None
    png, svg = pictures_of(figure)
    files = dict(zip((stem + ending for ending in PICTURES), (png, svg), strict=True))
    numbers, marks = getattr(figure, "numbers", None), getattr(figure, "marks", None)
    if numbers is not None:
        files[stem + NUMBERS] = numbers.to_csv(index=False).encode()
    return Drawn(png, svg, files, None if marks is None else marks())


def drawn_all(draws: Mapping[str, Callable[[], Any]], stems: Mapping[str, str]) -> dict[str, Drawn]:
    """Draws figures, in several processes where there are many figures and cores; those that show nothing are left out.

    Args:
        draws: name -> what draws it.
        stems: name -> path of its files without ending.
    """
    helpers = min(_cores(), AT_ONCE, len(draws) // WORTH) - 1 if sys.platform == "linux" else 0  # a fork is safe there
    fork = multiprocessing.get_context("fork" if helpers > 0 else None)
    taken, others = fork.Value("i", 0), []
    for _ in range(helpers):
        receives, sends = fork.Pipe(duplex=False)
        # the draws need not be sent: a fork has them; it touches figures and tables alone, never torch's threads
        helper = fork.Process(target=_send, args=(sends, draws, stems, taken), daemon=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: this process has threads
            helper.start()
        sends.close()
        others.append(receives)
    made = _made(draws, stems, taken)
    for receives in others:
        error, more = receives.recv()
        if error is not None:
            raise error
        made |= more
    return {name: made[name] for name in draws if name in made}


def _send(to: Connection, draws: Mapping[str, Callable[[], Any]], stems: Mapping[str, str], taken: Any) -> None:
    """Draws a part of the figures in a process of its own."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    try:
        to.send((None, _made(draws, stems, taken)))
    except Exception as error:
        to.send((error, {}))


def _made(draws: Mapping[str, Callable[[], Any]], stems: Mapping[str, str], taken: Any) -> dict[str, Drawn]:
    """Takes one figure after the other that no process has taken; ``taken`` counts them for all."""
    made: dict[str, Drawn] = {}
    while True:
        with taken.get_lock():
            place = taken.value
            taken.value += 1
        if place >= len(draws):
            return made
        name = list(draws)[place]
        if (figure := drawn(draws[name], stems[name])) is not None:
            made[name] = figure


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def pictures_of(figure: Any) -> tuple[bytes, bytes]:
    """A figure as PNG at 300 dpi and as SVG; the same figure gives the same bytes.

    Text in the SVG is text, and it holds neither a date nor a script.
    """
    from matplotlib import rc_context

    png, svg = io.BytesIO(), io.BytesIO()
    # hardly larger than with the usual level, in a third of its time
    figure.savefig(png, format="png", dpi=PRINT_DPI, pil_kwargs={"compress_level": 3})
    figure.set_layout_engine("none")  # laid out once: the second file has the same places
    with rc_context({"svg.hashsalt": "itinf", "svg.fonttype": "none"}):
        figure.savefig(svg, format="svg", metadata={"Date": None})
    return png.getvalue(), svg.getvalue()


def screen_png(figure: Any) -> bytes:
    """A figure as a small PNG, for a notebook."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=90)
    return picture.getvalue()

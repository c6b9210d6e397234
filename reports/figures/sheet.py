"""A narrow figure with one row for each network, drawn in points from its upper left corner, so that nothing is laid out.

3.4 inches are the width of a phone, and text is not smaller than 9 points.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.artist import Artist
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from numpy.typing import NDArray

from ..charts.marks import Mark, Reading, belongs, mark
from .identity import Identity
from .style import BAND, INK, LINE, SOFT, literal, shorten

WIDTH = 3.4 * 72
TEXT, LETTER = 9.0, 5.0
"""Size of text, and about the width of a letter."""
SCREEN = 1.05
"""By how much letters may be wider on a screen, where they begin at whole pixels."""
KEY_LINES = 2
"""Lines of every key, so that rows of figures side by side are at one height."""
LEFT, RIGHT = 20.0, WIDTH - 27.0
"""Ends of the rows' horizontal axes; beside them stand labels, which do not touch what is drawn."""
NAME, GAP, FOOT = 13.0, 7.0, 14.0
"""Heights of a network's name, of the space between rows, and of the axis below them."""
ABOVE = 10.0
"""How high above a row's drawing the middle of its name is: as far from the labels of the row as from those of the row before."""
BEYOND = 0.06
"""By how much of a row's scale what is outside is drawn outside."""
DASHES = {"line": (0, (3, 2)), "dots": (0, (1, 1.6))}
"""Lines of nulls that are no band: a second null, and a question."""
Values = NDArray[np.float64]


def text_width(words: str) -> float:
    """About the width of a text in points: letters have their own widths, and signs of East Asia and pictures are square."""
    font = FontProperties(size=TEXT)
    plain = "".join(letter for letter in words if unicodedata.east_asian_width(letter) not in "WF")
    narrow = float(text_to_path.get_text_width_height_descent(plain, font, False)[0])
    return SCREEN * (narrow + TEXT * (len(words) - len(plain)))


def fitting(words: str, room: float) -> str:
    """A text that is at most as wide as its room in points, cut in the middle."""
    kept = len(words)
    while kept > 3 and text_width(cut := shorten(words, kept)) > room:
        kept = min(kept - 1, int(kept * room / text_width(cut)) + 1)
    return shorten(words, kept)


class Sheet:
    """The figure, its one axes, and its rows.

    Args:
        title: on top.
        key: what stands below it: (how it is drawn, in words) pairs; how: "line", "dots", "band", "hollow" or "" for words alone.
        identities: of the networks, one for each row, by name.
        height: of a row's drawing; ``scale``: its lower and upper end.
        foot: label of the horizontal axis; "" for none.
        beside: width of what stands on the right of a name, in points.
        ends: labels of the ends of the horizontal axis.
    """

    def __init__(
        self,
        title: str,
        key: Sequence[tuple[str, str]],
        identities: dict[str, Identity],
        height: float,
        scale: tuple[float, float] = (0.0, 1.0),
        foot: str = "",
        beside: float = 0.0,
        ends: tuple[str, str] = ("0", "1"),
    ) -> None:
        top = 15.0 + 12.0 * KEY_LINES + 4
        whole = top + len(identities) * (NAME + height + GAP) + (FOOT if foot else 0.0)
        self.figure = Figure(figsize=(WIDTH / 72, whole / 72), dpi=100, facecolor="white")
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set_axis_off()
        self.axes.set_xlim(0, WIDTH)
        self.axes.set_ylim(whole, 0)
        self.axes.set_autoscale_on(False)
        self.text(2, 8, title, weight="bold")
        x, line = 2.0, 0
        for how, words in key:
            wide = (18 if how else 0) + LETTER * len(words)
            if x + wide > WIDTH and x > 2:
                x, line = 2.0, line + 1
            self._key(x, 21 + 12 * line, how, words)
            x += wide + 8
        self.rows = {
            name: Row(self, name, drawn, top + k * (NAME + height + GAP) + NAME, height, scale)
            for k, (name, drawn) in enumerate(identities.items())
        }
        for row in self.rows.values():
            row.head(WIDTH - 26 - beside)
        if foot:
            for x, words, side in (
                (LEFT, ends[0], "left"), ((LEFT + RIGHT) / 2, foot, "center"), (RIGHT, ends[1], "right"),
            ):  # fmt: skip
                self.text(x, whole - FOOT / 2 - 3, words, side, SOFT)

    def text(
        self, x: float, y: float, words: str, side: str = "left", colour: str = INK, weight: str = "normal"
    ) -> Artist:
        """Words, drawn as they are, with their middle at the height y."""
        return self.axes.text(
            x, y, literal(words), fontsize=TEXT, ha=side, va="center_baseline", color=colour, fontweight=weight
        )  # fmt: skip

    def _key(self, x: float, y: float, how: str, words: str) -> None:
        ends = [x, x + 14]
        if how == "band":
            self.axes.fill_between(ends, y - 3, y + 3, color=BAND, lw=0)
        elif how in DASHES:
            self.axes.plot(ends, [y, y], color=SOFT, lw=0.8, ls=DASHES[how])
        elif how == "hollow":
            self.axes.plot([x + 7], [y], "o", ms=3.5, mfc="white", mec=SOFT, mew=0.9)
        self.text(x + 18 if how else x, y, words, colour=SOFT)


@dataclass(frozen=True)
class Row:
    """The row of one network; ``top`` and ``height`` of its drawing in points."""

    sheet: Sheet
    name: str
    drawn: Identity
    top: float
    height: float
    scale: tuple[float, float]

    def x(self, share: float | Values) -> Values:
        """Where a share of depth is."""
        return LEFT + np.asarray(share, float) * (RIGHT - LEFT)

    def y(self, value: float | Values) -> Values:
        """Where a value is; one outside the scale is at its edge."""
        low, high = self.scale
        share = (np.asarray(value, float) - low) / (high - low)
        return self.top + self.height * (1 - np.clip(share, -BEYOND, 1 + BEYOND))

    @property
    def name_at(self) -> float:
        """The height of the name, and of what stands beside it."""
        return self.top - ABOVE

    def head(self, room: float) -> None:
        """The name, after a piece of its line; one that is longer than its room is cut in the middle."""
        y, drawn = self.name_at, self.drawn
        (line,) = self.sheet.axes.plot(
            [2, 9, 16], [y] * 3, color=drawn.colour, ls=drawn.dash, marker=drawn.marker, ms=3.5, markevery=[1], lw=1.2
        )
        name = fitting(shorten(self.name, 100), room)
        belongs(drawn.number, line, self.sheet.text(20, y, name))

    def levels(self, low: str, high: str, half: bool = False, zero: bool = False) -> None:
        """A line at the lower end of the scale, and labels at both.

        Args:
            half: a dotted line in the middle, too.
            zero: the line is in the middle, and that is 0.
        """
        axes, (bottom, top) = self.sheet.axes, self.y(np.array(self.scale))
        level = (bottom + top) / 2 if zero else bottom
        axes.plot([LEFT, RIGHT], [level, level], color=LINE, lw=0.6, zorder=1)
        if half:
            axes.plot([LEFT, RIGHT], [(bottom + top) / 2] * 2, color=LINE, lw=0.6, ls=(0, (1, 2)), zorder=1)
        for y, words in ((bottom, low), (top, high), *([(level, "0")] if zero else [])):
            self.sheet.text(LEFT - 4, float(y), words, "right", SOFT)

    def line(self, share: Values, mean: Values, lo: Values, hi: Values, *, hollow: bool = False) -> None:
        """A line with intervals; ``hollow``: points only."""
        drawn, axes, x = self.drawn, self.sheet.axes, self.x(share)
        size = 3.6 if hollow else float(np.clip(150 / max(len(x), 1), 1.2, 3.2))
        size *= 1.3 if drawn.marker in "PX*" else 1.0  # markers that look small
        (line,) = axes.plot(
            x, self.y(mean), color=drawn.colour, ls="" if hollow else drawn.dash, marker=drawn.marker, ms=size, lw=1.1,
            mfc="white" if hollow else drawn.colour, mew=0.8 if hollow else 0, zorder=4,
        )  # fmt: skip
        ends = np.stack([np.stack([x, x], 1), np.stack([self.y(lo), self.y(hi)], 1)], 2)
        bars = LineCollection(
            list(ends[np.isfinite(ends).all((1, 2))]), colors=drawn.colour, linewidths=0.8, alpha=0.6, zorder=3
        )
        axes.add_collection(bars, autolim=False)
        belongs(drawn.number, line, bars)

    def band(self, share: Values, lo: Values, hi: Values) -> None:
        """A null: a grey band, never too thin to be seen."""
        low, high, x = self.y(lo), self.y(hi), self.x(share)
        wide = np.maximum((low - high) / 2, 1.2)
        middle = (low + high) / 2
        if len(x) == 1:
            x, middle, wide = np.array([x[0] - 2, x[0] + 2]), np.repeat(middle, 2), np.repeat(wide, 2)
        belongs(
            self.drawn.number, self.sheet.axes.fill_between(x, middle - wide, middle + wide, color=BAND, lw=0, zorder=0)
        )

    def dashes(self, share: Values, mean: Values, how: str = "line") -> None:
        """A second null, or a question: a thin grey line."""
        x, y = self.x(share), self.y(mean)
        (line,) = self.sheet.axes.plot(
            x, y, color=SOFT, lw=0.8, ls=DASHES[how], zorder=2, marker="." if len(x) == 1 else ""
        )
        belongs(self.drawn.number, line)

    def missing(self, share: Values) -> None:
        """Where there is no value: small crosses on the lower line."""
        (line,) = self.sheet.axes.plot(
            self.x(share), self.y(np.full(len(share), self.scale[0])), "x", color=SOFT, ms=3, mew=0.8
        )
        belongs(self.drawn.number, line)

    def end(self, value: float, words: str, colour: str = INK) -> None:
        """A label at the end of a line."""
        belongs(self.drawn.number, self.sheet.text(RIGHT + 4, float(self.y(value)), words, colour=colour))

    def write(self, x: float, y: float, words: str, colour: str = INK, side: str = "left") -> None:
        """Words anywhere in the row, in points."""
        belongs(self.drawn.number, self.sheet.text(x, y, words, side, colour))

    def note(self, words: str) -> None:
        """Words in the row instead of a drawing."""
        self.write(LEFT, self.top + self.height / 2, shorten(words, 44), SOFT)

    def mark(self, share: float, value: float, line: str, label: str, readings: Sequence[Reading]) -> None:
        """Numbers for hover and keyboard, at a place; a missing value is at the lower end."""
        at = self.scale[0] if np.isnan(value) else value
        made = Mark(
            self.sheet.axes, float(self.x(share)), float(self.y(at)), self.drawn.number, self.name, line, label, readings
        )  # fmt: skip
        mark(self.sheet.figure, made)

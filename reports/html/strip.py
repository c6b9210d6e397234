"""The blocks of a network as a strip: one bar a block, as high as its state is wide, with a gap where the shape changes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

from markupsafe import Markup

from ..numbers import counted

LENGTH, HEIGHT, LEAST, GAP = 240.0, 40.0, 10.0, 9.0
"""Of a strip, of its lowest bar, and of a gap, in pixels."""


class Blocks(NamedTuple):
    """What is known of the blocks of a network.

    Attributes:
        widths: channels after each block; empty where they were not recorded.
        shapes: the block's state has the same shape as the one before it where two numbers are equal, one number a block.
    """

    widths: Sequence[int]
    shapes: Sequence[int]

    @property
    def words(self) -> str:
        """As "18 blocks, 16 → 32 → 64 channels"."""
        return f"{counted(len(self.shapes), 'block')}, {self._channels}"

    @property
    def _channels(self) -> str:
        if not self.widths:
            return "widths not recorded"
        runs = [str(width) for width, _ in groupby(self.widths)]
        if len(runs) > 9:
            return f"{runs[0]} → … → {runs[-1]} channels in {len(runs)} runs of one width"
        return f"{' → '.join(runs)} channels"


def strip(blocks: Blocks, most: int = 0) -> Markup:
    """The strip as inline SVG, which speaks its words to a screen reader.

    Args:
        blocks: of one network.
        most: channels of the highest bar, so that strips of several networks share a scale; by default its own.
    """
    count = len(blocks.shapes)
    changes = [False, *(before != after for before, after in pairwise(blocks.shapes))]
    gap = min(GAP, LENGTH / (3 * max(sum(changes), 1)))
    step = (LENGTH - gap * sum(changes)) / max(count, 1)
    bar = max(step - min(2.0, step / 4), 0.5)
    x, bars = 0.0, []
    for number in range(count):
        x += gap * changes[number]
        height = _height(blocks.widths[number], max(most, *blocks.widths)) if blocks.widths else HEIGHT / 2
        bars.append(
            f'<rect x="{x:.1f}" y="{(HEIGHT - height) / 2:.1f}" width="{bar:.1f}" height="{height:.1f}" rx="1"/>'
        )
        x += step
    return Markup(
        '<svg class="strip" role="img" aria-label="{}" viewBox="0 0 {} {}" width="{}" height="{}" preserveAspectRatio="none">{}</svg>'
    ).format(blocks.words, LENGTH, HEIGHT, LENGTH, HEIGHT, Markup("".join(bars)))


def _height(width: int, most: int) -> float:
    """Logarithmic: one channel is the lowest bar, ``most`` the full height."""
    return LEAST + (HEIGHT - LEAST) * math.log(max(width, 1)) / max(math.log(most), 1e-9) if most > 1 else HEIGHT

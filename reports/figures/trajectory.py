"""Prediction trajectory of one item: the likeliest class at every depth, coloured by its probability."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import seaborn
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from ..trajectories import READERS, chosen_reader, require_trajectory, visible
from .style import _RC, INK, literal, shorten

COLOURS = seaborn.light_palette("#6baed6", as_cmap=True)
"""From white to a blue on which dark text is read."""


def trajectory(
    table: pd.DataFrame,
    *,
    item: int = 0,
    reader: str | None = None,
    picture: bytes | None = None,
    start: int = 0,
    positions: int = 32,
) -> Figure:
    """The grid of one item: tokens across and depths down, or a picture beside its five likeliest classes by depth.

    Args:
        table: that of ``itinf.trajectory``.
        item: number of the item.
        reader: "own", "shared" or "logit"; by default the first there is.
        picture: PNG of the item.
        start: first position of a text that is shown; ``positions``: the most that are shown.

    Raises:
        ItinfError: the table is of another kind, or has no such reader.
    """
    require_trajectory(table)
    rows = table[table["item"] == item]
    name = chosen_reader(rows, reader)
    states = rows.drop_duplicates("state").sort_values("state")
    rows = rows[rows["reader"] == name]
    text = rows["position"].nunique() > 1 or picture is None
    if text:
        rows = rows[(rows["rank"] == 1) & rows["position"].between(start, start + positions - 1)]
    across = "position" if text else "rank"
    probability, words = (
        rows.assign(shown=[visible(t, c) for t, c in zip(rows["text"], rows["class"], strict=True)])
        .pivot(index="state", columns=across, values=values)
        .reindex(states["state"])
        for values in ("probability", "shown")
    )
    axes = _panels(probability.shape, picture)
    if not text:
        words = words + np.vectorize(lambda p: f"\n{p:.0%}")(probability)
    words = words.map(lambda word: "" if pd.isna(word) else literal(shorten(str(word), 14 if text else 18)))
    _grid(axes, probability, words, [shorten(str(s), 24) for s in states["state_name"]])
    if text:
        head = rows.drop_duplicates("position").sort_values("position")
        read = [literal(shorten(visible(t, None if pd.isna(c) else c), 14)) for t, c in zip(head["input_text"], head["input"], strict=True)]  # fmt: skip
        axes.set_xticklabels(read, rotation=45, ha="left", rotation_mode="anchor")
        axes.set_xlabel("token that is read; each cell: the likeliest next token")
    else:
        axes.set_xlabel("rank")
    for cell, hit in zip(axes.texts, _hits(rows, states, across), strict=True):
        cell.set_fontweight("bold" if hit else "normal")
    axes.set_title(f"read by: {READERS[name]}", loc="left", fontsize=9, color=INK)
    figure = axes.figure
    assert isinstance(figure, Figure)
    return figure


def _hits(rows: pd.DataFrame, states: pd.DataFrame, across: str) -> list[bool]:
    """For each cell that holds a class, in the order in which they are drawn, whether it is the truth."""
    classes, truth = (
        rows.pivot(index="state", columns=across, values=v).reindex(states["state"]) for v in ("class", "truth")
    )
    return (classes == truth).fillna(False).to_numpy(bool)[classes.notna().to_numpy()].tolist()


def _panels(shape: tuple[int, int], picture: bytes | None) -> Axes:
    """The panel of the grid; beside it the picture, if there is one."""
    height, width = 0.34 * shape[0] + 1.4, max(0.62 * shape[1], 3.0) + 2.6
    with rc_context(_RC):
        if picture is None:
            return Figure(figsize=(width, height), dpi=100, layout="constrained").subplots()
        figure = Figure(figsize=(10, max(height, 3.0)), dpi=100, layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[1, 3])
    left.imshow(np.asarray(Image.open(io.BytesIO(picture))), interpolation="nearest")
    left.set_axis_off()
    return right


def _grid(axes: Axes, probability: pd.DataFrame, words: pd.DataFrame, names: list[str]) -> None:
    seaborn.heatmap(
        probability.astype(float),
        annot=words,
        fmt="",
        annot_kws={"fontsize": 7, "color": INK},
        vmin=0,
        vmax=1,
        cmap=COLOURS,
        linewidths=0.5,
        cbar_kws={"label": "probability", "pad": 0.01},
        ax=axes,
    )
    axes.set_yticks(np.arange(len(names)) + 0.5, [literal(name) for name in names], rotation=0)
    axes.set_ylabel("state, in order of depth")
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.tick_params(length=0, labelsize=7)
    axes.set_facecolor("#eeeeee")  # where a reader does not fit the state

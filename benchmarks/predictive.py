"""Benchmark: how well predictive coding compresses, layer by layer, beside its controls and simple yardsticks.

    python benchmarks/predictive.py FOLDER… --out curves.png   folders that itinf train has written; about ten minutes
    python benchmarks/predictive.py --modules 2                the yardsticks alone, on less text

All are scored on one text: the first held-out modules of the standard library. The yardsticks are ``xz -9e``, which reads
the whole text, and counts of token pairs, which are the first state of ``predictive-tabular``. Its further states are
correction steps on these counts; so are the columns "state k" of each folder, read from its card. The picture has the
training loss of every folder by step, the mean over 50 steps, in bits per byte of the training text, and the yardsticks;
folders of one arm with different seeds have one colour. A loss in training is of windows whose first tokens have little
before them, and a score of tokens with half a context at least, so scores are a little lower than the ends of curves.
"""

from __future__ import annotations

import argparse
import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from itinf.training.specimen import read_card
from language.compression import bits_per_byte_of_each, xz_bits_per_byte
from language.predictive_tabular import predictive_tabular
from language.stdlib import modules
from language.train import CURVE, SCORED

SMOOTHED = 50
GREY = "#6b6b6b"
LOOKS = [("#000000", "-"), ("#d55e00", (0, (6, 1))), ("#e69f00", "-"), ("#0072b2", (0, (3, 1)))]
"""Colour and dashes of an arm; neighbours differ in grey, too."""
LINE = 0.055
"""Least distance of two labels, as a share of the height of the axes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="trained folders, each with its card and its curve")
    parser.add_argument("--modules", type=int, default=SCORED, help="held-out modules to score the yardsticks on")
    parser.add_argument("--rate", type=float, default=0.3, help="rate of the steps on counts")
    parser.add_argument("--steps", type=int, default=6, help="number of the steps on counts")
    parser.add_argument("--out", type=Path, help="picture of the training curves")
    given = parser.parse_args()
    names = list(modules("test").items())[: given.modules]
    text = "".join(source for _, source in names)
    print(
        f"Bits per byte of {len(names)} held-out modules, {names[0][0]} … {names[-1][0]}, {len(text.encode()):,} bytes"
    )
    xz, counts = xz_bits_per_byte(text), tabular(text, given.steps, given.rate)
    print(f"{'xz -9e':<32}{xz:.3f}")
    line("counts, then steps", counts)
    for folder in given.folders:
        card = read_card(folder)
        last, *states = card["scores"].values()
        line(f"{card['specimen']}, seed {card['seed']}", [*states, last])
    if given.out is not None:
        yardsticks = {
            "xz -9e": xz,
            "counts of token pairs": counts[0],
            f"counts, {given.steps} corrections": counts[-1],
        }
        text_bytes = sum(len(source.encode()) for source in modules("train").values())
        drawn(given.folders, yardsticks, text_bytes).savefig(given.out, dpi=150)
    if given.folders and given.modules != SCORED:
        print(f"The cards are of {SCORED} modules.")


def tabular(text: str, steps: int, rate: float) -> list[float]:
    """Bits per byte of every state of the tabular model."""
    network = predictive_tabular(steps=steps, rate=rate)
    model = network.model
    return bits_per_byte_of_each(network, text, lambda ids: [model.read(state) for state in model.states(ids)])[0]


def line(name: str, bits: list[float]) -> None:
    print(f"{name:<32}{' '.join(f'{one:.3f}' for one in bits)}")


def curve(folder: Path) -> np.ndarray:
    """The loss of every step, in nats per token."""
    with (folder / CURVE).open(encoding="utf-8", newline="") as file:
        return np.array([float(row["loss"]) for row in csv.DictReader(file)])


def bits_for_a_nat(card: dict[str, Any], text_bytes: int) -> float:
    """Bits per byte of the training text for each nat per token."""
    return card["data"]["tokens"] / text_bytes / math.log(2)


def drawn(folders: list[Path], yardsticks: dict[str, float], text_bytes: int) -> Figure:
    """Curves of training and what the trained networks reach; lines across for the yardsticks.

    Args:
        folders: trained folders; those of one arm, which differ in their seed, have one colour.
        yardsticks: name -> bits per byte of the held-out text.
        text_bytes: length of the training text.
    """
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    axes = figure.add_subplot()
    reached: dict[str, list[float]] = {}
    last = 0
    for folder in folders:
        card, losses = read_card(folder), curve(folder)
        arm, score = card["specimen"], next(iter(card["scores"].values()))
        reached.setdefault(arm, []).append(score)
        colour, dashes = LOOKS[list(reached).index(arm) % len(LOOKS)]
        means = np.convolve(losses, np.ones(SMOOTHED) / SMOOTHED, "valid") * bits_for_a_nat(card, text_bytes)
        axes.plot(np.arange(SMOOTHED, len(losses) + 1), means, color=colour, linestyle=dashes, linewidth=1.2)
        axes.plot(len(losses), score, "o", color=colour, markersize=5, clip_on=False, zorder=3)
        last = max(last, len(losses))
    ends = [
        (float(np.mean(values)), of_seeds(arm, values), LOOKS[n % len(LOOKS)][0])
        for n, (arm, values) in enumerate(reached.items())
    ]
    for name, bits in yardsticks.items():
        axes.axhline(bits, color=GREY, linewidth=0.6, zorder=0)
        ends.append((bits, f"{name} {bits:.2f}", GREY))
    axes.set_xlim(0, last)
    axes.set(xlabel="step", ylabel="bits per byte")
    axes.set_title(
        f"Lines: training, mean of {SMOOTHED} steps. Dots and grey lines: held-out text", fontsize=9, loc="left"
    )
    axes.spines[["top", "right"]].set_visible(False)
    label(axes, sorted(ends), last)
    return figure


def of_seeds(arm: str, values: list[float]) -> str:
    several = f", mean of {len(values)} seeds" if len(values) > 1 else ""
    return f"{arm} {np.mean(values):.2f}{several}"


def label(axes: Axes, ends: list[tuple[float, str, str]], x: float) -> None:
    """Names beside the right end of the axes, none on top of another; a thin line leads from each to its height."""
    low, high = axes.get_ylim()
    heights = apart([height for height, _, _ in ends], (high - low) * LINE)
    for (height, text, colour), at in zip(ends, heights, strict=True):
        axes.annotate(
            text,
            (x, height),
            (x * 1.05, at),
            color=GREY if colour == GREY else "black",
            fontsize=9,
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 4},
        )


def apart(heights: list[float], least: float) -> list[float]:
    """Heights in rising order moved as little as brings neighbours ``least`` apart: groups that touch share their shift."""
    groups: list[list[float]] = []  # the heights that each label would have were it the first of its group
    for place, height in enumerate(heights):
        groups.append([height - place * least])
        while len(groups) > 1 and np.mean(groups[-2]) > np.mean(groups[-1]):
            groups[-2:] = [groups[-2] + groups[-1]]
    starts = [float(np.mean(group)) for group in groups for _ in group]
    return [start + place * least for place, start in enumerate(starts)]


if __name__ == "__main__":
    main()

"""Benchmark: how well predictive coding compresses, layer by layer, beside its controls and simple yardsticks.

    python benchmarks/predictive.py FOLDER… --out curves.png   folders that itinf train has written; about ten minutes
    python benchmarks/predictive.py --modules 2                the yardsticks alone, on less text

All are scored on one text: the first held-out modules of the standard library. The yardsticks are ``xz -9e``, which reads
the whole text, and counts of token pairs, which are the first state of ``predictive-tabular``. Its further states are
correction steps on these counts; so are the columns "state k" of each folder, read from its card. The picture has the
training loss of every folder by step, the mean over 50 steps.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from itinf.training.specimen import read_card
from language.compression import bits_per_byte_of_each, xz_bits_per_byte
from language.predictive_tabular import predictive_tabular
from language.stdlib import modules
from language.train import CURVE, SCORED

SMOOTHED = 50


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
    print(f"{'xz -9e':<32}{xz_bits_per_byte(text):.3f}")
    line("counts, then steps", tabular(text, given.steps, given.rate))
    for folder in given.folders:
        card = read_card(folder)
        last, *states = card["scores"].values()
        line(f"{card['specimen']}, seed {card['seed']}", [*states, last])
    if given.out is not None:
        draw(given.folders, given.out)
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


def draw(folders: list[Path], out: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    colours: dict[str, str] = {}
    for folder in folders:
        card = read_card(folder)
        losses = curve(folder)
        means = np.convolve(losses, np.ones(SMOOTHED) / SMOOTHED, "valid")
        arm = card["specimen"]
        label = None if arm in colours else arm
        colour = colours.setdefault(arm, f"C{len(colours)}")
        axes.plot(np.arange(SMOOTHED, len(losses) + 1), means, color=colour, label=label)
    axes.set(xlabel="step", ylabel=f"training loss in nats per token, mean of {SMOOTHED} steps")
    axes.legend()
    figure.savefig(out, dpi=150)


if __name__ == "__main__":
    main()

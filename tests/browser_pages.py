"""Small pages for the tests in a browser, made in seconds from networks of a few blocks."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

import itinf
from itinf.data.dataset import Batch
from itinf.results import drawing
from pictures import RENDERS, SVG, white
from test_onset_oracles import made, oracle
from tiny import gpt2, images, probed, resnet, tokens

NAME = "a <script>alert(1)</script> \"quoted\" 'name' & \u202eright to left\u202c 🧪"
"""A network's name that would break out of a page."""
DRAW = drawing.pictures_of
DPI = 60


def quick(figure: Figure) -> tuple[bytes, bytes, bytes]:
    """White pictures of the figure's size, and the true SVG of figures with marks; stands in for ``pictures_of``."""
    svg = DRAW(figure)[1] if hasattr(figure, "marks") else SVG
    width, height = figure.get_size_inches()
    png = white(round(DPI * width), round(DPI * height))
    return png, svg, png


def small_comparison(folder: Path) -> Path:
    """Compares an oracle that infers iteratively, with a role, and a small GPT-2 with lenses; returns the page."""
    network, *data = oracle("gathering")
    first = made(network.named(NAME), *data)
    words, read = gpt2(), tokens(40)
    lens = itinf.fit(words, tokens(300, seed=1), "affine")
    run = replace(probed(words, read), examples=itinf.examples(words, read, lens))
    second = run, itinf.transfer(words, lens, read, replicates=20)
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # matplotlib's font has no such sign
        patch.setattr(RENDERS, quick)
        both = itinf.compare([*first.runs, second[0]], [*first.transfers, second[1]], roles={NAME: "yes", "gpt2": "no"})
        both.save(folder)
    return folder / "report.html"


def small_trajectories(folder: Path) -> dict[str, Path]:
    """Pages of a text and of two pictures, read by a lens and by the readout; each with its table beside it."""
    words = itinf.network("gpt2", "random:1", n_layer=2, n_embd=32, n_head=2, vocab_size=256, n_positions=32)
    text = itinf.trajectory(words, "if x < 1: return '\u202e🧪'", itinf.fit(words, tokens(60, seed=1)))
    eyes, data = resnet(), images(2)
    batch = Batch(data.inputs, data.targets, np.arange(2, dtype=np.uint64))
    pictures = itinf.trajectory(eyes, batch, itinf.fit(eyes, images(200, seed=1)))
    pages = {}
    for name, found in (("text", replace(text, network=NAME)), ("pictures", pictures)):
        pages[name] = folder / f"{name}.html"
        found.table.to_parquet(pages[name].with_suffix(".parquet"))
        pages[name].write_text(found.html(command="itinf trajectory"), encoding="utf-8")
    return pages

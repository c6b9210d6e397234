"""The picture of the benchmark of predictive coding: several seeds of an arm in one look, and names that stand apart."""

from __future__ import annotations

import importlib.util
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "predictive.py"
TEXT_BYTES = 1000
TOKENS = 300


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("predictive_benchmark", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def folder(parent: Path, arm: str, seed: int, score: float, steps: int = 120) -> Path:
    """What ``itinf train`` leaves, as far as the benchmark reads it."""
    out = parent / f"{arm}-{seed}"
    out.mkdir()
    card = {"specimen": arm, "split": "train", "seed": seed, "scores": {"last": score}, "data": {"tokens": TOKENS}}
    (out / "card.toml").write_text(tomli_w.dumps(card), encoding="utf-8")
    losses = 3 + 4 * np.exp(-np.arange(steps) / 30) + 0.01 * seed
    (out / "curve.csv").write_text(
        "step,loss\n" + "".join(f"{n},{x}\n" for n, x in enumerate(losses)), encoding="utf-8"
    )
    return out


@pytest.fixture
def figure(script, tmp_path):
    given = [("a", 0, 1.25), ("b", 0, 1.32), ("a", 1, 1.27), ("c", 0, 1.57), ("d", 0, 1.66)]
    yardsticks = {"xz": 1.54, "counts": 1.55, "corrected counts": 1.56}
    return script.drawn([folder(tmp_path, *one) for one in given], yardsticks, TEXT_BYTES)


def test_seeds_of_an_arm_have_one_look_and_arms_differ(figure):
    (axes,) = figure.axes
    curves = [line for line in axes.lines if len(line.get_xdata()) > 2]
    looks = [(line.get_color(), str(line.get_linestyle()), line._dash_pattern) for line in curves]
    assert len(curves) == 5 and looks[0] == looks[2] and len({str(look) for look in looks}) == 4
    assert len({line.get_color() for line in curves}) == 4


def test_curves_are_means_in_bits_per_byte(script, figure, tmp_path):
    (axes,) = figure.axes
    line = next(line for line in axes.lines if len(line.get_xdata()) > 2)
    losses = script.curve(tmp_path / "a-0")
    first = losses[:50].mean() / np.log(2) * TOKENS / TEXT_BYTES
    assert line.get_xdata()[0] == 50 and line.get_xdata()[-1] == 120
    assert line.get_ydata()[0] == pytest.approx(first) and len(line.get_ydata()) == 71
    dots = sorted(float(line.get_ydata()[0]) for line in axes.lines if line.get_marker() == "o")
    assert dots == [1.25, 1.27, 1.32, 1.57, 1.66]


def test_every_end_has_a_name_and_none_is_on_another(figure):
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    texts = axes.texts
    assert sorted(text.get_text() for text in texts) == sorted(
        ["a 1.26, mean of 2 seeds", "b 1.32", "c 1.57", "d 1.66", "xz 1.54", "counts 1.55", "corrected counts 1.56"]
    )
    boxes = [Text.get_window_extent(text).get_points() for text in texts]  # without their thin lines
    order = sorted(range(len(texts)), key=lambda n: boxes[n][0][1])
    for low, high in pairwise(order):
        assert boxes[low][1][1] <= boxes[high][0][1], (texts[low].get_text(), texts[high].get_text())
    assert all(box[1][0] <= figure.bbox.width and box[0][0] >= axes.bbox.x1 for box in boxes), (
        "beside the axes, in the picture"
    )


@pytest.mark.parametrize(
    ("heights", "expected"),
    [
        ([0.0, 5.0], [0.0, 5.0]),
        ([1.0, 1.0], [0.5, 1.5]),
        ([0.0, 1.5, 1.5, 1.6], [-0.35, 0.65, 1.65, 2.65]),
        ([], []),
    ],
)
def test_labels_move_as_little_as_brings_them_apart(script, heights, expected):
    found = script.apart(heights, 1.0)
    assert all(b - a >= 1 - 1e-12 for a, b in pairwise(found))
    assert found == pytest.approx(expected, abs=1e-12), "least squares"

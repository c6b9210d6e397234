"""The support table: architectures of three libraries by name through every step, and their numbers by plain hooks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from architecture_list import ARCHITECTURES
from architectures import Architecture
from itinf.lenses.kinds import lens_kinds
from itinf.results.comparison import compare
from itinf.results.drawing import drawn_all
from itinf.results.report import _page
from plain_hooks import plain
from plain_readouts import READOUTS
from refusals import cases, refusals
from support import Support, described, opened, support_of

PAGE = (Path(__file__).parents[1] / "docs" / "networks.md").read_text(encoding="utf-8")
ROWS = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| `")]
DRAWN = ("torchvision:resnet18", "torchvision:googlenet", "gpt2")
"""Those that ``make test`` draws a page of, which takes seconds."""
QUICK = [one for one in ARCHITECTURES if one.quick]
OTHERS = [one for one in ARCHITECTURES if not one.quick]
TOLERANCE = 1e-5
LIBRARY_WARNINGS = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


def named(architectures):
    return pytest.mark.parametrize("architecture", architectures, ids=[one.typed for one in architectures])


def row_of(architecture: Architecture) -> list[str]:
    return ROWS[ARCHITECTURES.index(architecture)]


def test_the_table_has_every_architecture_and_nothing_else():
    names = [f"`hf:FOLDER` ({one.typed})" if one.head else f"`{one.typed}`" for one in ARCHITECTURES]
    assert [cells[0] for cells in ROWS] == names
    assert sum(one.describe is None for one in ARCHITECTURES) >= 40 and len(ARCHITECTURES) >= 45
    assert READOUTS.keys() == {one.typed for one in ARCHITECTURES}


@LIBRARY_WARNINGS
@named(OTHERS)
def test_found_and_proven_as_the_table_says(architecture, tmp_path):
    assert described(architecture, *opened(architecture, tmp_path)) == row_of(architecture)[:-1]


@LIBRARY_WARNINGS
@named(QUICK)
def test_every_step_and_the_numbers_of_plain_hooks(architecture, tmp_path):
    through_every_step(architecture, tmp_path, draw=architecture.typed in DRAWN)


@pytest.mark.simulation
@LIBRARY_WARNINGS
@named(ARCHITECTURES)
def test_every_step_of_all(architecture, tmp_path):
    through_every_step(architecture, tmp_path, draw=True)


@pytest.mark.simulation
@LIBRARY_WARNINGS
@named([one for one in ARCHITECTURES if one.small])
def test_whole_size_is_found_and_proven_too(architecture, tmp_path):
    side = 64 if architecture.typed.startswith("torchvision:") else 224
    opened(Architecture(architecture.typed, side=side), tmp_path)


def through_every_step(architecture: Architecture, folder: Path, draw: bool) -> None:
    made = support_of(architecture, folder)
    assert made.cells == row_of(architecture)
    assert list(made.lenses) == [kind.name for kind in lens_kinds()]
    assert made.transfer.table["measure"].eq("retention").any()
    numbers = made.run.table["mean"]
    assert np.isfinite(numbers[made.run.table["reason"] == ""]).all()
    agree(made)
    if draw:
        whole = _page(compare([made.run], [made.transfer]), [], [])
        figures, failures = drawn_all(whole.figures(), dict.fromkeys(whole.figures(), "figures/one"))
        assert not failures, failures
        text = whole.html(figures)
        assert made.network.name in text and text.rstrip().endswith("</html>") and not whole.failed


def agree(made: Support) -> None:
    """Alignment with −gradient, at the output and of the readout, and the readout's gain are those of plain hooks."""
    classes, readout, channels = READOUTS[made.architecture.typed]
    by_hand = plain(made.network.model, classes, readout, channels, made.data.inputs, made.data.targets)
    table = made.run.table.query(
        "update == 'update' and null == 'observed' and subset == 'all' and statistic == 'mean'"
    )
    table = table[table["mean"].notna()]
    assert len(by_hand) == len(made.network.blocks)
    for number, expected in enumerate(by_hand, start=1):
        rows = table[table["block_index"] == number]
        cosines = rows[(rows["measure"] == "alignment") & (rows["form"] == "raw") & (rows["gradient"] != "input")]
        found = dict(zip(cosines["gradient"], cosines["mean"], strict=True))
        gains = list(rows[rows["measure"] == "realised_gain"]["mean"])
        found |= {"gain": gains[0]} if gains else {}
        assert found == pytest.approx(expected, abs=TOLERANCE), (number, found, expected)


@LIBRARY_WARNINGS
def test_what_is_refused_is_said_as_on_the_page(tmp_path):
    said = dict(refusals(tmp_path))
    assert said.keys() == cases(tmp_path).keys()
    for what, message in said.items():
        assert f"* {what}: “{message}”" in PAGE

"""The README is short, its pictures are there, and what it says of a network of one's own works as it is written."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import itinf
from markdown import ROOT, code_blocks, commands, parsed
from reports.html.page import Page

README = ROOT / "README.md"
LINES, CODE = 120, 10
MINE = """
import torch
from torch import nn
from torchvision.transforms.functional import pil_to_tensor


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.branch = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1))

    def forward(self, h):
        return h + self.branch(h)


class Net(nn.Sequential):
    def __init__(self):
        blocks = nn.Sequential(*(Block() for _ in range(3)))
        super().__init__(nn.Conv2d(3, 8, 3, padding=1), blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))


def transform(picture):
    return pil_to_tensor(picture).float() / 255
"""


def test_it_is_short_and_its_pictures_are_there() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LINES
    for name in ("docs/page-light.png", "docs/page-dark.png"):
        assert f'"{name}"' in text
        with Image.open(ROOT / name) as picture:
            width, height = picture.size
        assert width >= 1200 and height >= 600 and (ROOT / name).stat().st_size < 1e6


def test_its_commands_are_understood() -> None:
    lines = [words for words in commands(code_blocks(README)) if words[0] == "itinf"]
    assert {words[1] for words in lines} == {"check", "compare", "trajectory"}
    for words in lines:
        parsed(words)
    targets = (ROOT / "Makefile").read_text(encoding="utf-8")
    for words in commands(code_blocks(README)):
        assert words[0] != "make" or f"\n{words[1]}:" in targets


def test_a_network_of_ones_own_gets_its_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("mine.py").write_text(MINE)
    draw = np.random.default_rng(0)
    for number in range(80):
        place = Path("photos") / f"{number % 4}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(place / f"{number:02}.png")
    (block,) = [block.text for block in code_blocks(README) if block.language == "python"]
    assert len([line for line in block.splitlines() if line.strip()]) <= CODE
    assert "units=2000" in block
    monkeypatch.setattr(Page, "figures", lambda page: {})  # drawing takes longest
    try:
        from mine import Net

        torch.manual_seed(0)
        torch.save(Net().state_dict(), "mine.pth")
        exec(compile(block.replace("units=2000", "units=60"), "README.md", "exec"), {})
    finally:
        sys.modules.pop("mine", None)
    (run,) = itinf.Comparison.load("results/mine").runs
    assert run.name == "mine" and run.manifest["network"]["weights"].endswith("mine.pth")
    assert "mine" in Path("results/mine/report.html").read_text(encoding="utf-8")
    assert set(run.table["block_index"].dropna()) == {1, 2, 3}

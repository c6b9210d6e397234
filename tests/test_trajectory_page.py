"""The page, the figure and the command of prediction trajectories say what the table says, and nothing escapes into the page."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import itinf
from itinf.data.dataset import Batch
from reports.trajectories import visible
from tiny import images, resnet, tokens

EVIL = "</script><script>alert(1)</script>\u202e\"'&"
SHAPE = {"n_layer": 2, "n_embd": 32, "n_head": 2, "vocab_size": 256, "n_positions": 64}


class Read(HTMLParser):
    """Cells by reader, headings, scripts, and everything that a page asks for."""

    def __init__(self, page):
        super().__init__()
        self.cells, self.scripts, self.asked, self.policy = {}, [], [], ""
        self.reader, self.open, self.rows = "", [], 0
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.asked += [value for key, value in attributes if key in ("src", "href", "action")]
        self.policy = found.get("content", "") if "http-equiv" in found else self.policy
        self.reader = found.get("data-reader", self.reader)
        if tag == "tr":
            self.rows += 1
        if tag == "td" and ("style" in found or found.get("class") == "none"):
            self.cells.setdefault(self.reader, []).append([found | {"row": self.rows}, ""])
        if tag == "script":
            self.scripts.append([found, ""])
        self.open += [] if tag in ("meta", "input", "img") else [tag]

    def handle_data(self, text):
        if self.open and self.open[-1] == "script":
            self.scripts[-1][1] += text
        elif self.open[-1:] == ["td"] and "tbody" in self.open:
            self.cells[self.reader][-1][1] += text

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass


@pytest.fixture(scope="module")
def text():
    """A text that would break out of a page, read by two readers."""
    network = itinf.network("gpt2", "random:1", **SHAPE)
    made = itinf.trajectory(network, EVIL, itinf.fit(network, tokens(120, seed=1)))
    return replace(made, network=EVIL)


@pytest.fixture(scope="module")
def pictures():
    network, data = resnet(), images(2)
    lens = itinf.fit(network, images(200, seed=1))
    return itinf.trajectory(network, Batch(data.inputs, data.targets, np.arange(2, dtype=np.uint64)), lens)


@pytest.mark.parametrize("kind", ["text", "pictures"])
def test_every_cell_says_what_the_table_says(kind, request):
    made = request.getfixturevalue(kind)
    page = Read(made.html())
    (data,) = (json.loads(said) for found, said in page.scripts if found.get("type") == "application/json")
    every = sorted({cell[0]["row"]: 0 for cells in page.cells.values() for cell in cells if "style" in cell[0]})
    in_order = sorted(
        (cell[0]["row"], place, id(cell))
        for cells in page.cells.values()
        for place, cell in enumerate(cells)
        if "style" in cell[0]
    )
    numbers = {cell: number for number, (_, _, cell) in enumerate(in_order)}  # values stand in the order of the page
    for reader in made.readers:
        rows = made.table[made.table["reader"] == reader]
        order = ["item", "state", "position", "rank"]
        if kind == "text":
            rows = rows[rows["rank"] == 1]
        cells = [cell for cell in page.cells[reader] if "style" in cell[0]]
        assert len(cells) == len(rows)
        for cell, (_, row) in zip(cells, rows.sort_values(order).iterrows(), strict=True):
            found, said = cell
            assert said.strip() == visible(row["text"], row["class"]), found
            assert float(re.search(r"--p:(\d+)", found["style"])[1]) == pytest.approx(100 * row["probability"], abs=0.5)
            hit = not pd.isna(row["truth"]) and row["class"] == row["truth"]
            assert (found.get("class") == "hit") == hit
            of_cell = numbers[id(cell)] if kind == "text" else every.index(found["row"])  # a row of a picture has one
            words, chances, (entropy, divergence, *truth) = (
                (values := data["cells"][of_cell])[:5],
                values[5:10],
                values[10:],
            )
            place = row["rank"] - 1
            assert data["top"] == 5 and data["texts"][words[place]] == visible(row["text"], row["class"])
            assert chances[place] == pytest.approx(10_000 * row["probability"], abs=0.5)
            assert [entropy, divergence] == pytest.approx([100 * row["entropy"], 100 * row["divergence"]], abs=0.5)
            known = data["truths"][row["item"]][row["position"]]
            if pd.isna(row["truth"]):
                assert truth == [] and known is None
            else:
                assert data["texts"][known] == visible(row["truth_text"], row["truth"])
                assert truth[0] == row["truth_rank"] and truth[1] == pytest.approx(10_000 * row["truth_probability"], abs=0.5)  # fmt: skip


def test_states_that_a_reader_does_not_fit_are_shown_and_named(pictures):
    page = Read(pictures.html())
    missing = [found["colspan"] for found, _ in page.cells["logit"] if found.get("class") == "none"]
    assert missing == ["5"] * 2 * 5, "two items, five states; each takes the place of five ranks"
    assert pictures.html().count("logit lens does not fit this state") == 2 * 5
    assert not [found for found, _ in page.cells["own"] if found.get("class") == "none"]


def test_the_page_asks_for_nothing_and_nothing_breaks_out(text, pictures):
    for made in (text, pictures):
        page = made.html(command=f"itinf trajectory --text {EVIL}")
        read = Read(page)
        assert "<script>alert" not in page and "http://" not in page and "https://" not in page
        assert all(asked.startswith("data:image/png;base64,") for asked in read.asked)
        (script,) = (said for found, said in read.scripts if "type" not in found)
        allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"script-src 'sha256-{allowed}'" in read.policy and "default-src 'none'" in read.policy


def test_a_notebook_shows_the_grid_without_script(text):
    shown = text._repr_html_()
    read = Read(shown)
    assert [found.get("type") for found, _ in read.scripts] == ["application/json"]
    assert set(read.cells) == {"own", "logit"} and "<script>alert" not in shown and "<html" not in shown
    assert "read by own, logit" in repr(text)


def test_what_cannot_be_seen_is_written():
    assert visible("milk can") == "milk can" and visible("  a b ") == "··a b·" and visible("a  b") == "a··b"
    assert visible(" a\n\t") == "·a↵⇥" and visible("\u202e\x00") == "\\u202e\\u0000" and visible("", 7) == "#7"


def test_the_figure_shows_the_grid(text, pictures):
    axes = text.plot(start=3, positions=4).axes[0]
    rows = text.table[
        (text.table["reader"] == "own") & (text.table["rank"] == 1) & text.table["position"].between(3, 6)
    ]
    rows = rows.sort_values(["state", "position"])
    said = [one.get_text().replace(r"\$", "$") for one in axes.texts]
    assert said == [visible(t, c) for t, c in zip(rows["text"], rows["class"], strict=True)]
    np.testing.assert_allclose(axes.collections[0].get_array().flatten(), rows["probability"])
    left, right = pictures.plot(item=1, reader="logit").axes[:2]
    assert left.images[0].get_array().shape[:2] == (8, 8)
    drawn = right.collections[0].get_array()
    assert drawn.shape == (7, 5) and np.ma.getmaskarray(drawn)[:5].all() and not np.ma.getmaskarray(drawn)[5:].any()
    bold = [one.get_weight() == "bold" for one in right.texts]
    last = pictures.table[(pictures.table["item"] == 1) & (pictures.table["reader"] == "logit")]
    assert bold == (last["class"] == last["truth"]).tolist()


def test_the_command_writes_one_file(command, tmp_path):
    shape = [word for key, value in SHAPE.items() for word in ("-O", f"{key}={value}")]
    network = itinf.network("gpt2", "random:3", **SHAPE)
    lens = tmp_path / "lens.safetensors"
    itinf.fit(network, tokens(120, seed=1)).save(lens)
    page = tmp_path / "made" / "page.html"
    code, said = command(
        "trajectory", "gpt2", "--weights", "random:3", *shape, "--text", "a<b", "--lens", lens, "--out", page
    )
    assert code == 0 and "read by own, logit" in said and f"The page is {page}" in said
    assert [path.name for path in page.parent.iterdir()] == ["page.html"]
    cells = Read(page.read_text()).cells
    assert len(cells["own"]) == len(cells["logit"]) == 3 * 3
    assert "&#39;a&lt;b&#39;" in page.read_text()  # the command that made it


def test_the_command_reads_a_picture(command, tmp_path):
    Image.fromarray(np.zeros((40, 30, 3), np.uint8)).save(tmp_path / "black.png")
    page = tmp_path / "page.html"
    code, said = command("trajectory", "cifar-resnet8", "--image", tmp_path / "black.png", "--out", page)
    assert code == 0 and "read by logit" in said
    assert "black.png" in page.read_text() and "airplane" in page.read_text()
    assert torch.is_grad_enabled()

"""What a notebook shows by itself: a small table and a figure, with a user's words as they are; and what data are."""

from __future__ import annotations

import base64
import re

import pytest
import torch

import itinf
from itinf.networks.check import Finding, Report
from itinf.results.comparison import Comparison
from itinf.results.group_words import shown_groups
from itinf.results.groups import group_table
from itinf.results.notebook import ranged
from itinf.results.transfer_result import TransferResult
from lens_tables import moved
from test_groups import GROUPS, NOTHING, VALUES, table
from test_page import NAME, Read
from tiny import gpt2, images, probed, resnet, tokens

PNG = b"\x89PNG"
QUICK = [itinf.Performance(), itinf.UpdateNorm()]


@pytest.fixture(scope="module")
def run():
    return probed(resnet(8).named(NAME), images(24), probes=QUICK)


@pytest.fixture(scope="module")
def transferred():
    rows, summaries = moved(NAME)
    manifest = {"network": {"name": NAME}, "data": {"name": "<b>data</b>"}, "lens": {"kind": "affine"}, "units": 500,
                "clusters": 500, "reached": 0.01, "stopped": True}  # fmt: skip
    return TransferResult(rows, summaries, manifest)


def figure_in(html: str) -> bytes:
    (image,) = re.findall(r'<img src="data:image/png;base64,([^"]+)">', html)
    return base64.b64decode(image)


def test_a_run_shows_a_row_and_its_figure(run):
    html = run._repr_html_()
    read = Read(html)
    accuracy, loss = (run.table.loc[run.table["measure"] == m, "mean"].item() for m in ("accuracy", "loss"))
    assert read.rows == [
        ["network", "data", "accuracy", "loss", "blocks"],
        [NAME, "tiny: 24 images in 24 clusters", f"{accuracy:.2%}", f"{loss:.3f} nats", "3"],
    ]
    assert NAME not in html and "24 clusters: intervals under 30 are rough." in read.inside("p")
    assert figure_in(html) == run._repr_png_() and run._repr_png_().startswith(PNG)
    assert run._repr_png_() is run._repr_png_(), "drawn once"


def test_where_nothing_can_be_drawn_there_is_no_figure():
    alone = probed(resnet(8), images(24), probes=[itinf.Performance()])
    assert alone._repr_png_() is None and "<img" not in alone._repr_html_() and "accuracy" in alone._repr_html_()


def test_a_transfer_shows_its_mean_retentions(transferred):
    html = transferred._repr_html_()
    read = Read(html)
    assert read.rows[0] == ["network", "lens", "form", "null", "target", "mean retention", "over"]
    (mean,) = transferred.summaries[
        (transferred.summaries["distance"] == 0) & (transferred.summaries["direction"] == "one lens")
        & (transferred.summaries["null"] == "observed") & (transferred.summaries["target"] == "label")
    ]["mean"]  # fmt: skip
    assert [NAME, "shared, left out", "label", f"{mean:.3f} ± 0.020", "3 states"] in read.rows
    assert "<b>" not in html and figure_in(html) == transferred._repr_png_()


def test_a_comparison_shows_networks_transfers_and_groups(run, transferred):
    both = Comparison([run], [transferred], ["<i>no</i> lenses"], {"<u>": [NAME]})
    html = both._repr_html_()
    read = Read(html)
    assert [NAME, "tiny: 24 images in 24 clusters"] in [row[:2] for row in read.rows]
    assert "mean retention" in read.rows[2] and ["mean over blocks or states", "<u>"] in read.rows
    assert not re.search("<(i|u|script)>", html) and both._repr_png_() is None, "no dot product was measured"
    rows = shown_groups(group_table(table(VALUES), NOTHING, GROUPS))
    assert list(rows[0]) == ["mean over blocks or states", "skips", "plain", "skips − plain"]
    assert rows[0]["skips − plain"].endswith(", p = 0.1")


def test_the_report_of_a_check_is_a_table():
    report = Report(NAME, [Finding("readout", "failed", "<b>no</b>"), Finding("units", "ok")])
    read = Read(report._repr_html_())
    assert read.rows == [["checked", "detail"], ["failed", "readout", "<b>no</b>"], ["ok", "units"]]
    assert read.inside("p") == [f"{NAME}: the description is wrong"]


def test_data_say_what_they_are():
    network = itinf.network("cifar-resnet8", classes=46)
    glyphs = itinf.dataset("glyphs", network, split="train")
    assert repr(glyphs) == "Glyphs glyphs:32/train, split train: 40,000 images; unit image, each image is a cluster"
    fields = itinf.items([(torch.zeros(3, 8, 8), "name", 1)] * 3, inputs=0, targets=2)
    assert repr(fields) == "itinf.items(list, inputs=0, targets=2): 3 items"
    wrapped = itinf.data.items.as_data(fields, "image")
    assert repr(wrapped).startswith("WrappedDataset list[3]#") and "3 images; unit image" in repr(wrapped)


def test_a_text_says_its_length(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("some words\n" * 200)
    network = itinf.network("gpt2", n_layer=1, n_embd=8, n_head=2, vocab_size=256, n_positions=16)
    data = itinf.dataset(f"text:{path}", network, length=8)
    assert repr(data).endswith(f": {len(data):,} sequences of 8 tokens; unit token, each sequence is a cluster")


def test_a_lens_says_what_it_was_fitted_on():
    lens = itinf.fit(gpt2(), tokens(40), "logit", units=60)
    assert repr(lens).startswith(
        "Lens (logit) of gpt2: 3 states, before transformer.h.0 … transformer.h.1 (depth 0.00 … 1.00); "
    )
    assert "; fitted on 60 units of tiny; " in repr(lens)


def test_a_small_number_keeps_two_digits_of_its_interval():
    assert ranged(-0.25, -0.31, -0.19) == "−0.250 ± 0.060"
    assert ranged(2.2e-5, 1.0e-5, 3.4e-5, sign=True) == "+0.000022 ± 0.000012"
    assert ranged(0.5, float("nan"), float("nan")) == "0.500" and ranged(0.5, 0.5, 0.5) == "0.500 ± 0.000"

"""The sentences that end a command: sizes with their intervals and nulls, each number the table's."""

from __future__ import annotations

import numpy as np
import pandas as pd

import itinf
import tiny
from itinf import registry
from itinf.cli import console
from itinf.results.schema import results_table
from lens_tables import moved
from reports.html.answers import answers
from tables import BLANK

NAN = float("nan")


def blocks(
    model: str, observed: list[float], effects: list[tuple[float, float]], untrained: list[float]
) -> pd.DataFrame:
    """Descent shares of a network's blocks, their differences from the pairing null (lo, hi), and untrained shares."""
    rows = []
    for index, share in enumerate(observed, 1):
        row = BLANK | {"model": model, "modality": "image", "unit": "image", "block": f"b{index}", "block_index": index,
                       "depth": index / len(observed), "gradient": "output", "update": "update", "form": "gauge-free",
                       "n_units": 500, "n_clusters": 500}  # fmt: skip
        lo, hi = effects[index - 1]
        rows += [
            row | {"measure": "descent_share", "mean": share, "lo": share - 0.01, "hi": share + 0.01},
            row | {"measure": "descent_share_effect", "null": "pairing", "mean": (lo + hi) / 2, "lo": lo, "hi": hi},
            row | {"measure": "descent_share", "mean": 0.0, "lo": 0.0, "hi": 0.0, "gradient": "input"},
        ]
        if untrained:
            rows.append(
                row | {"measure": "descent_share", "null": "untrained", "null_seed": 0, "mean": untrained[index - 1]}
            )
    return results_table(rows)


NET = blocks("net", [0.9, 0.7, 0.6], [(0.1, 0.2), (0.05, 0.1), (-0.2, -0.1)], [0.5, 0.52, 0.6])
PLAIN = blocks("plain", [0.5, 0.6], [(-0.1, 0.1), (-0.1, 0.1)], [])


def test_the_steps_of_every_network():
    assert answers(pd.concat([NET, PLAIN], ignore_index=True)) == [
        "Steps go down the loss: net for 0.70 of images in the median block (pairing: 2 of 3 blocks above the null, 1 below; "
        "untrained 0.52); plain for 0.55 of images in the median block (pairing: 0 of 2 blocks above the null)."
    ]


def test_what_is_not_known_says_why():
    lost = NET[NET["null"] == "observed"].assign(mean=NAN, lo=NAN, hi=NAN, reason="the block changes the state's shape")
    assert answers(lost) == ["Steps go down the loss: net is not known (the block changes the state's shape)."]
    table, summaries = moved("net")
    table.loc[table["measure"] == "retention", ["mean", "lo", "hi", "reason"]] = [
        NAN,
        NAN,
        NAN,
        "own lens too uncertain",
    ]
    (sentence,) = answers(table, summaries[:0])
    assert sentence.endswith("one state away: net is not known (own lens too uncertain).")


def test_a_transfer():
    table, summaries = moved("net")
    told = answers(table, summaries)
    one = summaries[(summaries["direction"] == "one lens") & (summaries["target"] == "label")].set_index("null")["mean"]
    near, far = (
        summaries[(summaries["measure"] == "retention") & (summaries["form"] == "") & (summaries["target"] == "label")
                  & (summaries["null"] == "observed") & (summaries["direction"] == "both")
                  & (summaries["distance"] == distance)]["mean"].item()
        for distance in (1, 0)
    )  # fmt: skip
    own = summaries[(summaries["direction"] == "one lens") & (summaries["target"] == "model")].set_index("null")["mean"]
    states = table[(table["measure"] == "retention") & (table["lens"] == "shared, left out") & (table["target"] == "label")
                   & (table["null"] == "observed")]  # fmt: skip
    least = states.loc[states["mean"].idxmin()]
    assert len(told) == 2
    assert (
        f"net on average {one['observed']:.3f} ± 0.020, least {least['mean']:.3f} ± 0.020 at state {least['state_index']} "
        f"(depths rotated {one['rotated']:.3f} ± 0.020; of the final answer {own['observed']:.3f} ± 0.020, untrained "
        f"{own['untrained']:.3f}" in told[0]
    )
    assert told[1].endswith(f"one state away: net {near:.3f} ± 0.020, over all pairs {far:.3f} ± 0.020.")


def test_at_most_three_sentences_and_four_networks():
    table, summaries = moved("net")
    both = pd.concat([NET, table], ignore_index=True)
    assert [sentence.split(":")[0][:11] for sentence in answers(both, summaries)] == [
        "Steps go do",
        "One lens fo",
        "A lens tell",
    ]
    many = pd.concat([NET.assign(model=f"net {k}") for k in range(6)], ignore_index=True)
    (sentence,) = answers(many)
    assert (
        "net 3 for" in sentence and "net 4" not in sentence and sentence.endswith("; 2 more networks are in the table.")
    )
    assert answers(pd.DataFrame()) == []


def test_they_are_found_through_the_page():
    run = tiny.study("image")
    told = registry.answers(run.table, pd.DataFrame())
    shares = run.table[(run.table["measure"] == "descent_share") & (run.table["gradient"] == "output")
                       & (run.table["update"] == "update") & (run.table["null"] == "observed")]["mean"]  # fmt: skip
    assert told[0].startswith(f"Steps go down the loss: cifar-resnet14 for {np.nanmedian(shares):.2f} of images")
    assert told[-1].startswith("Of the movement of the prediction, gain is (efficiency): cifar-resnet14 ")


def test_another_page_may_have_none(monkeypatch):
    monkeypatch.setattr(registry, "opened", lambda group, name: lambda *_: "<p>a page</p>")
    assert registry.answers(NET, pd.DataFrame()) == []


def test_they_are_the_last_lines_of_a_command(command, tmp_path, monkeypatch):
    monkeypatch.setattr("itinf.cli.studies.draw_report", lambda *_, **__: None)
    monkeypatch.setattr(console.out, "width", 500)
    path = tmp_path / "text.txt"
    path.write_text("".join(f"{n} times {n} is {n * n}. " for n in range(300)))
    words = [
        "gpt2",
        "--weights",
        "random:1",
        "-O",
        "n_layer=2",
        "-O",
        "n_embd=8",
        "-O",
        "n_head=2",
        "-O",
        "vocab_size=256",
    ]
    words += ["-O", "n_positions=16", "--data", f"text:{path}", "--replicates", 20, "--units", 480]
    printed = _stdout(command, monkeypatch, "probe", *words, "--group", 8, "--out", tmp_path / "probed")
    told = registry.answers(itinf.ProbeResult.load(tmp_path / "probed").table, pd.DataFrame())
    assert len(told) == 2 and printed[-2:] == told and printed[-3] == f"Results in {tmp_path / 'probed'}"
    printed = _stdout(command, monkeypatch, "transfer", *words, "--fit-units", 600, "--out", tmp_path / "moved")
    assert any(
        line == f"Results in {tmp_path / 'moved'}; itinf report {tmp_path / 'moved'} makes a page of them"
        for line in printed[-4:-1]
    ), printed[-6:]
    assert printed[-1].startswith(("One lens", "A lens")), printed[-6:]


def _stdout(command, monkeypatch, *words):
    """The lines that a command prints to stdout."""
    lines = []
    with monkeypatch.context() as patch:
        patch.setattr(console.out, "print", lambda *texts, **_: [lines.extend(str(t).splitlines()) for t in texts])
        code, printed = command(*words)
    assert code == 0, printed
    return lines

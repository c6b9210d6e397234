"""The command line: one clear message and exit code 2 for every mistake, and nothing half-written."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import itinf
from itinf.results.report import FIGURES
from itinf.settings import DTYPES
from itinf.studies import probe_pass
from tiny import save_always

CLASSES = 10

Command = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 noise images in 10 class folders."""
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for n in range(48):
        place = folder / str(n % CLASSES)
        place.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(place / f"{n:04}.png")
    return folder


@pytest.fixture
def small(photographs: Path, tmp_path: Path) -> list[object]:
    """Words of a probe command that works, in seconds."""
    words = ["probe", "cifar-resnet8", "--data", f"images:{photographs}", "--units", 48]
    return [*words, "--replicates", 20, "--group", 8, "--out", tmp_path / "out"]


@pytest.mark.pixels
def test_probe_writes_a_results_folder(command: Command, small: list[object], tmp_path: Path) -> None:
    code, printed = command(*small, "--untrained", 1)
    assert code == 0, printed
    out = tmp_path / "out"
    assert {p.name for p in out.iterdir()} == {"manifest.json", "measures.parquet", "sums.safetensors", "figures"}
    assert {p.stem for p in (out / "figures").iterdir()} == set(FIGURES)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["complete"] and manifest["settings"]["clusters"] == 48
    table = pd.read_parquet(out / "measures.parquet")
    nulls = {"observed", "pairing", "same-target", "order-shuffled", "random-walk", "untrained", "isotropic"}
    assert set(table.null) == nulls
    pd.testing.assert_frame_equal(table, itinf.ProbeResult.load(out).table)


def test_the_same_study_is_read_and_another_refused(command: Command, small: list[object], tmp_path: Path) -> None:
    assert command(*small)[0] == 0
    before = (tmp_path / "out" / "sums.safetensors").stat().st_mtime_ns
    (tmp_path / "out" / "figures" / "gain.png").unlink()
    assert command(*small)[0] == 0 and (tmp_path / "out" / "figures" / "gain.png").is_file()
    assert (tmp_path / "out" / "sums.safetensors").stat().st_mtime_ns == before
    code, printed = command(*small, "--seed", 7)
    assert code == 2 and "another study" in printed and "seed is 7 here and 0 there" in printed


def test_shards_merge(command: Command, small: list[object], tmp_path: Path) -> None:
    halves = []
    for n in (1, 2):
        halves.append(tmp_path / f"half{n}")
        assert command(*small[:-1], halves[-1], "--batch", 8, "--shard", f"{n}/2")[0] == 0
    assert command("merge", *halves, "--out", tmp_path / "both")[0] == 0
    assert command(*small, "--batch", 8)[0] == 0
    both, whole = (itinf.ProbeResult.load(tmp_path / name).table for name in ("both", "out"))
    np.testing.assert_allclose(both["mean"], whole["mean"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(both["lo"], whole["lo"], rtol=1e-7, atol=1e-9)
    code, printed = command("merge", halves[0], halves[0], "--out", tmp_path / "twice")
    assert code == 2 and "1/2 is there twice" in printed and not (tmp_path / "twice").exists()


def test_compare_lays_networks_side_by_side(command: Command, photographs: Path, tmp_path: Path) -> None:
    toml = tmp_path / "study.toml"
    toml.write_text(
        "units = 48\nreplicates = 20\ngroup = 8\ncalibration = 8\n"
        f'[[network]]\nname = "cifar-resnet8"\ndata = "images:{photographs}"\n'
        f'[[network]]\nname = "cifar-plain8"\nlabel = "a$plain$"\ndata = "images:{photographs}"\nunits = 32\n'
    )
    out = tmp_path / "out"
    code, printed = command("compare", toml, "--out", out)
    assert code == 0, printed
    assert set(pd.read_parquet(out / "measures.parquet").model) == {"cifar-resnet8", "a$plain$"}
    assert {
        "manifest.json",
        "measures.parquet",
        "measures.csv",
        "figures",
        "study.toml",
        "networks",
        "report.html",
    } == {p.name for p in out.iterdir()}
    for name in ("report.html", "figures/descent.png", "figures/descent.svg"):
        (out / name).unlink()
        code, printed = command("compare", toml, "--out", out)
        assert code == 0 and (out / name).is_file() and f"Report: {out / 'report.html'}" in printed, printed
    page = (out / "report.html").read_bytes()
    for name in ("report.html", "figures/descent.png", "measures.parquet"):
        (out / name).unlink()
    code, printed = command("report", out)  # neither weights nor images are read
    assert code == 0 and f"Report: {out / 'report.html'}" in printed and (out / "report.html").read_bytes() == page
    assert (out / "figures/descent.png").is_file() and (out / "measures.parquet").is_file()
    one = out / "networks" / "cifar-resnet8"
    assert command("report", one)[0] == 0 and "cifar-plain8" not in (one / "report.html").read_text()
    code, printed = command("report", tmp_path)
    assert code == 2 and "holds no itinf results" in printed
    again = itinf.run_study(out / "study.toml", tmp_path / "again")
    pd.testing.assert_frame_equal(pd.read_parquet(out / "measures.parquet"), again.table)


def test_compare_refuses_before_it_writes(command: Command, photographs: Path, tmp_path: Path) -> None:
    source = f"images:{photographs}"
    code, printed = command("compare", "cifar-resnet8", "cifar-resnet8", "--data", source, "--out", tmp_path / "out")
    assert code == 2 and "share a name" in printed and not (tmp_path / "out").exists()
    code, printed = command("compare", "cifar-resnet8", "cifar-plain8", "--out", tmp_path / "out")
    assert code == 2 and "--data is missing" in printed and not (tmp_path / "out").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    code, printed = command("compare", "cifar-resnet8", "--data", source, "--out", tmp_path / "mine")
    assert code == 2 and "holds no itinf results" in printed and len(list((tmp_path / "mine").iterdir())) == 1


def _fault(case: str, photographs: Path, tmp: Path) -> tuple[list[object], list[str]]:
    """Words that replace those of a good probe command, and what the message must contain."""
    weights = tmp / "weights.safetensors"
    state = {k: v.clone() for k, v in itinf.network("cifar-resnet8").model.state_dict().items()}
    few, empty, text = tmp / "few", tmp / "empty", tmp / "text.txt"
    if case == "unknown network":
        return ["cifar-rsnet8"], ["no network 'cifar-rsnet8'", "cifar-resnet"]
    if case == "unknown option":
        return ["-O", "widht=3"], ["widht"]
    if case == "missing weights":
        return ["--weights", tmp / "none.safetensors"], ["none.safetensors", "random[:SEED]"]
    if case == "wrong-shaped weights":
        save_file({**state, "linear.weight": torch.zeros(3, 64)}, weights)
        return ["--weights", weights], ["linear.weight", "(3, 64)", "(10, 64)"]
    if case == "truncated weights":
        save_file(state, weights)
        weights.write_bytes(weights.read_bytes()[:-100])
        return ["--weights", weights], ["weights.safetensors", "complete"]
    if case == "NaN weights":
        save_file({**state, "layer2.0.conv1.weight": state["layer2.0.conv1.weight"] * float("nan")}, weights)
        return ["--weights", weights], ["4,608 of 4,608 numbers of 'layer2.0.conv1.weight' are NaN or infinite"]
    if case == "weights that overflow":
        save_file({**state, "layer2.0.conv1.weight": state["layer2.0.conv1.weight"] * 1e38}, weights)
        return ["--weights", weights], ["'layer2.0'", "not finite"]
    if case == "no images":
        empty.mkdir()
        return ["--data", f"images:{empty}"], ["empty"]
    if case == "fewer classes":
        for n in range(3):
            (few / f"class{n}").mkdir(parents=True)
            Image.new("RGB", (32, 32)).save(few / f"class{n}" / "0.png")
        return ["--data", f"images:{few}"], ["3", "10"]
    if case == "too many units":
        return ["--units", 49], ["49", "48"]
    if case == "unknown data":
        return ["--data", "imags:x"], ["no data set 'imags'", "images"]
    if case == "text for an image network":
        text.write_text("hello")
        return ["--data", f"text:{text}"], ["token", "image"]
    if case == "foreign folder":
        (tmp / "out").mkdir()
        (tmp / "out" / "thesis.tex").write_text("mine")
        return [], ["no itinf results"]
    if case == "bad dtype":
        return ["--dtype", "float8"], ["float8", "float32"]
    if case == "bad shard":
        return ["--shard", "3/2"], ["3/2", "I/N"]
    if case == "bad target":
        return ["--target", "truth"], ["truth", "label"]
    raise KeyError(case)


CASES = [
    "unknown network",
    "unknown option",
    "missing weights",
    "wrong-shaped weights",
    "truncated weights",
    "NaN weights",
    "weights that overflow",
    "no images",
    "fewer classes",
    "too many units",
    "unknown data",
    "text for an image network",
    "foreign folder",
    "bad dtype",
    "bad shard",
    "bad target",
]


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_gets_one_message(
    case: str, command: Command, small: list[object], photographs: Path, tmp_path: Path
) -> None:
    change, wanted = _fault(case, photographs, tmp_path)
    words = [small[0], *change, *small[2:]] if case == "unknown network" else [*small, *change]
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    code, printed = command(*words)
    assert code == 2
    assert printed.startswith("itinf: ") and "Traceback" not in printed
    for piece in wanted:
        assert piece in printed
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("content", ["", "too short"])
def test_too_little_text(content: str, command: Command, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text(content)
    small = ["-O", "n_layer=1", "-O", "n_embd=8", "-O", "n_head=2", "-O", "n_positions=64"]
    code, printed = command("probe", "gpt2", *small, "--data", f"text:{text}", "--out", tmp_path / "out")
    assert code == 2 and "text.txt" in printed and not (tmp_path / "out").exists()


def test_out_of_memory_says_which_batch_to_try(
    command: Command, small: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(probe_pass.ProbePass, "measure", full)
    code, printed = command(*small, "--batch", 40)
    assert code == 2 and "--batch 20" in printed and not (tmp_path / "out").exists()


def test_ctrl_c_leaves_nothing_broken(
    command: Command, small: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = probe_pass.ProbePass.measure
    calls = []

    def interrupted(*args: object) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        measure(*args)  # type: ignore[arg-type]

    save_always(monkeypatch)
    monkeypatch.setattr(probe_pass.ProbePass, "measure", interrupted)
    code, printed = command(*small, "--batch", 8)
    assert code == 130 and "resume at the last save" in printed
    assert command(*small, "--batch", 8)[0] == 0
    assert command(*small[:-1], tmp_path / "whole", "--batch", 8)[0] == 0
    resumed, whole = (itinf.ProbeResult.load(tmp_path / name).table for name in ("out", "whole"))
    pd.testing.assert_frame_equal(resumed, whole, check_exact=True)


def test_check_passes_and_fails(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert command("check", "cifar-resnet8")[0] == 0

    def wrong(weights: str | None = None) -> itinf.Network:
        good = itinf.network("cifar-resnet8", weights)
        blocks = [itinf.Block(b.name, branch="conv1") for b in good.blocks]
        return itinf.Network(good.model, blocks, "n c h w", good.head, pool=good.pool, prepare=good.prepare)

    monkeypatch.setattr("itinf.registry._session", {"networks": {"wrong": wrong}})
    code, printed = command("check", "wrong")
    assert code == 2 and "layer1.0" in printed and "failed" in printed


def test_help_and_list_are_quick_and_import_no_torch() -> None:
    code = "import sys, itinf.cli.app as c; sys.argv = ['itinf', 'list']\ntry: c.main()\nexcept SystemExit: pass\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "False"
    for name in ("resnet50", "googlenet", "gpt2", "glyphs"):
        assert name in done.stdout


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_that_is_offered_is_measured_in(dtype, command, tmp_path):
    words = ["--weights", "specimen", "--data", "stdlib", "--length", 16, "--units", 256, "--batch", 16]
    code, printed = command("probe", "gpt2", *words, "--replicates", 20, "--dtype", dtype, "--out", tmp_path / dtype)
    assert code == 0 and "Run of gpt2" in printed, printed

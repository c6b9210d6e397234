"""``itinf fit`` and ``itinf transfer``, and lenses in ``itinf compare``."""

from __future__ import annotations

import pandas as pd
import pytest

import itinf
from itinf.lock import kept
from itinf.results.transfer_result import TransferResult

TINY = ["-O", "n_layer=2", "-O", "n_embd=8", "-O", "n_head=2", "-O", "vocab_size=256", "-O", "n_positions=16"]


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("".join(f"{n} times {n} is {n * n}. " for n in range(400)))
    return ["gpt2", "--weights", "random:1", *TINY, "--data", f"text:{path}"]


def test_a_lens_is_fitted_kept_and_moved(command, text, tmp_path):
    lens, out = tmp_path / "lens.safetensors", tmp_path / "out"
    code, printed = command("fit", *text, "--units", 1024, "--out", lens)
    assert code == 0 and "Lens (affine) of gpt2: 3 states" in printed, printed
    code, printed = command("fit", *text, "--out", lens)
    assert code == 2 and "does not overwrite it. Choose another --out" in printed
    words = ["transfer", *text, "--units", 1600, "--replicates", 20, "--precision", 0]
    code, printed = command(*words, "--lens", lens, "--out", out)
    assert code == 0 and "all the units asked for" in printed, printed
    assert {path.name for path in out.iterdir()} == {
        "manifest.json",
        "measures.parquet",
        "summaries.parquet",
        "replicates.parquet",
        "figures",
    }
    found = TransferResult.load(out)
    assert set(found.table["lens"]) == {"affine", "logit"}  # a file holds no moments for the shared lens
    network = itinf.network("gpt2", "random:1", n_layer=2, n_embd=8, n_head=2, vocab_size=256, n_positions=16)
    assert itinf.Lens.load(lens, network).record["units"] == 1024


def test_without_a_file_lenses_are_fitted_beside_the_results(command, text, tmp_path):
    words = ["transfer", *text, "--units", 1600, "--replicates", 20, "--fit-units", 1024, "--untrained", 1]
    code, printed = command(*words, "--out", tmp_path / "out")
    assert code == 0 and "shared, left out" in printed and "null: untrained 0" in printed, printed
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"manifest.json", "lenses", "transfer", "figures"}
    assert {path.stem for path in (tmp_path / "out/figures").iterdir()} == {"lenses", "transfer", "retention"}
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.parquet")}
    (tmp_path / "out/figures/transfer.png").unlink()
    itinf.report(tmp_path / "out")
    assert (tmp_path / "out/figures/transfer.png").is_file() and (tmp_path / "out/report.html").is_file()
    assert len(before) == 6 and command(*words, "--out", tmp_path / "out")[0] == 0
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_probes_read_through_a_lens(command, text, tmp_path):
    lens, out = tmp_path / "lens.safetensors", tmp_path / "out"
    assert command("fit", *text, "--units", 1024, "--out", lens)[0] == 0
    words = ["--units", 512, "--replicates", 20, "--group", 8, "--untrained", 1, "--lens", lens, "--out", out]
    code, printed = command("probe", *text, *words)
    assert code == 0, printed
    table = itinf.ProbeResult.load(out).table
    read = table[(table["lens"] == "affine") & table["mean"].notna() & (table["null"] == "observed")]
    assert {"alignment", "descent_share", "realised_gain", "efficiency"} <= set(read["measure"])
    assert set(read.loc[read["measure"] == "alignment", "gradient"]) == {"readout"}
    code, printed = command("probe", *text[:2], "random:2", *text[3:], *words[:-1], tmp_path / "other")
    assert code == 2 and "whose readout has fingerprint" in printed and not (tmp_path / "other").exists()


def test_the_package_folder(command, text, tmp_path):
    code, printed = command("fit", *text, "--units", 1024, "--format", "tuned-lens", "--out", tmp_path / "lens")
    assert code == 0 and {path.name for path in (tmp_path / "lens").iterdir()} == {"config.json", "params.pt"}, printed


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["fit", "--out", "lens.pt"], "a name that ends in .safetensors"),
        (["fit", "--out", "lens.safetensors", "--kind", "tunned"], "no lens of kind 'tunned'. Did you mean tuned"),
        (["fit", "--out", "lens.safetensors", "--units", 16], "it takes at least 18"),
        (["transfer", "--lens", "none.safetensors"], "There is no lens file 'none.safetensors'"),
        (["transfer", "--kind", "shared"], "expected affine or tuned"),
        (["transfer", "--units", 10**9], "left to fit a lens on"),
    ],
)
def test_mistakes(command, text, tmp_path, monkeypatch, words, what):
    monkeypatch.chdir(tmp_path)
    code, printed = command(words[0], *text, *words[1:])
    assert code == 2 and what in printed, printed
    assert [path.name for path in tmp_path.iterdir()] == ["text.txt"]


@pytest.fixture
def study(tmp_path, text):
    path = tmp_path / "study.toml"
    lines = [f'[[network]]\nname = "gpt2"\nlabel = "{name}"\nweights = "{name}"' for name in ("random:1", "random:2")]
    options = "options = {n_layer = 2, n_embd = 8, n_head = 2, vocab_size = 256, n_positions = 16}"
    entrants = "\n".join(f'{line}\ndata = "{text[-1]}"\nfit_units = 1024\n{options}' for line in lines)
    path.write_text(f"units = 512\nreplicates = 20\ngroup = 8\ncalibration = 8\nuntrained = 1\n{entrants}")
    return path


@pytest.mark.slow
def test_lenses_in_a_comparison_of_two_processes(command, study, tmp_path):
    out = tmp_path / "out"
    code, printed = command("compare", study, "--jobs", 2, "--out", out)
    assert code == 0 and printed.count("Transfer of the affine lens") == 4, printed
    table = pd.read_parquet(out / "measures.parquet")
    through = table[(table["measure"] == "efficiency") & (table["null"] == "observed")]
    assert set(through["lens"]) == {"", "affine", "shared"}
    moved = table[table["measure"] == "transfer_kl"]
    assert set(moved["null"]) == {"observed", "rotated", "untrained"} and set(moved["model"]) == {
        "random:1",
        "random:2",
    }
    assert set(pd.read_parquet(out / "summaries.parquet")["model"]) == {"random:1", "random:2"}
    assert {path.stem for path in (out / "figures").iterdir()} == {
        "descent",
        "error_over_order",
        "error_over_walk",
        "lesions",
        "onset",
        "readable",
        "variance_shares",
        *(f"{kind}_random_{seed}" for kind in ("overview", "lenses") for seed in (1, 2)),
    }
    alone = tmp_path / "alone"
    itinf.run_study(study, alone)
    pd.testing.assert_frame_equal(pd.read_parquet(alone / "measures.parquet"), table, rtol=1e-4, atol=1e-5)
    none = tmp_path / "none"
    assert command("compare", study, "--lens", "none", "--out", none)[0] == 0
    assert {path.name for path in none.iterdir()} == {
        "figures",
        "manifest.json",
        "measures.csv",
        "measures.parquet",
        "networks",
        "report.html",
        "study.toml",
    }


def test_too_few_data_for_a_lens_are_said(command, study, tmp_path):
    (tmp_path / "text.txt").write_text("".join(f"{n} times {n} is {n * n}. " for n in range(60)))
    study.write_text(study.read_text().replace("units = 512", "units = 1000").replace("untrained = 1", "untrained = 0"))
    code, printed = command("compare", study, "--out", tmp_path / "out")
    assert code == 0 and "random:1 has no lenses" in printed and "left to fit a lens on" in printed, printed
    code, printed = command("compare", study, "--lens", "affine", "--out", tmp_path / "asked")
    assert code == 2 and "left to fit a lens on" in printed and not (tmp_path / "asked").exists()


def test_two_fits_into_one_file(command, text, tmp_path):
    """The second is refused while the first one runs, and when it has finished meanwhile; neither is lost."""
    lens = tmp_path / "lens.safetensors"
    with kept(lens.with_name(f".{lens.name}")):
        code, printed = command("fit", *text, "--units", 1024, "--out", lens)
        assert code == 2 and "is in use: process" in printed and "choose another --out" in printed
    assert [path.name for path in tmp_path.iterdir()] == ["text.txt"]
    assert command("fit", *text, "--units", 1024, "--out", lens)[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lens.safetensors", "text.txt"]


def test_a_file_that_appears_during_a_fit_stays(command, text, tmp_path, monkeypatch):
    lens, fit = tmp_path / "lens.safetensors", itinf.lenses.fit.fit

    def slow(*words, **options):
        lens.write_text("of another program")
        return fit(*words, **options)

    monkeypatch.setattr("itinf.lenses.fit.fit", slow)
    code, printed = command("fit", *text, "--units", 1024, "--out", lens)
    assert code == 2 and "does not overwrite it" in printed and lens.read_text() == "of another program"

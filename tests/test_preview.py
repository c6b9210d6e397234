"""What is said before the work is what the results say afterwards; too few units are refused before anything is fitted."""

from __future__ import annotations

from dataclasses import replace

import pytest

import itinf
import tiny
from itinf.cli.preview import in_words, preview_lines, show_preview, time_line
from itinf.lenses.fit_statistics import is_held_out
from itinf.lenses.kinds import lens_kind
from itinf.lenses.transfer.cells import cells_of
from itinf.networks.states import sites
from itinf.networks.trace import trace
from itinf.results.probe_result import undefined
from itinf.settings import Settings
from itinf.studies.enough import few, require_fit
from itinf.studies.forecast import some, stand_in
from itinf.studies.forecast_transfer import one_state_each, trial_cells
from itinf.studies.preview import Preview, preview_fit, preview_probe, preview_transfer
from itinf.studies.preview_study import preview_study
from itinf.studies.probe import default_probes
from itinf.studies.study_file import Study, StudyNetwork
from test_lens_commands import TINY

QUICK = Settings(**tiny.SETTINGS)
KINDS = pytest.mark.parametrize("kind", ["image", "token"])


@KINDS
def test_what_will_be_measured_is_what_is_measured(kind):
    network, data = tiny.opened(kind, 40)
    settings = replace(QUICK, untrained=2)
    before = preview_probe(network, data, default_probes(), settings)
    said = dict(before.lines)
    if kind == "image":
        assert "6 blocks (6 with a branch), segments 3 (of 2, 2, 2 blocks)" in said["network"]
        assert said["data"] == "tiny: 40 images of 40 are measured"
    else:
        assert "2 blocks (parts: attention, mlp), segments 1 (of 2 blocks)" in said["network"]
        assert said["data"] == "tiny: 240 tokens in 40 sequences of 6 of 40 are measured"
    assert said["probes"] == (
        "Performance, Alignment, UpdateNorm, Gain, Prediction, Persistence, VarianceShares, EstimationError"
    )
    assert said["gradients"] == ("input, output, readout; forms raw, centred, gauge-fixed, gauge-free; target label")
    shown = "pairing, same-target, order-shuffled, random-walk, 2 untrained networks"
    assert said["nulls"] == shown and not before.warnings
    run = tiny.probed(network, data)
    stage = run.stages["observed"]
    assert list(before.undefined) == undefined(stage.missing, len(network.blocks))
    assert sum("changes the state's shape" in line for line in before.undefined) == (kind == "image")
    assert all(f"undefined {line}" in repr(run) for line in before.undefined)
    assert set(before.seconds) == {"calibration", "measuring", "table", "untrained networks"}
    assert all(seconds > 0 for seconds in before.seconds.values()) and before.spared == 0


def test_one_line_for_each_reason():
    run = tiny.study("image")
    lines = undefined(run.stages["observed"].missing, 6)
    lacking = run.table[run.table["mean"].isna() & (run.table["null"] == "observed")]
    reasons = set(lacking.loc[lacking["reason_code"] != "no_unit", "reason"])  # of 24 images none is nudged by 1 nat
    assert len(lines) == len(reasons) and all(sum(reason in line for line in lines) == 1 for reason in reasons)


@KINDS
def test_the_cells_of_a_trial_are_those_of_the_transfer(kind):
    network, data = tiny.opened(kind, 200)
    lens = itinf.fit(network, data)
    order = itinf.data.clusters.keyed_order(data, None, 0)
    batch = some(data, order, 2)
    trial = stand_in(network, trace(network, batch, gradients=False), "affine")
    names = sorted(cell.name for cell in cells_of(lens, 1))
    assert sorted(cell.name for cell in trial_cells(network, trial, batch, 1, itinf.Settings())) == names
    read = {cell.at for cell in one_state_each(lens.sites, cells_of(lens, 1))}
    assert len(read) == len({site.segment for site in lens.sites})
    before = preview_transfer(network, data, data, "affine", replace(QUICK, untrained=1))
    assert dict(before.lines)["cells"].startswith(f"{len(names):,}: ") and dict(before.lines)["nulls"].startswith(
        "rotated, 1 untr"
    )
    states = {"image": "7 states in 3 segments", "token": "3 states in 1 segment"}[kind]
    assert states in dict(before.lines)["lens"] and 0 < before.spared < before.total


@pytest.mark.parametrize("kind", ["affine", "tuned", "shared", "logit"])
def test_the_fit_of_every_kind(kind):
    before = preview_fit(tiny.gpt2(), tiny.tokens(80), kind, None, 0, 64)
    assert ("tuning" in before.seconds) == (kind == "tuned")
    assert (
        dict(before.lines)["lens"]
        == f"{kind}, for 3 states in 1 segment; fitted on 480 tokens in 80 sequences of 6 of tiny"
    )


def test_few_clusters():
    """8 are the fewest for an interval; under 30 there is a warning. Each message says which option helps."""
    assert few(tiny.images(100), 30, 100, "measured") == []
    (warning,) = few(tiny.images(100), 29, 100, "measured")
    assert "29 images are measured; intervals take at least 8, and are rough under 30. Give --units 30" in warning
    assert few(tiny.images(8), 8, 8, "read")[0].endswith("Give more images.")
    for data, clusters, available, wanted in (
        (tiny.images(100), 7, 100, "Give --units 30 or more"),
        (tiny.images(7), 7, 7, "Give more images."),
        (tiny.images(10), 7, 10, "Give --units 10 or more"),
        (tiny.tokens(100, length=40), 7, 100, "Give --units 1,200 or more"),
        # 7 sequences of 40 are 280 tokens: 31 sequences of 9
        (tiny.tokens(7, length=40), 7, 7, "Give --length 9 or less, with --units 270 or more, or a longer text."),
        (tiny.tokens(2, length=10), 2, 2, "Give a longer text."),
    ):
        with pytest.raises(itinf.errors.TooFewError, match=r"intervals take at least 8") as said:
            few(data, clusters, available, "measured")
        assert str(said.value).endswith(wanted) or wanted in str(said.value)


def test_units_that_a_map_takes():
    """A map of width 32 takes 66 units, of clusters that are not held out: 11 sequences of 6."""
    network, data = tiny.gpt2(), tiny.tokens(40)
    order = itinf.data.clusters.keyed_order(data, None, 0)
    fitted = [k for k, held in enumerate(is_held_out(order.keys)) if not held]
    read = trace(network, some(data, order, 2), gradients=False)
    for count, refused in ((10, True), (11, False)):
        part = order.part(slice(0, fitted[count - 1] + 1))
        for kind in ("affine", "tuned", "shared", "logit"):
            if refused and kind in ("affine", "tuned"):
                with pytest.raises(
                    itinf.ItinfError, match=r"60 units cannot .* at least 66. Give more with --fit-units"
                ):
                    require_fit("net", part, lens_kind(kind), sites(read), read, "--fit-units")
            else:
                require_fit("net", part, lens_kind(kind), sites(read), read, "--fit-units")


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("".join(f"{n} times {n} is {n * n}. " for n in range(400)))
    return ["--weights", "random:1", *TINY, "--data", f"text:{path}"]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["probe", "gpt2", "--units", 112, "--out", "out"], "7 sequences of 16 tokens are measured; intervals take at least 8"),
        (["transfer", "gpt2", "--units", 112, "--out", "out"], "7 sequences of 16 tokens are read; intervals take at least 8"),
        (["fit", "gpt2", "--units", 16, "--out", "lens.safetensors"], "it takes at least 18. Give more with --units"),
        (["transfer", "gpt2", "--units", 480, "--fit-units", 16, "--out", "out"], "18. Give more with --fit-units"),
        (["compare", "study.toml", "--out", "out"], "second: text:text.txt/all: 7 sequences of 16 tokens are measured"),
    ],
)  # fmt: skip
def test_too_few_are_refused_before_anything_is_fitted(command, text, tmp_path, monkeypatch, words, what):
    def never(*_, **__):
        raise AssertionError("it was measured")

    monkeypatch.chdir(tmp_path)
    for place in ("itinf.lenses.fit.fit", "itinf.studies.lens_study.fit", "itinf.studies.probe.ProbeStudy.run",
                  "itinf.lenses.transfer.transfer.transfer", "itinf.studies.compare.measure_networks"):  # fmt: skip
        monkeypatch.setattr(place, never)
    table = (
        f'name = "gpt2"\nweights = "random:1"\ndata = "{text[-1]}"\noptions = {{ n_layer = 2, n_embd = 8, n_head = 2, '
    )
    table += "vocab_size = 256, n_positions = 16 }\n"
    study = tmp_path / "study.toml"
    study.write_text(
        f'replicates = 20\n[[network]]\nlabel = "first"\nunits = 512\n{table}[[network]]\nlabel = "second"\nunits = 112\n{table}'
    )
    given = words if words[0] == "compare" else [*words[:2], *text, *words[2:]]
    code, printed = command(*given)
    assert code == 2 and what in printed, printed
    assert {path.name for path in tmp_path.iterdir()} == {"text.txt", "study.toml"}


def test_a_study_says_what_all_networks_share_once(text, tmp_path):
    options = {"n_layer": 2, "n_embd": 8, "n_head": 2, "vocab_size": 256, "n_positions": 16}
    networks = [
        StudyNetwork("gpt2", text[-1], weights="random:1", label=name, fit_units=units, options=options)
        for name, units in (("with", 1024), ("without", 16))
    ]
    plan = Study(networks).changed(units=512, replicates=20, group=8, device="cpu")
    previews = preview_study(plan)
    assert [preview.network for preview in previews] == ["with", "without"]
    lines = preview_lines(previews)
    assert [what for what, _ in lines].count("probes") == 1 and [what for what, _ in lines].count("network") == 2
    assert ("read", "through the network's own readout, and the lenses affine, shared") in lines
    (warning,) = previews[1].warnings
    assert warning.startswith("without will have no lenses: without, state") and "at least 18" in warning
    with pytest.raises(itinf.ItinfError, match="without: without, state"):
        preview_study(plan.changed(lens="affine"))


def test_the_time_in_words():
    assert [in_words(s) for s in (4, 59.9, 61, 300, 5399, 9600)] == [
        "under a minute", "under a minute", "about 1 minute", "about 5 minutes", "about 1 h 30 min",
        "about 2 h 40 min",
    ]  # fmt: skip
    one = Preview("one", [], seconds={"fitting": 60.0, "measuring": 540.0})
    assert time_line([one]) == "about 10 minutes (measuring 90%, fitting 10%)"
    two = Preview("two", [], seconds={"transfer": 1200.0}, spared=1080.0)
    assert time_line([two]) == (
        "about 2 minutes to about 20 minutes (transfer 100%): a transfer stops as soon as it is precise enough"
    )
    # two at a time take as long as the longer one; one at a time, as both
    assert time_line([one, two], 2).startswith("about 10 minutes to about 20 minutes")
    assert time_line([one, two]).startswith("about 12 minutes to about 30 minutes")
    assert (one + two).total == 1800 and (one + two).spared == 1080


def test_a_finished_folder_is_read_without_a_trial(tmp_path, capsys):
    def never():
        raise AssertionError("it was tried")

    tiny.probed(*tiny.opened("token", 16), out=tmp_path / "out")
    show_preview(never, tmp_path / "out")
    assert capsys.readouterr() == ("", "")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(itinf.ItinfError, match="holds no itinf results"):
        show_preview(never, tmp_path / "mine")

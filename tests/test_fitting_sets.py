"""Lenses fitted on other data: exactly 1 where nothing differs, 1 within its interval for more of the same, less elsewhere."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
import torch

import itinf
from itinf import ItinfError
from itinf.data.clusters import silent
from itinf.data.items import as_data
from itinf.lenses.transfer.transfer import transfer
from itinf.results.transfer_result import TransferResult
from itinf.settings import Settings
from itinf.studies.lens_study import LensStudy
from itinf.studies.study_file import read_study, study_toml
from lens_oracles import descending, labelled, starts
from test_lens_commands import text as text
from test_lens_study import answered
from tiny import images, resnet

WIDTH = 6
SETTINGS = {"precision": 0.0, "replicates": 60, "pairs": False}


def given(net, vectors, seed, name):
    data = as_data(labelled(net, vectors, seed), "image", None, net.name)
    data.name = name
    return data


def lens_of(net, seed, name, change=1.0):
    """A lens fitted on inputs whose channels are multiplied by ``change`` first."""
    return itinf.fit(net, given(net, starts(400, WIDTH, seed) * change, seed, name))


@pytest.fixture(scope="module")
def net():
    return descending(WIDTH)


@pytest.fixture(scope="module")
def lens(net):
    return lens_of(net, 0, "A")


@pytest.fixture(scope="module")
def moved(net, lens):
    """The very same lens; the same data in another order; others of the same kind; some in which two classes have no channel."""
    itself = replace(lens, record=lens.record | {"data": "itself"})
    order = itinf.fit(net, given(net, starts(400, WIDTH, 0), 0, "order"), seed=5)
    blind = torch.ones(2 * WIDTH, dtype=torch.float64)
    blind[[0, 1, WIDTH, WIDTH + 1]] = 0
    also = [itself, order, lens_of(net, 3, "more"), lens_of(net, 4, "blind", change=blind)]
    data = given(net, starts(240, WIDTH, 1), 1, "data")
    return transfer(net, lens, data, also=also, **SETTINGS), also, data


def across(result, name, target="label"):
    table = result.table
    rows = table[(table["measure"] == "fitting_retention") & (table["form"] == f"fitted on {name}")]
    return rows[rows["target"] == target]


def affine(result, name):
    rows = across(result, name).dropna(subset=["mean", "lo"])
    return rows[rows["lens"] == "affine"]


def test_the_logit_lens_and_the_same_lens_retain_exactly_1(moved):
    result, _, _ = moved
    for name in ("itself", "more", "blind"):
        logit = across(result, name)[lambda rows: rows["lens"] == "logit"]["mean"].dropna()
        assert len(logit) and (logit == 1).all()
    same = across(result, "itself")
    assert set(same["lens"]) == {"affine", "logit", "shared", "shared, left out"}
    assert len(affine(result, "itself")) and (same["mean"].dropna() == 1).all()


def test_the_same_data_and_more_of_them_retain_1_and_a_blind_lens_does_not(moved):
    result, _, _ = moved
    for name in ("order", "more"):
        rows = affine(result, name)
        assert len(rows) and (rows["mean"] - 1).abs().max() < 0.05
        assert ((rows["lo"] - 0.02 <= 1) & (rows["hi"] + 0.02 >= 1)).all()
    blind = affine(result, "blind")
    assert blind["mean"].iloc[0] < 0.85 and blind["hi"].iloc[0] < 0.95
    assert blind["mean"].iloc[-1] == pytest.approx(1, abs=1e-6)  # the last state needs no map


def test_the_ratio_is_that_of_what_both_lenses_tell(net, lens, moved):
    result, also, data = moved
    table = result.table
    told = table[(table["measure"] == "readable") & (table["lens"] == "affine") & (table["target"] == "label")]
    own, other = (told[told["form"] == form].set_index("state_index")["mean"] for form in ("", "fitted on blind"))
    found = across(result, "blind")
    found = found[found["lens"] == "affine"].set_index("state_index")["mean"].dropna()
    assert found.to_dict() == pytest.approx((other / own)[found.index].to_dict())
    alone = transfer(
        net, replace(also[3], log_prior=lens.log_prior, mean_final=lens.mean_final), data, **SETTINGS
    ).table
    alone = alone[(alone["measure"] == "readable") & (alone["lens"] == "affine") & (alone["target"] == "label")]
    alone = alone[alone["form"] == ""].set_index("state_index")["mean"]
    assert other.to_dict() == pytest.approx(alone.to_dict(), abs=2e-3)


def test_the_interval_is_paired(moved):
    """Two ratios of the same units: much narrower than what is readable itself, which differs from unit to unit."""
    result, _, _ = moved
    rows = across(result, "more").dropna(subset=["lo"])
    rows = rows[rows["lens"] == "affine"].set_index("state_index")
    table = result.table
    told = table[(table["measure"] == "readable") & (table["lens"] == "affine") & (table["form"] == "")]
    told = told[told["target"] == "label"].set_index("state_index").loc[rows.index]
    assert ((rows["hi"] - rows["lo"]) < (told["hi"] - told["lo"]) / told["mean"] / 3).all()


def test_other_numbers_do_not_change(net, lens, moved):
    result, _, data = moved
    alone = transfer(net, lens, data, **SETTINGS)
    table = result.table[~result.table["form"].str.startswith("fitted on")].reset_index(drop=True)
    pd.testing.assert_frame_equal(table, alone.table, rtol=1e-6, atol=1e-7)
    rest = result.summaries[result.summaries["direction"] != "other data"].reset_index(drop=True)
    pd.testing.assert_frame_equal(rest, alone.summaries, rtol=1e-6, atol=1e-7)
    pd.testing.assert_frame_equal(result.replicates, alone.replicates, rtol=1e-6, atol=1e-7)


def test_means_over_states(moved):
    result, _, _ = moved
    chosen = result.summaries[result.summaries["direction"] == "other data"]
    one = chosen[(chosen["form"] == "fitted on blind") & (chosen["lens"] == "affine") & (chosen["target"] == "label")]
    rows = across(result, "blind")
    expected = rows[rows["lens"] == "affine"]["mean"].dropna()
    assert one["mean"].item() == pytest.approx(expected.mean()) and one["cells"].item() == len(expected)


def test_lenses_that_do_not_fit_are_refused(net, lens, moved):
    _, also, data = moved
    shared = itinf.fit(net, given(net, starts(400, WIDTH, 0), 0, "A"), "shared")
    for wrong, what in (([shared], "of the same kind"), ([also[1], also[1]], "Two lenses"), (["x"], "is no lens")):
        with pytest.raises(ItinfError, match=what):
            transfer(net, lens, data, also=wrong, **SETTINGS)


def test_a_study_keeps_both_lenses_and_is_read_again(tmp_path):
    network = resnet()
    parts = [answered(network, images(count, seed=k), name) for k, (count, name) in enumerate(
        ((80, "data"), (200, "fitting"), (200, "other")), 1)]  # fmt: skip
    settings = Settings(replicates=20, untrained=0, precision=0.0, pairs=False)
    study = LensStudy(network, parts[0], parts[1], tmp_path, "tiny", settings=settings, other=parts[2])
    first = study.run(silent)
    forms = [set(result.table["form"]) for result in first]
    assert forms == [{"", "fitted on other"}]
    assert (tmp_path / "lenses/tiny/fitted_on_other/affine.safetensors").is_file()
    again = replace(study).run(silent)
    pd.testing.assert_frame_equal(again[0].table, first[0].table)
    with pytest.raises(ItinfError, match="other"):
        replace(study, other=parts[1]).run(silent)


def test_the_command_and_the_study_file(command, text, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("".join(f"{n} plus {n} is {2 * n}; " for n in range(400)))
    words = ["transfer", *text, "--units", 800, "--replicates", 20, "--fit-units", 512, "--no-pairs"]
    code, printed = command(*words, "--fitted-on", f"text:{other}", "--out", tmp_path / "out")
    assert code == 0, printed
    (folder,) = (tmp_path / "out/transfer").glob("*/trained")
    assert "fitting_retention" in set(TransferResult.load(folder).table["measure"])
    code, printed = command(*words, "--fitted-on", f"text:{other}", "--lens", "l.safetensors", "--out", tmp_path / "no")
    assert code == 2 and "Leave one of the two out" in printed
    file = tmp_path / "study.toml"
    file.write_text('[[network]]\nname = "gpt2"\ndata = "stdlib"\nfitted_on = "text:a.txt"\n')
    assert read_study(file).networks[0].fitted_on == "text:a.txt" and 'fitted_on = "text:a.txt"' in study_toml(
        read_study(file)
    )

"""Power: measures that can and cannot tell two networks apart whose answers are known; roles in studies and folders."""

import numpy as np
import pandas as pd
import pytest
import torch

import itinf
from itinf.data.clusters import load_batch
from itinf.results.power import MEASURES, power_table
from itinf.results.power_words import power_markdown
from itinf.results.schema import POWER_DTYPES
from itinf.studies.compare import opened_for
from itinf.studies.study_file import Study, StudyNetwork
from itinf.training.states import states
from test_onset_oracles import made, oracle


@pytest.fixture(scope="module")
def both():
    """Evidence that adds up in one code (yes) and an answer that is carried along in one code (no)."""
    each = [made(*oracle(name)) for name in ("gathering", "carrying")]
    runs = [each[0].runs[0], each[1].runs[0]]
    for run, moved, name in zip(runs, (each[0].transfers[0], each[1].transfers[0]), ("adds", "carries"), strict=True):
        for manifest in (run.manifest, moved.manifest):
            manifest["network"]["name"] = name
        for stage in run.stages.values():
            stage.structure["model"] = name
        moved.table["model"], moved.summaries["model"] = name, name
        run.__dict__.pop("table", None)
    transfers = [moved for one in each for moved in one.transfers]
    return itinf.compare(runs, transfers, roles={"adds": "yes", "carries": "no"})


def of(table, words):
    rows = table[table["measure"] == words].set_index("model")
    assert len(rows) == 2, words
    return rows


def test_what_tells_and_what_cannot(both):
    power = both.power
    assert list(power.columns) == list(POWER_DTYPES) and len(power) == 2 * len(MEASURES)
    verdicts = power.drop_duplicates("measure").set_index("measure")["verdict"]
    assert verdicts["iterative depth"] == "tells"
    assert verdicts["gain of steps beyond pairing, bits"] == "tells"
    assert verdicts["retention of one lens, the state left out"] == "cannot tell"  # both have one code
    assert verdicts["persistence of the label, mean over states"] == "cannot tell"  # both carry
    assert verdicts["descent share, output gradient"] == ""  # not measured
    assert of(power, "descent share, output gradient")["mean"].isna().all()
    turned = power_table(both, {"adds": "no", "carries": "yes"})
    assert of(turned, "iterative depth")["verdict"].eq("points the other way").all()
    assert of(power_table(both, {}), "iterative depth")["verdict"].eq("").all()


def test_values_are_means_of_the_table(both):
    power, table = both.power, both.table
    rows = table[(table["model"] == "adds") & (table["measure"] == "persistence") & (table["target"] == "label")
                 & (table["statistic"] == "ratio") & (table["form"] == "") & (table["null"] == "observed")]  # fmt: skip
    before_last = rows[rows["state_index"] < rows["state_index"].max()]["mean"]
    found = of(power, "persistence of the label, mean over states").loc["adds"]
    assert found["mean"] == pytest.approx(before_last.mean())
    rows = table[
        (table["model"] == "adds") & (table["measure"] == "prediction_gain_effect") & (table["null"] == "pairing")
    ]
    assert of(power, "gain of steps beyond pairing, bits").loc["adds", "mean"] == pytest.approx(rows["mean"].mean())
    means = both.summaries
    one = means[(means["model"] == "adds") & (means["measure"] == "retention") & (means["direction"] == "one lens")
                & (means["target"] == "label") & (means["null"] == "observed")].iloc[0]  # fmt: skip
    found = of(power, "retention of one lens, the state left out").loc["adds"]
    assert list(found[["mean", "lo", "hi"]]) == list(one[["mean", "lo", "hi"]])


def test_words(both):
    text = power_markdown(both.power, both.runs)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert rows[0] == "| measure | verdict | adds (yes) | carries (no) |"
    assert rows[1].startswith("| iterative depth | tells | 1.00")
    order = [line.split(" | ")[1] for line in rows[1:]]
    assert order == sorted(order, key=["tells", "cannot tell", "points the other way", "not tested"].index)
    assert "adds, should pass" in text and "carries, should fail" in text


def test_a_folder_keeps_roles_and_table(both, tmp_path):
    both.save(tmp_path / "both")
    again = itinf.Comparison.load(tmp_path / "both")
    assert again.roles == both.roles
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "both/power.parquet"), both.power, check_dtype=False)
    assert (tmp_path / "both/power.md").read_text() == both.power_words
    page = (tmp_path / "both/report.html").read_text()
    assert "What each measure can tell" in page and "adds (control: yes)" in page
    assert np.isclose(again.power["mean"].iloc[0], 1.0)


@pytest.mark.parametrize(("roles", "said"), [
    ({"nobody": "yes"}, "'nobody', which is no run"),
    ({"adds": "maybe"}, "The role of adds is 'maybe'; expected yes or no"),
    (["adds"], "expected a mapping"),
])  # fmt: skip
def test_wrong_roles(both, roles, said):
    with pytest.raises(itinf.ItinfError, match=said):
        itinf.compare(both.runs, roles=roles)
    with pytest.raises(itinf.ItinfError, match="role is 'perhaps'; expected yes or no"):
        StudyNetwork("resnet", "glyphs", role="perhaps")


def test_the_study_of_the_command():
    from itinf.studies.controls import controls_study

    study = controls_study()
    assert set(study.roles.values()) == {"yes", "no"}
    assert study.roles["iterative"] == "yes" and study.roles["iterative, untrained"] == "no"


def test_an_untrained_control_has_statistics_of_its_data():
    """With initial BatchNorm statistics the states of the shared block grow from step to step."""
    chosen = StudyNetwork("iterative", "glyphs", label="fresh", weights="untrained:1", role="no")
    study = Study([chosen], settings=itinf.Settings(units=64, calibration=32))
    network, data = opened_for(study, chosen)
    assert (network.name, network.weights) == ("fresh", "random:1")
    initial = itinf.network("iterative", "random:1")
    assert all(torch.equal(p, q) for p, q in zip(network.model.parameters(), initial.model.parameters(), strict=True))
    inputs = load_batch(data, [0, 1, 2, 3]).inputs
    sizes = {}
    for name, opened in (("fitted", network), ("initial", initial)):
        with torch.no_grad(), states(opened.model, [block.name for block in opened.blocks]) as found:
            opened.forward(inputs)
        sizes[name] = float(found[-1].norm() / found[0].norm())
    assert sizes["fitted"] < 10 < 100 < sizes["initial"]
    again, _ = opened_for(study, chosen)
    assert all(torch.equal(a, b) for a, b in zip(again.model.buffers(), network.model.buffers(), strict=True))


@pytest.mark.parametrize("weights", ["untrained:", "untrained:x", "untrained:-1"])
def test_a_wrong_seed_of_an_untrained_control(weights):
    with pytest.raises(
        itinf.ItinfError, match=f"weights '{weights}': expected untrained or untrained:SEED with a whole number"
    ):
        StudyNetwork("iterative", "glyphs", weights=weights)

"""Groups of networks: the trained network is the unit, and what is said of a group holds for another training."""

from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import itinf
from itinf.cli.options import study_from_words
from itinf.results.group_words import group_lines, group_notes
from itinf.results.groups import checked_groups, group_table
from itinf.results.schema import GROUP_DTYPES, results_table, summaries_table
from itinf.statistics.over_networks import MOST_DIVISIONS, permutation_p
from itinf.studies.study import _identity
from itinf.studies.study_file import read_study, study_toml
from lens_tables import moved
from pages import page
from reports.html.groups_table import group_table as on_the_page
from tables import BLANK
from test_page import NAME, Read, manifest

NOTHING = summaries_table([])
GROUPS = {"skips": ["a", "b", "c"], "plain": ["d", "e", "f"]}
EFFECT = {"measure": "descent_share_effect", "gradient": "output", "update": "update", "form": "gauge-free",
          "null": "pairing"}  # fmt: skip


def rows(model, values, half=0.01, segments=None, **columns):
    """One row for each block of a network."""
    return [
        BLANK | {"model": model, "block": f"block {k}", "block_index": k, "depth": k / len(values), "mean": value,
                 "segment": (segments or [0] * len(values))[k - 1], "lo": value - half, "hi": value + half} | columns
        for k, value in enumerate(values, 1)
    ]  # fmt: skip


def table(values, **columns):
    """Network -> values of its blocks, as a joint table."""
    return results_table([row for model, own in values.items() for row in rows(model, own, **EFFECT | columns)])


def at(found, group, minus="", block=None):
    """The one row of a group, or a difference: of the whole network, or of a block."""
    place = found["block_index"].isna() if block is None else found["block_index"] == block
    (row,) = found[(found["group"] == group) & (found["minus"] == minus) & place].itertuples()
    return row


VALUES = {"a": [1.0, 4.0], "b": [2.0, 5.0], "c": [6.0, 9.0], "d": [0.0, 1.0], "e": [1.0, 2.0], "f": [0.5, 2.5]}


def test_means_and_differences_are_those_of_textbooks():
    found = group_table(table(VALUES), NOTHING, GROUPS)
    assert list(found.columns) == list(GROUP_DTYPES) and dict(found.dtypes.astype(str)) == GROUP_DTYPES
    for block in (None, 1, 2):
        one = {m: np.mean(v) if block is None else v[block - 1] for m, v in VALUES.items()}
        first, second = ([one[m] for m in GROUPS[g]] for g in ("skips", "plain"))
        mean, gap = at(found, "skips", block=block), at(found, "skips", "plain", block)
        wanted = stats.ttest_1samp(first, 0).confidence_interval()
        np.testing.assert_allclose([mean.mean, mean.lo, mean.hi], [np.mean(first), *wanted])
        wanted = stats.ttest_ind(first, second, equal_var=False).confidence_interval()
        np.testing.assert_allclose([gap.mean, gap.lo, gap.hi], [np.mean(first) - np.mean(second), *wanted])
        assert (mean.networks, mean.networks_minus, mean.cells) == (3, 0, 2 if block is None else 1)
        assert (gap.networks, gap.networks_minus, gap.reason) == (3, 3, "")
        assert math.isnan(mean.p) and gap.least_p == pytest.approx(0.1)


def test_p_counts_the_ways_to_divide_the_networks():
    """By hand: of the 20 ways, 2 part 1, 2, 6 from 0, ½, 0.9 as far, and none further."""
    first, second = np.array([[1.0, 2.0, 6.0], [1.0, 2.0, 3.0]]), np.array([[0.0, 0.5, 0.9], [0.5, 2.5, 3.5]])
    p, least = permutation_p(first, second)
    together, apart = [1.0, 2.0, 3.0, 0.5, 2.5, 3.5], []
    for chosen in combinations(range(6), 3):
        side = [together[k] for k in chosen]
        apart.append(abs(np.mean(side) - np.mean([v for k, v in enumerate(together) if k not in chosen])))
    np.testing.assert_allclose(p, [0.1, np.mean(np.array(apart) >= apart[0] - 1e-12)])
    assert least == pytest.approx(0.1)
    assert permutation_p(first[:1, :1], second[:1, :1]) == (1.0, 1.0)
    assert permutation_p(first[:1, :1], second[:1])[1] == 0.25  # two sides of other sizes cannot be exchanged
    p, least = permutation_p(np.arange(12.0)[None], 20 + np.arange(12.0)[None])
    assert p == least == 1 / MOST_DIVISIONS, "too many ways: some are drawn"


def test_the_interval_holds_for_other_trainings_and_that_over_images_does_not():
    """3 and 3 networks; between trainings a standard deviation of 0.05, within one of 0.01, as images tell it."""
    rng, worlds = np.random.default_rng(0), 4000
    truth, between, within = {"skips": 0.3, "plain": 0.1}, 0.05, 0.01
    values = {
        name: truth[group] + between * rng.standard_normal(worlds) + within * rng.standard_normal(worlds)
        for group, names in GROUPS.items()
        for name in names
    }
    half = 1.96 * within
    found = group_table(table(values, half=half), NOTHING, GROUPS)
    found = found[found["block_index"].notna()]  # every block is a world of its own
    for group, minus, true in (("skips", "", 0.3), ("plain", "", 0.1), ("skips", "plain", 0.2)):
        of = found[(found["group"] == group) & (found["minus"] == minus)]
        covered = ((of["lo"] <= true) & (true <= of["hi"])).mean()
        assert len(of) == worlds
        assert covered == pytest.approx(0.95, abs=0.015) if not minus else 0.935 < covered < 0.985
        over_images = half * math.sqrt(1 / 3 if not minus else 2 / 3)
        assert (abs(of["mean"] - true) <= over_images).mean() < 0.45
    chance = group_table(table(values | {n: values[n] + 0.2 for n in "def"}), NOTHING, GROUPS)
    p = chance.loc[chance["block_index"].notna(), "p"].dropna()
    assert (p <= 0.1 + 1e-9).mean() == pytest.approx(0.1, abs=0.015), "without a difference p is what it says"


def test_a_mean_of_the_network_is_over_the_blocks_that_all_have():
    values = VALUES | {"b": [2.0, math.nan], "d": [math.nan, 1.0]}
    found = group_table(table(values), NOTHING, GROUPS)
    assert (at(found, "skips").mean, at(found, "skips").cells) == (pytest.approx((1 + 2 + 6) / 3), 1)
    assert (at(found, "plain").mean, at(found, "plain").cells) == (pytest.approx((1 + 2 + 2.5) / 3), 1)
    gap = at(found, "skips", "plain")
    assert math.isnan(gap.mean) and gap.reason_code == "not_in_all", "no block is in all six"
    assert set(found["block_index"].dropna()) == {1, 2}


def test_networks_of_other_blocks_have_no_numbers_of_single_blocks():
    values = table(VALUES | {"c": [6.0, 9.0, 9.0]})
    found = group_table(values, NOTHING, GROUPS)
    whole = at(found, "skips")
    assert whole.mean == pytest.approx((2.5 + 3.5 + 8) / 3) and whole.cells is pd.NA
    assert not ((found["group"] == "skips") & found["block_index"].notna()).any()
    assert at(found, "plain", block=2).mean == pytest.approx((1 + 2 + 2.5) / 3)
    assert any("skips: its networks have other blocks" in note for note in group_notes(values, GROUPS))
    other = pd.concat([table({"a": [1.0, 2.0]}), table({"b": [1.0, 2.0]}, segments=[0, 1])])
    assert not group_table(other, NOTHING, {"both": ["a", "b"]})["block_index"].notna().any(), "other segments"


def test_few_networks_say_so():
    values = table(VALUES)
    found = group_table(values, NOTHING, {"one": ["a"], "two": ["b", "c"]})
    assert math.isnan(at(found, "one").lo) and at(found, "one").reason_code == "one_network"
    assert at(found, "two").hi - at(found, "two").mean == pytest.approx(stats.t.ppf(0.975, 1) * 4 / 2)  # sd 4/√2
    assert math.isnan(at(found, "one", "two").lo) and at(found, "one", "two").least_p == pytest.approx(1 / 3)
    one, two = group_notes(values, {"one": ["a"], "two": ["b", "c"]})
    assert "no interval" in one and "1 degree of freedom" in two
    assert group_notes(values, GROUPS, dict.fromkeys("abcde", "x") | {"f": "y"})[2:] == [
        "plain: its networks were measured on different data (x, y)."
    ]
    same = group_table(table({"a": [0.1], "b": [0.1], "c": [0.1]}), NOTHING, {"same": ["a", "b", "c"]})
    assert at(same, "same").reason_code == "networks_agree" and math.isnan(at(same, "same").lo)


def test_nulls_that_no_training_changes_are_left_out_and_seeds_averaged():
    both = pd.concat([table(VALUES, null="untrained", null_seed=0), table(VALUES, null="isotropic")])
    assert group_table(both, NOTHING, GROUPS).empty
    seeds = pd.concat([table(VALUES, null="rotated", null_seed=seed) for seed in (0, 1)], ignore_index=True)
    seeds.loc[seeds["null_seed"] == 1, "mean"] += 1
    assert at(group_table(seeds, NOTHING, GROUPS), "skips", block=1).mean == pytest.approx((1 + 2 + 6) / 3 + 0.5)


def test_retention_is_a_number_of_the_whole_network():
    kept = {"a": 0.5, "b": 0.6, "c": 0.8, "d": 0.1, "e": 0.3, "f": 0.2}
    made = [moved(model, kept=lambda i, j, k=k: k - 0.1 * abs(i - j), matched=False) for model, k in kept.items()]
    tables, summaries = (pd.concat(parts, ignore_index=True) for parts in zip(*made, strict=True))
    found = group_table(tables, summaries, GROUPS)
    near = found[(found["measure"] == "retention") & (found["distance"] == 1) & (found["target"] == "label")]
    near = near[(near["direction"] == "both") & (near["null"] == "observed")].set_index(["group", "minus"])["mean"]
    np.testing.assert_allclose(near[[("skips", ""), ("plain", "")]], [1.9 / 3 - 0.1, 0.2 - 0.1])
    told = found[(found["measure"] == "readable") & found["state_index"].isna() & (found["group"] == "skips")]
    own = told[(told["lens"] == "affine") & (told["target"] == "label") & (told["minus"] == "")]
    assert own["mean"].item() == pytest.approx(np.mean([1, 2, 3, 4])), "own lenses alone: pairs are in the summaries"
    one_lens = found[found["headline"] == "retention of one lens, that depth left out"]
    assert len(one_lens) == 3 and (one_lens["null"] == "observed").all()


def test_the_console_and_the_page_answer():
    values = table(VALUES)
    found = group_table(values, NOTHING, GROUPS)
    text = "\n".join(group_lines(found, group_notes(values, GROUPS)))
    assert "skips: a, b, c." in text and "output: descent share beyond pairing" in text
    gap = at(found, "skips", "plain")
    assert (
        f"+{gap.mean:.3f} ± {gap.hi - gap.mean:.3f} (3 and 3 networks, permutation p = 0.1 (least possible 0.1))"
        in text
    )
    shown = on_the_page(found)
    assert shown.headings == ["skips, 3 networks", "plain, 3 networks", "skips − plain"]
    ((name, (skips, plain, apart)),) = shown.rows
    assert name == "output: descent share beyond pairing" and (skips.p, plain.p, apart.p) == ("", "", "p = 0.1")
    assert skips.text.startswith("+4.5 ±") and shown.least == ["0.1 for skips − plain"]


def test_the_page_has_a_table_of_groups_and_escapes_its_names():
    made, summaries = moved(NAME)
    groups = group_table(table({NAME: [1.0, 2.0], "b": [2.0, 5.0]}), NOTHING, {NAME: [NAME, "b"]})
    text = page(
        made, [], [], summaries=summaries, transfers=[manifest(NAME) | MOVED], groups=groups, group_notes=[NAME]
    )
    assert NAME not in text
    assert any(row[:2] == ["mean over blocks or states", f"{NAME}, 2 networks"] for row in Read(text).rows)
    assert 'id="groups"' not in page(made, [], [], summaries=summaries, transfers=[manifest(NAME) | MOVED])


MOVED = {"units": 500, "reached": 0.01, "stopped": True}


@pytest.mark.parametrize(
    "groups, said",
    [
        ({"skips": ["a", "bb"]}, "'bb', which is no run"),
        ({"skips": "ab"}, "expected names of networks"),
        ({"skips": []}, "expected names of networks"),
        ({3: ["a"]}, "The group 3 is"),
        (["a"], "expected a mapping from a group to names"),
        ({"skips": ["a"], "plain": ["a"]}, "'a' is in the groups 'skips' and 'plain'"),
        ({"skips": ["a", "a"]}, "'a' is twice in the group 'skips'"),
    ],
)
def test_wrong_groups_are_refused(groups, said):
    with pytest.raises(itinf.ItinfError) as refused:
        checked_groups(groups, ["a", "b"])
    assert said in str(refused.value)


TOML = """units = 48
[[network]]
name = "cifar-resnet8"
label = "one"
group = "skips"
data = "glyphs"
[[network]]
name = "cifar-plain8"
data = "glyphs"
[[network]]
name = "cifar-resnet8"
label = "two"
group = "skips"
data = "glyphs"
"""


def test_a_study_file_has_groups(tmp_path: Path):
    path = tmp_path / "study.toml"
    path.write_text(TOML)
    study = read_study(path)
    assert study.groups == {"skips": ["one", "two"]}
    path.write_text(study_toml(study))
    assert read_study(path) == study
    assert "group" not in _identity(study)["networks"]["one"], "other groups are the same study"
    path.write_text(TOML.replace('"skips"', "3"))
    with pytest.raises(itinf.ItinfError, match="network 1: group is 3; expected a text"):
        read_study(path)


def test_from_the_shell_copies_are_named_after_their_weights():
    names, weights = ["cifar-resnet8"] * 2 + ["cifar-plain8"], ["runs/a.pt", "runs/b.pt", "runs/c.pt"]
    study = study_from_words(names, ["glyphs"], weights, ["skips", "skips", "plain"])
    assert study.groups == {"skips": ["cifar-resnet8 a.pt", "cifar-resnet8 b.pt"], "plain": ["cifar-plain8"]}
    same = study_from_words(names, ["glyphs"], ["a/best.pt", "b/best.pt", "c.pt"], ["all"])
    assert same.groups == {"all": ["cifar-resnet8 a/best.pt", "cifar-resnet8 b/best.pt", "cifar-plain8"]}
    assert not study_from_words(names[1:], ["glyphs"], [], []).groups
    with pytest.raises(itinf.ItinfError, match="--group was given 2 times for 3 networks"):
        study_from_words(names, ["glyphs"], weights, ["skips", "plain"])
    with pytest.raises(itinf.ItinfError, match="already has them"):
        study_from_words([], [], [], ["skips"])

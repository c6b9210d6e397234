"""Examples of a data set are chosen by the rules that are written beside them."""

import numpy as np
import pytest
import torch

import itinf
from itinf.data.dataset import IGNORED
from itinf.lenses.trajectory.examples import BEFORE, choose
from tiny import gpt2, images, resnet, tokens


def test_the_rules_by_hand():
    #                 0   1   2   3   4   5   6   7
    top = np.array([[1, 9, 1, 3, 9, 8, 2, 5], [1, 9, 9, 3, 4, 8, 2, 5], [1, 1, 1, 3, 4, 8, 2, 5]])
    sure = np.array([[0.5, 0.4, 0.4, 0.4, 0.9, 0.4, 0.4, 0.4]] * 2 + [[0.9, 0.9, 0.9, 0.6, 0.9, 0.7, 0.9, 1.0]])
    truth = np.array([1, 1, 1, 7, 4, 7, 2, IGNORED])
    found = choose(top, sure, truth, seed=0)
    assert found[:4] == [("right early", 0), ("right late", 1), ("changed its mind", 4), ("wrong", 5)]
    assert [rule for rule, _ in found[4:]] == ["random", "random"] and {unit for _, unit in found[4:]} < {2, 3, 6}
    seeds = {tuple(unit for _, unit in choose(top, sure, truth, seed)[4:]) for seed in range(20)}
    assert len(seeds) > 1  # chance decides, and only there
    assert {tuple(choose(top, sure, truth, seed)[:4]) for seed in range(20)} == {tuple(found[:4])}


def test_a_rule_that_no_unit_meets_gives_no_example():
    top = np.array([[1, 1]] * 3)
    found = choose(top, np.full((3, 2), 0.5), np.array([1, 1]), 0)
    assert [rule for rule, _ in found] == ["right early", "right late"]
    assert choose(top, np.full((3, 2), 0.5), np.array([IGNORED] * 2), 0) == []


def test_one_state_that_can_be_read_has_no_early_and_late():
    top, truth = np.array([[1, 2, 1, 1]] * 2), np.array([1, 1, 1, 1])
    found = choose(top, np.full((2, 4), 0.5), truth, 0)
    assert found[0] == ("wrong", 1) and [rule for rule, _ in found[1:]] == ["random", "random"]


def test_another_text_is_preferred_and_the_same_one_is_taken_where_there_is_no_other():
    # two texts of three tokens each: 0, 1, 2 and 3, 4, 5
    top = np.array([[1, 9, 9, 1, 9, 9], [1, 9, 9, 1, 1, 9], [1, 1, 9, 1, 1, 9]])
    truth = np.array([1, 1, 1, 1, 1, 1])
    found = choose(top, np.full((3, 6), 0.5), truth, 0, width=3)
    # unit 1 is right latest, but stands in the text of unit 0; once both texts are used, units of either are taken
    assert found[:4] == [("right early", 0), ("right late", 4), ("changed its mind", 1), ("wrong", 2)]
    assert {unit for _, unit in found[4:]} == {3, 5}


def test_examples_show_what_the_rule_says():
    network, data = resnet(), images(60)
    made = itinf.examples(network, data, itinf.fit(network, images(200, seed=1)), units=40)
    table = made.table[made.table["rank"] == 1]
    own, last = table[table["reader"] == "own"], table[(table["reader"] == "logit") & (table["state"] == 6)]
    for number, (name, group) in enumerate(table.groupby("item")):
        rule = group["rule"].iloc[0]
        assert made.names[number].startswith(f"{rule}: ") and made.pictures[number] is not None
        place = int(made.names[number].split(": ")[1])
        final = last[last["item"] == name].iloc[0]
        assert final["truth"] == data.targets[place]
        if rule != "random":
            assert (final["class"] == final["truth"]) == rule.startswith("right") or rule == "changed its mind"
        if rule == "changed its mind":
            assert (own[own["item"] == name]["class"] != final["class"]).any()
    assert len(set(made.names)) == len(made.names) and "wrong" in set(table["rule"])
    again = itinf.examples(network, data, itinf.fit(network, images(200, seed=1)), units=40)
    assert again.names == made.names


def test_a_text_is_shown_up_to_the_chosen_token():
    network, data = gpt2(), tokens(40, length=15)
    table = itinf.examples(network, data, seed=1).table
    assert len(set(table["item"])) >= 4 and table.groupby("item")["position"].nunique().max() <= BEFORE + 1
    with pytest.raises(itinf.ItinfError, match="has a target"):
        data.targets = torch.full_like(data.targets, IGNORED)
        itinf.examples(network, data)


def test_the_command_shows_examples(command, tmp_path):
    (tmp_path / "text.txt").write_text("one two three four. " * 40)
    shape = [word for key, value in {"n_layer": 1, "n_embd": 8, "n_head": 2, "vocab_size": 256, "n_positions": 16}.items() for word in ("-O", f"{key}={value}")]  # fmt: skip
    code, said = command(
        "trajectory", "gpt2", *shape, "--data", f"text:{tmp_path / 'text.txt'}", "--out", tmp_path / "page.html"
    )
    assert code == 0, said
    page = (tmp_path / "page.html").read_text()
    assert "random: 0/" in page and "surest final prediction that is wrong" in page

"""The closed loop, against networks whose use of their context is known, and against a loop in plain Python."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import itinf
import tiny
from itinf import ItinfError
from itinf.data.clusters import keyed_order
from itinf.probes.closed_loop import COUPLED, OTHER, WRITES
from itinf.probes.processes import Themes, process_of
from itinf.probes.sample import uniform
from test_study import agree
from writing_oracles import adapting, bigram, sequences

SHORT = {"prompt": 4, "own": 3, "turns": 4}


def looped(network, data, process="random", **changes):
    return itinf.loop(network, data, process, **(tiny.SETTINGS | SHORT | changes))


def column(run, measure, null="observed"):
    """Subset -> mean."""
    rows = run.table
    rows = rows[(rows.measure == measure) & (rows.null == null)]
    return dict(zip(rows.subset, rows["mean"], strict=True))


def test_a_bigram_network_tells_of_an_insertion_in_the_next_token_alone():
    """Every number by a loop in plain Python, from the table of the network."""
    network, data = bigram(8), sequences(symbols=8)
    run = looped(network, data)
    probability = network.model.state.__closure__[0].cell_contents.softmax(1).numpy()
    order = keyed_order(data, None, 0, tiny.SETTINGS["calibration"])
    gaps, prices, echoes = [], {r: [] for r in range(1, 5)}, {"observed": [], "yoked": []}
    for index, key in zip(order.indices, order.keys, strict=True):
        draws = uniform(0, int(key), WRITES, 12)
        own, other = ([int(u * 8) for u in uniform(0, int(key), stream, 5)[1:]] for stream in (COUPLED, OTHER))
        last = data.inputs[index, 3].item()
        for turn in range(4):
            for place in range(3):
                token = int(np.searchsorted(probability[last].cumsum(), draws[turn * 3 + place], side="right"))
                if turn and not place:
                    gaps.append(np.log2(probability[last, token] / probability[other[turn - 1], token]))
                if turn:
                    echoes["observed"].append(token in own[:turn])
                    echoes["yoked"].append(token in other[:turn])
                last = token
            prices[turn + 1].append(-np.log2(probability[last, own[turn]]))
            last = own[turn]
    information = column(run, "information")
    assert information.pop("later own tokens") == 0.0
    assert information == pytest.approx({"own tokens": np.mean(gaps) / 3, "first own tokens": np.mean(gaps)}, rel=1e-9)
    surprise = column(run, "surprise")
    assert {f"insertion {r}": np.mean(found) for r, found in prices.items()} == pytest.approx(
        {name: value for name, value in surprise.items() if name != "own tokens"}, rel=1e-9
    )
    cost = column(run, "surprise", "yoked")["own tokens"] - surprise["own tokens"]
    assert cost == pytest.approx(information["own tokens"])
    for null, found in echoes.items():
        assert column(run, "echo", null) == {"own tokens": pytest.approx(np.mean(found))}


def test_a_network_that_learns_comes_to_expect_one_token_and_repeats_it():
    network, data = adapting(16), sequences(48, 97, 4)
    settings = {"prompt": 8, "own": 4, "turns": 8}
    constant, random = (looped(network, data, process, **settings) for process in ("constant", "random"))
    surprise = column(constant, "surprise")
    assert surprise["insertion 1"] - surprise["insertion 8"] > 1.5
    echo = constant.table[constant.table.measure == "echo_effect"]
    assert echo["lo"].item() > 0.05
    assert column(constant, "information")["later own tokens"] > 0.1
    gap = column(random, "surprise")["insertion 1"] - column(random, "surprise")["insertion 8"]
    assert gap < (surprise["insertion 1"] - surprise["insertion 8"]) / 2


def test_themes_stand_on_the_lines_of_a_file(tmp_path):
    network, data = tiny.opened("token", 16)
    network.prepare = lambda line: torch.tensor([int(word) for word in line.split()])
    path = tmp_path / "themes.txt"
    path.write_text("1 2 3 3\n\n40 41 42\n")
    run = looped(network, data, path, prompt=3, own=2, turns=3)
    assert set(run.table.form) == {"themed"}
    assert (
        "Themes('themes.txt', 2 lines, " in run.manifest["probes"][0] and str(tmp_path) not in run.manifest["probes"][0]
    )
    lines = process_of(path)
    assert lines == Themes("themes.txt", ("1 2 3 3", "40 41 42"))
    assert [ids.tolist() for ids in lines.ids(network)] == [[1, 2, 3], [40, 41, 42]]
    path.write_text("1 2 3 3\n")
    with pytest.raises(ItinfError, match="has 1 theme; expected two at least"):
        looped(network, data, path)
    with pytest.raises(ItinfError, match=r"no such file\. Expected random, constant, or a text file"):
        looped(network, data, "randon")
    network.prepare = None
    with pytest.raises(ItinfError, match="has no prepare"):
        looped(network, data, lines, prompt=3, own=2, turns=3)


def test_the_batch_changes_nothing_and_untrained_networks_have_the_same_rows():
    network, data = tiny.opened("token")
    small = {"prompt": 3, "own": 2, "turns": 3, "untrained": 1}
    one, other = (looped(network, data, batch=batch, **small) for batch in (5, 32))
    agree(one, other)
    assert {"information", "surprise", "echo"} <= set(one.table[one.table.null == "untrained"].measure)


def test_what_is_refused():
    data = sequences(8)
    with pytest.raises(ItinfError, match=r"causal=False"):
        looped(bigram(causal=False), data)
    with pytest.raises(ItinfError, match="predicts one class per image"):
        looped(*tiny.opened("image"))
    with pytest.raises(ItinfError, match="A run has 20 tokens, and the context of gpt2 has 16"):
        looped(*tiny.opened("token"))
    with pytest.raises(ItinfError, match="fewer than prompt = 98"):
        looped(bigram(), data, prompt=98)


def test_the_command(command, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("".join(f"{n} times {n} is {n * n}. " for n in range(400)))
    small = [
        word
        for pair in ("n_layer=1", "n_embd=8", "n_head=2", "vocab_size=256", "n_positions=32")
        for word in ("-O", pair)
    ]
    code, told = command(
        "loop", "gpt2", "--weights", "random:1", *small, "--data", f"text:{path}", "--prompt", 8, "--own", 3, "--turns", 4,
        "--process", "constant", "--units", 320, "--device", "cpu", "--out", tmp_path / "out",
    )  # fmt: skip
    assert code == 0 and "information constant own tokens" in told and "surprise constant insertion 4" in told

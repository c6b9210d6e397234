"""Recovery after inserted tokens, against networks whose use of their context is known, and against plain torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import itinf
import tiny
from itinf import ItinfError
from itinf.data.clusters import keyed_order
from itinf.networks.writing import Writer, next_logits
from itinf.probes.recovery import PLACES, RANDOM, SAMPLED
from itinf.probes.sample import uniform
from test_interrupted import stops
from test_lens_steps import lens_of
from test_study import agree
from writing_oracles import adapting, bigram, counting, sequences

SETTINGS = tiny.SETTINGS
AT = {"inserted": 1, "at": 32}


def recovered(network, data, **changes):
    return itinf.recover(network, data, **(SETTINGS | AT | changes))


def column(run, measure, form, value="mean"):
    """Subset -> value."""
    rows = run.table
    rows = rows[(rows.measure == measure) & (rows.form == form)]
    return dict(zip(rows.subset, rows[value], strict=True))


@pytest.fixture(scope="module")
def remembers():
    return recovered(counting(forgets=False), sequences(200))


@pytest.fixture(scope="module")
def forgets():
    return recovered(counting(forgets=True), sequences(200))


def test_a_bigram_network_has_no_excess_behind_the_first_old_token_and_keeps_nothing_that_can_be_said():
    run = recovered(bigram(), sequences())
    for form in ("inserted", "detour", "fresh", "detour − inserted"):
        excess = column(run, "excess", form)
        first = excess.pop("k 0", None)
        assert set(excess) == set(PLACES) - {"k 0"} and set(excess.values()) == {0.0}
        assert (first is None) == (form == "fresh") and first != 0
    for form in ("inserted", "detour"):
        assert set(column(run, "context_kept", form, "reason_code").values()) == {"not_above_zero"}
        assert np.isnan(list(column(run, "context_kept", form).values())).all()


def test_a_network_that_the_insertion_does_not_touch_keeps_all(remembers):
    assert set(column(remembers, "excess", "inserted").values()) == {0.0}
    kept = column(remembers, "context_kept", "inserted")
    assert list(kept) == [place for place in PLACES if place != "k 0"] and list(kept.values()) == [1.0] * 7


def test_excess_that_falls_to_zero_is_no_recovery(forgets, remembers):
    """The trap: both networks are soon without excess, and only what is kept tells them apart."""
    excess, kept = column(forgets, "excess", "inserted"), column(forgets, "context_kept", "inserted")
    assert excess["k 1"] > 0.3 and 0 < excess["k 33-64"] < 0.02
    assert list(kept.values()) == [0.0] * 7
    assert column(forgets, "excess", "inserted") == pytest.approx(
        column(forgets, "excess", "fresh") | {"k 0": excess["k 0"]}
    )
    assert column(remembers, "context_kept", "inserted")["k 33-64"] == 1.0
    # its own tokens are symbols that it does not forget at: a detour is only a wrong count more
    assert 0.5 < column(forgets, "context_kept", "detour")["k 1"] < 1.2


def test_one_count_more_is_kept_as_counting_by_hand_says():
    """Eight symbols alone, so that inserted ones are counted, too: every loss by counting in a loop."""
    data, inserted, at, seed = sequences(24, 32, 8), 2, 16, 3
    run = recovered(adapting(8), data, inserted=inserted, at=at, seed=seed)
    order = keyed_order(data, None, seed, SETTINGS["calibration"])

    def loss(context, token):
        return -np.log2((context.count(token) + 0.05) / (len(context) + 8 * 0.05))

    sums = {"clean": 0.0, "inserted": 0.0, "fresh": 0.0}
    for index, key in zip(order.indices, order.keys, strict=True):
        ids = [*data.inputs[index].tolist(), int(data.targets[index, -1])]
        new = [int(u * 8) for u in uniform(seed, int(key), RANDOM, inserted)]
        for k in range(5, 9):
            old, target = ids[at : at + k], ids[at + k]
            for name, context in (("clean", ids[:at] + old), ("inserted", ids[:at] + new + old), ("fresh", old)):
                sums[name] += loss(context, target)
    expected = (sums["fresh"] - sums["inserted"]) / (sums["fresh"] - sums["clean"])
    assert column(run, "context_kept", "inserted")["k 5-8"] == pytest.approx(expected, rel=1e-9)
    units = 4 * len(order.indices)
    assert column(run, "excess", "inserted")["k 5-8"] == pytest.approx(
        (sums["inserted"] - sums["clean"]) / units, rel=1e-9
    )
    assert column(run, "excess", "fresh", "n_units")["k 5-8"] == units


def test_a_gpt2_against_plain_torch():
    """k = 2 behind a detour, and what its tokens cost: sampled and read with the model alone, one sequence at a time."""
    network, data = tiny.opened("token", 16)
    run = recovered(network, data, inserted=2, at=2)
    order = keyed_order(data, None, 0, SETTINGS["calibration"])
    model, excess, price = network.model.eval(), [], []

    @torch.no_grad()
    def log2(ids):
        return model(torch.tensor([ids])).logits[0].double().log_softmax(1) / np.log(2)

    for index, key in zip(order.indices, order.keys, strict=True):
        ids, target = data.inputs[index].tolist(), int(data.targets[index, 3])
        text = ids[:2]
        for u in uniform(0, int(key), SAMPLED, 2):
            logs = log2(text)[-1]
            text.append(int(np.searchsorted(np.cumsum(np.exp2(logs.numpy())), u, side="right")))
            price.append(-float(logs[text[-1]]))
        excess.append(float(log2(ids)[3, target] - log2(text + ids[2:4])[-1, target]))
    assert column(run, "excess", "detour")["k 2"] == pytest.approx(np.mean(excess), abs=1e-5)
    assert column(run, "surprise", "detour")["inserted tokens"] == pytest.approx(np.mean(price), abs=1e-5)
    one, other = (column(run, "excess", form)["k 2"] for form in ("detour", "inserted"))
    assert column(run, "excess", "detour − inserted")["k 2"] == pytest.approx(one - other)


def test_depths_are_read_by_the_own_readout_and_by_a_lens_and_have_no_excess():
    network, data = tiny.opened("token")
    seen = itinf.trace(network, itinf.Batch(data.inputs[:2], data.targets[:2], np.arange(2, dtype=np.uint64)))
    run = recovered(network, data, inserted=1, at=2, depths=True, lens=lens_of(network, seen), untrained=1)
    rows = run.table
    kept = rows[(rows.measure == "context_kept") & (rows.null == "observed")]
    assert {(lens, int(state)) for lens, state in zip(kept.lens, kept.state_index, strict=True)} == {
        (lens, state) for lens in ("", "affine") for state in range(3)
    }
    assert set(rows[rows.measure == "excess"].block_index) == {2} and (rows[rows.measure == "excess"].lens == "").all()
    assert "excess" in set(rows[rows.null == "untrained"].measure)
    alone = recovered(network, data, inserted=1, at=2)
    last = kept[(kept.lens == "") & (kept.state_index == 2)]
    assert list(last["mean"].fillna(-9)) == list(alone.table[alone.table.measure == "context_kept"]["mean"].fillna(-9))


def test_the_seed_decides_and_the_batch_changes_nothing():
    network, data = tiny.opened("token")
    one, other = (recovered(network, data, inserted=2, at=2, batch=batch) for batch in (5, 32))
    agree(one, other)
    again = recovered(network, data, inserted=2, at=2, seed=1)
    assert column(one, "surprise", "inserted") != column(again, "surprise", "inserted")


def test_an_interrupted_run_is_resumed(tmp_path, monkeypatch):
    tiny.save_always(monkeypatch)
    network, data = tiny.opened("token", 40)
    whole = recovered(network, data, inserted=1, at=2, batch=8)
    with pytest.raises(KeyboardInterrupt):
        recovered(network, data, inserted=1, at=2, batch=8, out=tmp_path, progress=stops("observed", 3))
    told = []
    resumed = recovered(
        network, data, inserted=1, at=2, batch=8, out=tmp_path, progress=lambda *seen: told.append(seen)
    )
    assert told[0][:2] == ("observed", 16)
    agree(whole, resumed, 0)
    assert set(itinf.ProbeResult.load(tmp_path).table.measure) >= {"excess", "context_kept"}
    with pytest.raises(ItinfError, match="holds another study"):
        recovered(network, data, inserted=2, at=2, out=tmp_path)


def test_what_is_refused():
    data = sequences(8)
    with pytest.raises(ItinfError, match=r"causal=False.*Give a causal language model"):
        recovered(bigram(causal=False), data)
    with pytest.raises(ItinfError, match="predicts one class per image"):
        recovered(*tiny.opened("image"))
    with pytest.raises(ItinfError, match="has sequences of 97 tokens; 1 inserted after 96 need 98 at least"):
        recovered(bigram(), data, at=96)
    with pytest.raises(ItinfError, match="at is 0"):
        recovered(bigram(), data, at=0)


def test_in_a_study_of_other_networks_its_rows_say_why_they_are_missing():
    images = tiny.probed(*tiny.opened("image"), probes=[itinf.Recovery(), itinf.ClosedLoop()])
    assert set(images.table.reason_code) == {"no_next_token"}
    short = tiny.probed(*tiny.opened("token"), probes=[itinf.Recovery(), itinf.ClosedLoop()])
    assert set(short.table.reason_code) == {"too_short"}
    assert set(short.table.measure) == {"excess", "context_kept", "information"}


def test_a_network_writes_the_same_with_its_memory_as_without():
    network = tiny.gpt2()
    ids, draws = (
        tiny.tokens(4).inputs,
        torch.rand(4, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64),
    )
    texts, calls = [], []
    right = network.step

    def counted(model, ids, memory):
        calls.append(ids.shape[1])
        return right(model, ids, memory)

    def wrong(model, ids, memory):
        logits, memory = right(model, ids, memory)
        return logits.flip(1), memory

    for step in (None, counted, wrong):
        network.step = step
        writer = Writer(network, ids)
        writer.write(draws[:, :4])
        writer.insert(ids[:, :2])
        writer.write(draws[:, 4:])
        texts.append(writer.ids)
    assert torch.equal(texts[0], texts[1]) and torch.equal(texts[0], texts[2])
    assert calls == [6, 1, 1, 1, 3, 1] and texts[0].shape == (4, 14)
    first = next_logits(network, ids).softmax(1).cumsum(1)[0]
    assert int(texts[0][0, 6]) == int(np.searchsorted(first.numpy(), float(draws[0, 0]), side="right"))


def test_the_command_and_its_page(command, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("".join(f"{n} times {n} is {n * n}. " for n in range(400)))
    small = [
        word
        for pair in ("n_layer=1", "n_embd=8", "n_head=2", "vocab_size=256", "n_positions=32")
        for word in ("-O", pair)
    ]
    code, told = command(
        "recover", "gpt2", "--weights", "random:1", *small, "--data", f"text:{path}", "--at", 12, "--inserted", 2,
        "--units", 320, "--depths", "--device", "cpu", "--out", tmp_path / "out",
    )  # fmt: skip
    assert code == 0 and "excess detour k 5-8" in told and "Results in" in told
    code, told = command("report", tmp_path / "out")
    assert code == 0 and (tmp_path / "out" / "report.html").is_file()
    code, told = command("recover", "cifar-resnet20", "-O", "classes=46", "--data", "glyphs", "--out", tmp_path / "no")
    assert code == 2 and "Give a causal language model" in told and not (tmp_path / "no").exists()
